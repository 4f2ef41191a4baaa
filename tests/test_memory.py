"""The memory that a run takes: 8K film on an ordinary machine."""

from __future__ import annotations

import os
import sys

import pytest

from lvd_live.paths import DEMO
from tests.conftest import ROOT
from tests.films import ffmpeg, needs_ffmpeg

MOST = 1500 << 20  # bytes


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems count memory otherwise")
def test_8k_film_takes_less_than_a_gigabyte_and_a_half(tmp_path):
    shape = "setpts=N/30/TB,scale=-2:4320,pad=7680:4320:-1:-1"
    ffmpeg(
        "-i",
        DEMO,
        "-vf",
        shape,
        "-r",
        30,
        "-frames:v",
        14,
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        tmp_path / "8k.mp4",
    )
    program = [sys.executable, str(ROOT / "main.py"), "--video", "8k.mp4", "--overlay", "overlay.mp4"]
    child = os.posix_spawn(
        sys.executable,
        [
            sys.executable,
            "-c",
            "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])",
            str(tmp_path),
            *program,
        ],
        os.environ,
    )
    _, status, usage = os.wait4(child, 0)
    assert status == 0 and (tmp_path / "8k.npz").exists() and (tmp_path / "overlay.mp4").exists()
    assert usage.ru_maxrss << 10 < MOST
