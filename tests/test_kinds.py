"""Files by their names and kinds: none vanishes silently, none that is no film or picture is taken for one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.pipeline.jobs import Job, find_jobs, track_with
from lvd_live.sources import ImageSource, heif
from lvd_live.sources.images import read_picture
from lvd_live.tracking.options import TrackerOptions
from tests.conftest import ROOT
from tests.fakes import FakeFinder, FakeTracker
from tests.films import ffmpeg, film, h264, needs_ffmpeg

RED = np.full((40, 60, 3), (10, 20, 200), np.uint8)  # BGR


def jobs_in(folder):
    return [job.clip.name for job in find_jobs(folder, folder / "out", TrackerOptions())]


def test_every_kind_of_film_is_found_in_a_folder(tmp_path):
    names = [f"clip.{kind}" for kind in "ts mts m2ts wmv flv 3gp vob ogv dv gif h264 hevc mp4 mov mxf asf".split()]
    for name in names:
        (tmp_path / name).write_bytes(b"\x47\x00\x11")
    assert sorted(jobs_in(tmp_path)) == sorted(names)


def test_what_is_no_film_is_left_out(tmp_path):
    for name in ("A.MOV", "._A.MOV", "._b.mp4"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / "component.ts").write_text("export const answer: number = 42;\n" * 200)
    assert jobs_in(tmp_path) == ["A.MOV"]


MADE = {
    "a.ts": ["-c:v", "mpeg2video"],
    "a.mts": ["-c:v", "libx264", "-f", "mpegts"],
    "a.wmv": [],
    "a.flv": ["-c:v", "flv1"],
    "a.3gp": ["-c:v", "mpeg4"],
    "a.vob": ["-c:v", "mpeg2video"],
    "a.gif": [],
    "a.h264": ["-c:v", "libx264"],
    "a.hevc": ["-c:v", "libx265", "-x265-params", "log-level=none"],
}


@needs_ffmpeg
@pytest.mark.parametrize("name", MADE)
def test_every_kind_of_film_is_tracked(tmp_path, name):
    path = film(tmp_path / name, *MADE[name], seconds=0.5, size="176x144", fps="30" if name != "a.gif" else "25")
    outcome = track_with(Job(path, tmp_path / "a.npz"), lambda: (FakeFinder(), FakeTracker()))
    assert outcome.tracked == outcome.frames >= 12 and not outcome.problem


def test_more_kinds_of_pictures_are_read(tmp_path, caplog):
    for name, kind in (("1.jfif", ".jpg"), ("2.JPE", ".jpg"), ("3.avif", ".avif"), ("4.gif", ".gif")):
        encoded, data = cv2.imencode(kind, RED)
        if encoded:
            (tmp_path / name).write_bytes(data.tobytes())
    (tmp_path / "._1.jfif").write_bytes(b"\x00\x05\x16\x07")
    with ImageSource(tmp_path) as source:
        frames = list(source)
    assert [frame.name for frame in frames][:2] == ["1.jfif", "2.JPE"] and len(frames) >= 3
    for frame in frames:  # a GIF has few colours
        assert np.abs(frame.picture[20, 30].astype(int) - [200, 20, 10]).max() < (40 if ".gif" in frame.name else 12)
    assert source.skipped == 0 and not caplog.text


def test_pictures_of_unread_kinds_are_named_and_counted(tmp_path, caplog):
    cv2.imwrite(str(tmp_path / "1.jpg"), RED)
    for number in range(7):
        (tmp_path / f"{number}.dng").write_bytes(b"II*\0raw")
    with caplog.at_level(logging.WARNING), ImageSource(tmp_path) as source:
        assert len(list(source)) == 1 and source.skipped == 7
    assert "0.dng, 1.dng, 2.dng, 3.dng, 4.dng and 2 more" in caplog.text


def write_heic(path):
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    from PIL import Image

    pillow_heif.register_heif_opener()
    Image.fromarray(RED[..., ::-1].copy()).save(path, format="HEIF", quality=90)
    return path


@pytest.mark.parametrize("name", ["phone.heic", "really_heic.jpg"])
def test_heic_is_read(tmp_path, name):
    picture = read_picture(write_heic(tmp_path / name))
    assert picture.shape == (40, 60, 3) and np.abs(picture[20, 30].astype(int) - [200, 20, 10]).max() < 12


def test_without_its_package_heic_is_named_as_skipped(tmp_path, caplog, monkeypatch):
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    for name in ("pi_heif", "pillow_heif"):
        monkeypatch.setitem(sys.modules, name, None)
    assert not heif.can_read_heif()
    with pytest.raises(UserError, match=r"lvd-live\[heic\]"):
        list(ImageSource(tmp_path))
    cv2.imwrite(str(tmp_path / "1.jpg"), RED)
    caplog.clear()
    with caplog.at_level(logging.WARNING), ImageSource(tmp_path) as source:
        assert len(list(source)) == 1 and source.skipped == 1
    assert "phone.heic" in caplog.text and "lvd-live[heic]" in caplog.text


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_avif_is_upright(tmp_path, orientation, mode):
    """Judged by Pillow, whose encoder turns EXIF's orientation into the format's own boxes."""
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    from PIL import ImageOps, features

    if not features.check("avif"):
        pytest.skip("this pillow writes no AVIF")
    picture = cv2.resize(np.random.default_rng(3).integers(0, 255, (3, 4, 3), np.uint8), (64, 48))
    exif = image.Exif()
    exif[0x0112] = orientation
    made = image.fromarray(picture).convert(mode)
    if mode == "RGBA":
        made.putalpha(image.fromarray(np.repeat(np.repeat([[0, 255], [128, 255]], 24, 0), 32, 1).astype(np.uint8)))
    made.save(tmp_path / "a.avif", exif=exif.tobytes(), quality=95)
    wanted = ImageOps.exif_transpose(image.open(tmp_path / "a.avif")).convert("RGBA")
    white = image.new("RGBA", wanted.size, "white")
    white.alpha_composite(wanted)
    found = read_picture(tmp_path / "a.avif")
    wanted = np.asarray(white.convert("RGB"))
    assert found.shape == wanted.shape and np.abs(found.astype(int) - wanted).mean() < 6


@needs_ffmpeg
def test_an_avif_of_ten_bits_is_as_bright_as_it_is(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "color=c=0xC08040:size=64x48", "-frames:v", 1, "-c:v", "libaom-av1", "-pix_fmt",
           "yuv420p10le", "-still-picture", 1, "-cpu-used", 8, tmp_path / "a.avif")  # fmt: skip
    picture = read_picture(tmp_path / "a.avif")
    assert np.abs(picture[20, 30].astype(int) - [0xC0, 0x80, 0x40]).max() < 12


@pytest.mark.parametrize("alpha", [False, True])
def test_a_cut_png_is_skipped_quietly(tmp_path, capfd, alpha):
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3 + alpha), np.uint8)
    data = cv2.imencode(".png", picture)[1].tobytes()
    assert read_picture_of(tmp_path / "whole.png", data) is not None
    for length in (20, 33, 40, len(data) // 2, len(data) - 20):
        assert read_picture_of(tmp_path / "cut.png", data[:length]) is None
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0xFF
    assert read_picture_of(tmp_path / "flipped.png", bytes(flipped)) is None
    assert capfd.readouterr() == ("", "")


def read_picture_of(path, data):
    path.write_bytes(data)
    return read_picture(path)


@needs_ffmpeg
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp932"])
def test_output_survives_any_terminal(tmp_path, encoding):
    clip = h264(tmp_path / "散歩 é ♞.mp4", seconds=0.2)
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from lvd_live.cli import main_job as program
from lvd_live.errors import run_cli
from tests.fakes import FakeFinder, FakeTracker
program.make_finder, program.make_tracker = lambda *_, **__: FakeFinder(), lambda options: FakeTracker()
codes = [run_cli(program.main, ["--video", name]) for name in sys.argv[1:]]
sys.exit(0 if codes == [0, 2] else 1)
"""
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    program = [sys.executable, "-c", script, clip.name, "行方不明.mp4"]
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert done.stdout.count(b"6 of 6 frames tracked") == 1
