"""A session after a crash, and files of a session that somebody spoiled: never a traceback, all the rest saved."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lvd_live.cli import tools
from lvd_live.errors import UserError, run_cli
from lvd_live.session import facts, reserve, segments
from lvd_live.session.layout import list_segments
from lvd_live.session.library import list_sessions
from lvd_live.session.reader import open_session
from lvd_live.session.recover import recover
from lvd_live.sources import VideoSource
from tests import test_hostile_npz as hostile
from tests.conftest import ROOT
from tests.recording import make_fit, record

KILLS = int(os.environ.get("LVD_KILLS", "4"))
BYTES = int(os.environ.get("LVD_SPOILT_BYTES", "25"))

LIVE = """
import sys, time
from dataclasses import replace
from pathlib import Path
from lvd_live.session.recorder import Recorder
from tests.fakes import FACES
from tests.recording import FPS, make_fit, make_frame, make_person
recorder = Recorder(Path(sys.argv[1]), "live", faces=FACES, meta={}, fps=FPS)
print(recorder.path, flush=True)
start = time.monotonic_ns()
for index in range(100_000):
    time.sleep(max(0.0, (start + index * 1e9 / FPS - time.monotonic_ns()) / 1e9))
    frame = replace(make_frame(index), timestamp_ns=time.monotonic_ns())
    recorder.add(frame, make_person(index), make_fit(index))
    print(frame.timestamp_ns, flush=True)
