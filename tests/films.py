"""Small films made by ffmpeg, as people's cameras, cutters and converters make them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

FFMPEG, FFPROBE = shutil.which("ffmpeg"), shutil.which("ffprobe")
needs_ffmpeg = pytest.mark.skipif(not (FFMPEG and FFPROBE), reason="ffmpeg and ffprobe are not installed")


def ffmpeg(*arguments: object) -> None:
    """Run ffmpeg; a failure fails the test, an encoder that it lacks skips it."""
    done = subprocess.run([FFMPEG, "-v", "error", "-y", *map(str, arguments)], capture_output=True, text=True)
    if "Unknown encoder" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr


def film(path: Path, *options: object, seconds: float = 2, fps: str = "30", size: str = "64x48", sound: float = 0):
    """A test picture of so many seconds, with `sound` seconds of a tone; options of ffmpeg's output."""
    tone = ["-f", "lavfi", "-i", f"sine=duration={sound}"] if sound else []
    ffmpeg("-f", "lavfi", "-i", f"testsrc=size={size}:rate={fps}:duration={seconds}", *tone, *options, path)
    return path


def h264(path: Path, *options: object, **shape):
    """`film` in H.264."""
    return film(path, "-c:v", "libx264", "-pix_fmt", "yuv420p", *options, **shape)


def count_frames(path: Path) -> int:
    """By ffprobe, decoding."""
    arguments = ["-v", "error", "-select_streams", "v:0", "-count_frames", "-show_entries", "stream=nb_read_frames"]
    done = subprocess.run([FFPROBE, *arguments, "-of", "json", path], capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)["streams"][0]["nb_read_frames"])
