"""The list of sessions, and what can be done to one."""

import datetime
import os
import subprocess
import sys

import cv2
import pytest

from lvd_live.errors import UserError
from lvd_live.session.facts import read_facts, write_facts
from lvd_live.session.layout import list_segments
from lvd_live.session.library import list_sessions, move_to_trash, rename
from lvd_live.session.reader import open_session
from lvd_live.session.recorder import Recorder
from lvd_live.session.reserve import HAS_LOCKS
from tests.conftest import ROOT
from tests.fakes import FACES
from tests.recording import make_fit, make_frame, make_person, record

MOVE_TO_TRASH = """
import sys
from pathlib import Path
from lvd_live.session.library import move_to_trash
move_to_trash(Path(sys.argv[1]))
"""


def test_the_list_tells_what_is_there_newest_first(tmp_path):
    old = record(tmp_path, 20, "old").path
    facts = read_facts(old)
    write_facts(old, facts | {"started": "2020-02-03T04:05:06+01:00"})
    new = record(tmp_path, 40, "new", absent={5}).path
    (tmp_path / "notes").mkdir()
    (tmp_path / "clip.mp4").write_bytes(b"x")
    first, second = list_sessions(tmp_path)
    assert (first.path, first.name, first.frames, first.dropped, first.whole) == (new, "new", 39, 0, True)
    assert first.seconds == pytest.approx(1.3)
    assert second.path == old and second.started == datetime.datetime(2020, 2, 3, 3, 5, 6, tzinfo=datetime.UTC)
    assert cv2.imread(str(first.thumbnail)).shape == (64, 96, 3)
    assert list_sessions(tmp_path / "none") == []


def test_a_session_that_is_being_recorded_is_listed_and_left_alone(tmp_path):
    recorder = Recorder(tmp_path, "now", faces=FACES, meta={})
    recorder.add(make_frame(0), make_person(0), make_fit(0))
    (info,) = list_sessions(tmp_path)
    assert info.name == "now" and not info.whole
    for act in (lambda: rename(info.path, "x"), lambda: move_to_trash(info.path)):
        if HAS_LOCKS:
            with pytest.raises(UserError, match="is being recorded"):
                act()
    assert len(open_session(recorder.stop())) == 1 and list_sessions(tmp_path)[0].whole


def test_renaming_changes_the_name_and_the_folder_and_overwrites_nothing(tmp_path):
    path, other = (record(tmp_path, 20, name).path for name in ("a", "b"))
    for session in (path, other):
        write_facts(session, read_facts(session) | {"started": "2026-01-02T03:04:05+00:00"})
    path = rename(path, "Tänze / 2")
    assert path.name == "2026-01-02_03-04-05-Tänze-2" and list_sessions(tmp_path)[-1].path.parent == tmp_path
    other = rename(other, "Tänze / 2")
    assert other.name == "2026-01-02_03-04-05-Tänze-2-2"
    assert open_session(path).name == open_session(other).name == "Tänze / 2"
    assert rename(path, "Tänze / 2") == path and len(list_sessions(tmp_path)) == 2
    with pytest.raises(UserError, match="no recorded session"):
        rename(tmp_path, "x")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have one trash, the user's own")
def test_a_deleted_session_is_in_the_trash(tmp_path):
    root = tmp_path / "recordings"
    path = record(root, 5, "gone").path
    places = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", MOVE_TO_TRASH, path], env=os.environ | places, check=True, timeout=60)
    assert not path.exists() and (tmp_path / "data" / "Trash" / "files" / path.name / "session.json").exists()


def test_only_sessions_can_be_deleted(tmp_path):
    (tmp_path / "photos").mkdir()
    for path in (tmp_path / "photos", tmp_path / "none"):
        with pytest.raises(UserError, match="is no recorded session"):
            move_to_trash(path)
    assert (tmp_path / "photos").exists()


def test_segments_that_do_not_belong_together_are_refused(tmp_path):
    path = record(tmp_path, 60).path
    first, second = list_segments(path)[:2]
    second.write_bytes(first.read_bytes())
    with pytest.raises(UserError, match="does not follow.*recover"):
        open_session(path)


def test_a_video_that_is_something_else_is_not_opened(tmp_path):
    session = open_session(record(tmp_path, 20).path)
    session.video.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n")
    with pytest.raises(UserError, match="no matroska video"):
        next(session.frames())