"""


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    return record(tmp_path_factory.mktemp("walk"), 90).path


@pytest.fixture
def session(walk, tmp_path):
    return Path(shutil.copytree(walk, tmp_path / "session"))


def start_live(root):
    process = subprocess.Popen([sys.executable, "-c", LIVE, root], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return process, Path(process.stdout.readline().strip())


def last_picture_s(path):
    with VideoSource(path / "video.mkv") as video:
        return max(video.start_ns + frame.timestamp_ns for frame in video) / 1e9


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_kill_9_costs_at_most_a_second(tmp_path):
    rng = random.Random(4)
    for _ in range(KILLS):
        process, path = start_live(tmp_path)
        time.sleep(rng.uniform(0.8, 3.0))
        process.kill()
        times = [int(line) for line in process.communicate()[0].splitlines()[:-1]]  # the last line may be cut
        assert not list_sessions(tmp_path)[0].whole and list_sessions(tmp_path)[0].frames > 0
        report = recover(path)
        session = open_session(path)
        assert report.code == 3 and report.kept and not reserve.is_being_recorded(path)
        assert (times[-1] - session.timestamps_ns[-1]) / 1e9 <= 1.0
        assert (times[-1] - times[0]) / 1e9 - last_picture_s(path) <= 1.0
        for row in range(len(session)):
            assert np.abs(session.vertices[row] - make_fit(int(session.frame_index[row])).vertices).max() <= 1e-4
        assert recover(path).code == 0 and list_sessions(tmp_path)[0].whole
        shutil.rmtree(path)


@pytest.mark.skipif(not reserve.HAS_LOCKS, reason="this system has no such lock")
def test_a_recording_that_goes_on_is_left_alone(tmp_path):
    process, path = start_live(tmp_path)
    try:
        with pytest.raises(UserError, match="is being recorded"):
            recover(path)
    finally:
        process.kill()
        process.communicate()


def spoil(path, rng, count=1):
    data = bytearray(path.read_bytes())
    for _ in range(count):
        data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    path.write_bytes(data)


@pytest.mark.parametrize("count", [1, 200])
@pytest.mark.parametrize("name", ["motion/000000.npz", "motion/000002.npz", "session.json"])
def test_spoilt_bytes_cost_no_more_than_their_file(walk, tmp_path, name, count):
    rng = random.Random(name)
    whole = open_session(walk)
    vertices = np.asarray(whole.vertices)
    for number in range(BYTES if count == 1 else 3):
        path = Path(shutil.copytree(walk, tmp_path / str(number)))
        spoil(path / name, rng, count)
        try:
            open_session(path)
        except UserError as error:
            assert "\n" not in str(error)
        report = recover(path)
        session = open_session(path)
        assert report.code in (0, 3) and len(session) >= (90 if name == "session.json" else 90 - 16)
        assert (np.asarray(session.vertices) == vertices[session.frame_index]).all()
        assert session.meta == whole.meta and (session.faces == whole.faces).all()
        assert session.missed.sum() == 90 - len(session) or session.frame_index[0] > 0
        if len(session) < 90:
            assert any("frames" in sentence and "lost" in sentence for sentence in report.lost)
            assert list((path / "damaged").iterdir())
        assert recover(path).code == 0
        shutil.rmtree(path)


@pytest.mark.parametrize("count", [1, 200])
def test_a_spoilt_video_never_costs_the_motion(walk, tmp_path, count):
    rng = random.Random(5)
    for number in range(20 if count == 1 else 5):
        path = Path(shutil.copytree(walk, tmp_path / str(number)))
        spoil(path / "video.mkv", rng, count)
        assert recover(path).code in (0, 3) and len(open_session(path)) == 90 and recover(path).code == 0


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_a_video_cut_anywhere(session, share):
    video = session / "video.mkv"
    video.write_bytes(video.read_bytes()[: int(share * video.stat().st_size)])
    report = recover(session)
    assert report.code == 3 and any("picture" in sentence for sentence in report.lost)
    assert len(open_session(session)) == 90
    if share >= 0.5:
        pictures = list(open_session(session).frames())
        assert len(pictures) >= 90 * share - 15 and pictures[-1][1].index == len(pictures) - 1
    assert recover(session).code == 0


def test_missing_files_are_named(session):
    (session / "motion" / "000002.npz").unlink()
    (session / "motion" / "000005.npz").unlink()
    (session / "video.mkv").unlink()
    (session / "session.json").unlink()
    report = recover(session)
    assert report.code == 3 and "16 frames between 1.03 and 1.60 s are lost." in report.lost
    assert open_session(session).video is None and open_session(session).name == "walk" and recover(session).code == 0


def test_leftovers_of_a_crash_are_removed(session):
    for name in (".recording", ".session.77.part.json", "motion/.000006.77.part.npz"):
        (session / name).write_bytes(b"x" * 100)
    assert not list_sessions(session.parent)[0].whole
    assert recover(session).code == 0 and not [path for path in session.rglob(".*")]
    assert list_sessions(session.parent)[0].whole


@pytest.mark.parametrize("what", ["no motion", "no segment that is whole", "nothing", "a file"])
def test_what_cannot_be_saved(session, what, capsys):
    if what == "no motion":
        shutil.rmtree(session / "motion")
    elif what == "no segment that is whole":
        for path in (session / "motion").iterdir():
            path.write_bytes(b"PK")
    else:
        shutil.rmtree(session)
        session.mkdir() if what == "nothing" else session.write_text("x")
    assert run_cli(tools.main, ["recover", str(session)]) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in err and ("unusable" in out or "no recorded session" in err)


def test_the_tool_says_what_it_did(session, capsys):
    assert run_cli(tools.main, ["recover", str(session)]) == 0 and "The session is whole." in capsys.readouterr().out
    (session / "motion" / "000001.npz").write_bytes(b"")
    assert run_cli(tools.main, ["recover", str(session)]) == 3
    out = capsys.readouterr().out
    assert "16 frames between 0.50 and 1.07 s are lost." in out
    assert "000001.npz is damaged and was moved to damaged." in out


BAD_FACTS = {
    "no JSON": b"{",
    "a list": b"[1]",
    "deep": b"[" * 100_000,
    "other text": b"\xff\xfe",
    "empty": b"",
    "long": b" " * (2 << 20),
    "another version": {"lvd_session": 99},
    "a name that is a number": {"name": 5},
    "frames that are a text": {"frames": "many"},
    "negative frames": {"frames": -1},
    "infinite fps": {"fps": 1e999},
    "meta that is a text": {"meta": "x"},
    "a time that is none": {"started": 7},
    "measurements that are a text": {"measurements": "tall"},
    "a height that is a text": {"measurements": {"height": {"cm": "tall", "spread_cm": 1}}},
    "an error that is a text": {"measurements": {"height": {"cm": 175, "spread_cm": 1, "error_cm": "none"}}},
    "a height without end": {"measurements": {"height": {"cm": 1e999, "spread_cm": 1}}},
}


@pytest.mark.parametrize("what", BAD_FACTS)
def test_a_hostile_session_json_is_refused_in_a_sentence_and_mended(session, what):
    bad = BAD_FACTS[what]
    if isinstance(bad, dict):
        values = {**facts.read_facts(session), **bad}
        bad = json.dumps(values | {"crc32": facts.checksum(values)}).encode()
    (session / "session.json").write_bytes(bad)
    with pytest.raises(UserError) as caught:
        open_session(session)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    (info,) = list_sessions(session.parent)
    assert not info.whole and info.frames == 90
    assert recover(session).code == 3 and len(open_session(session)) == 90 and recover(session).code == 0


T, K, N = 3, 2, 5


def good_segment():
    columns = {name: np.zeros((T, *shape), dtype) for name, (shape, dtype) in segments.COLUMNS.items()}
    columns |= {
        "tracked": np.array([True, False, True]),
        "timestamps_ns": np.arange(T),
        "video_ms": np.arange(T),
        "image_size": np.full((T, 2), 8, np.int32),
    }
    return columns | {
        "lvd_segment": np.int32(1),
        "session": np.array(b"{}"),
        "row": np.int64(0),
        "centre": np.zeros((K, 3)),
        "step": np.full(K, 1e-4),
        "offsets": np.zeros((2, K, N, 3), np.uint8),
        "std": np.zeros((2, K, N), np.uint8),
        "faces": np.array([[0, 1, 2], [2, 3, 4]], np.int32),
    }


def changed(**arrays):
    return lambda path: hostile.archive(path, good_segment() | arrays)


def raw(**members):
    return lambda path: hostile.archive(
        path, good_segment(), raw={f"{name}.npy": data for name, data in members.items()}
    )


HOSTILE_SEGMENTS = {
    "a newer schema": changed(lvd_segment=np.int32(2)),
    "times that fall": changed(timestamps_ns=np.array([0, 2, 1])),
    "more meshes than tracked rows": changed(tracked=np.zeros(T, bool)),
    "no row": lambda path: hostile.archive(
        path,
        {name: array[:0] if array.ndim and len(array) in (T, K) else array for name, array in good_segment().items()},
    ),
    "a negative row": changed(row=np.int64(-1)),
    "negative drops": changed(dropped=np.full(T, -1, np.int32)),
    "a picture of no size": changed(image_size=np.zeros((T, 2), np.int32)),
    "NaN in the camera": changed(intrinsics=np.full((T, 3, 3), np.nan)),
    "NaN in a step": changed(step=np.full(K, np.nan)),
    "a step of nothing": changed(step=np.zeros(K)),
    "a giant": changed(step=np.full(K, 1e9)),
    "a mesh beyond the moon": changed(centre=np.full((K, 3), 1e300)),
    "faces beyond the mesh": changed(faces=np.array([[0, 1, N]], np.int32)),
    "no faces": changed(faces=np.zeros((0, 3), np.int32)),
    "floats for offsets": changed(offsets=np.zeros((K, N, 3), np.float32)),
    "a pickle": raw(session=hostile.npy(np.array(hostile.Evil(), object), allow_pickle=True)),
    "a header of 72 TiB": raw(offsets=hostile.header((2, K, 6_600_000_000_000, 3), "|u1")),
    "a bomb": lambda path: hostile.archive(
        path, good_segment() | {"std": np.zeros((2, K, 60_000_000), np.uint8)}, compression=8
    ),
    "a path for a name": lambda path: hostile.archive(path, good_segment(), raw={"../x.npy": hostile.npy(np.zeros(2))}),
    "a sequence": lambda path: hostile.archive(path),
    "cut": lambda path: path.write_bytes(hostile.archive(path, good_segment()).read_bytes()[:-30]),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("what", HOSTILE_SEGMENTS)
def test_a_hostile_segment_is_refused_in_a_sentence(session, what):
    for path in list_segments(session):
        path.unlink()
    HOSTILE_SEGMENTS[what](session / "motion" / "000000.npz")
    tracemalloc.start()
    with pytest.raises(UserError) as caught:
        np.asarray(open_session(session).vertices)
    assert recover(session).code == 1
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    assert tracemalloc.get_traced_memory()[1] < 300e6
    tracemalloc.stop()


def test_the_good_segment_is_taken(session):
    for path in list_segments(session):
        path.unlink()
    hostile.archive(session / "motion" / "000000.npz", good_segment())
    assert open_session(session).vertices.shape == (T, N, 3) and recover(session).code == 3


def test_pipes_and_strangers_in_the_folder_are_left_alone(session):
    (session / "motion" / "notes.txt").write_text("mine")
    (session / "motion" / "000099.npz").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(session / "motion" / "000098.npz")
    assert len(open_session(session)) == 90 and recover(session).code == 0
    assert (session / "motion" / "notes.txt").exists()
