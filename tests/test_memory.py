"""The memory that a run takes: 8K film on an ordinary machine."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from lvd_live.memory import without_collector
from lvd_live.paths import DEMO
from tests.conftest import ROOT
from tests.films import ffmpeg, needs_ffmpeg

MOST = 1500 << 20  # bytes


def test_the_collector_rests_and_comes_back():
    with pytest.raises(KeyError), without_collector():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()
    gc.disable()
    try:
        with without_collector():
            pass
        assert not gc.isenabled()  # it was off before
    finally:
        gc.enable()


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
    # a process begins with the peak of the one that made it: a small one stands between this one and the program
    between = "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); " + (
        "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", between, *program], cwd=tmp_path, capture_output=True, text=True)
    status, peak = map(int, done.stdout.splitlines()[-1].split())
    assert status == 0 and (tmp_path / "8k.npz").exists() and (tmp_path / "overlay.mp4").exists()
    assert peak << 10 < MOST
