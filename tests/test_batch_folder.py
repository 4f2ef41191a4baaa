"""One folder of healthy films and pictures of every kind: each is tracked and accounted for, and nothing is faulted."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from lvd_live.session.sequence import load_sequence
from tests.conftest import ROOT
from tests.films import count_frames, needs_ffmpeg
from tests.healthy import NO_FILMS, make_healthy, make_pictures

pytestmark = [pytest.mark.slow, needs_ffmpeg]


def run(folder, *arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=None, capture_output=True, text=True, timeout=1800)


def test_a_folder_of_healthy_films_exits_0_with_every_file_accounted(tmp_path):
    films = make_healthy(tmp_path / "films")
    assert len(films) > 60
    done = run(ROOT, "-m", "lvd_live", "batch", tmp_path / "films", "--out", tmp_path / "out", "--quality", "live")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {m[1]: (int(m[2]), int(m[3])) for m in re.finditer(r"^\| (.+?) \| (\d+) \| (\d+) \|", done.stdout, re.M)}
    assert rows.keys() == {str(film.relative_to(tmp_path / "films")) for film in films}
    wrong = {}
    for film in films:
        name = str(film.relative_to(tmp_path / "films"))
        frames, tracked = rows[name]
        sequence = load_sequence(tmp_path / "out" / f"{name}.npz")
        theirs = (
            40 if name == "thumbnail first.mkv" else count_frames(f"file:{film}")
        )  # ffprobe counts the first stream
        if not frames == len(sequence) == theirs or tracked < 0.6 * frames or sequence.meta.get("damaged"):
            wrong[name] = rows[name], theirs
    assert not wrong
    assert "component.ts, notes.txt" in done.stderr and "._" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr and len(rows) == len(films) and len(NO_FILMS) == 4
    again = run(ROOT, "-m", "lvd_live", "batch", tmp_path / "films", "--out", tmp_path / "out", "--quality", "live")
    assert again.returncode == 0 and again.stdout.count("done before") == len(films)


def test_a_folder_of_pictures_of_every_kind(tmp_path):
    names = make_pictures(tmp_path / "pictures")
    main = ROOT / "main.py"
    done = run(tmp_path, main, "--images", tmp_path / "pictures", "--output", tmp_path / "a.npz", "--quality", "live")
    assert done.returncode == 0 and f"{len(names)} of {len(names)} frames tracked" in done.stdout, done.stderr
    assert sorted(load_sequence(tmp_path / "a.npz").meta["names"]) == sorted(names) and "skip" not in done.stderr
