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


SOUND_FILMS = {
    "a.mp4": ("-c:v", "libx264", "-bf", 2, "-pix_fmt", "yuv420p"),
    "b.mp4": ("-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p"),
    "c.mp4": ("-c:v", "mpeg4", "-movflags", "frag_keyframe+empty_moov"),
    "d.mp4": ("-c:v", "libx264", "-vf", "setsar=4/3", "-c:a", "aac", "-pix_fmt", "yuv420p"),
    "a.mov": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    "b.mov": ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"),
    "c.mov": (
        "-c:v",
        "qtrle",
    ),
    "a.mkv": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    "b.mkv": ("-c:v", "ffv1"),
    "a.webm": ("-c:v", "libvpx-vp9"),
    "b.webm": ("-c:v", "libvpx"),
    "a.avi": ("-c:v", "mpeg4"),
    "b.avi": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    "c.avi": ("-c:v", "rawvideo", "-pix_fmt", "bgr24"),
    "a.flv": ("-c:v", "flv1"),
    "a.ts": ("-c:v", "libx264", "-pix_fmt", "yuv420p"),
    "b.ts": ("-c:v", "mpeg2video"),
    "a.mpg": ("-c:v", "mpeg1video"),
    "a.vob": ("-c:v", "mpeg2video"),
    "a.wmv": ("-c:v", "wmv2"),
    "a.3gp": ("-c:v", "h263", "-s", "128x96"),
    "a.ogv": ("-c:v", "libtheora"),
    "a.gif": (),
    "a.mxf": ("-c:v", "mpeg2video"),
    "a.nut": ("-c:v", "ffv1"),
    "a.h264": ("-c:v", "libx264", "-pix_fmt", "yuv420p"),
    "a.hevc": ("-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p"),
    "a.m2v": ("-c:v", "mpeg2video"),
    "a.mjpeg": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    "a.ivf": ("-c:v", "libvpx"),
    "a.y4m": ("-pix_fmt", "yuv420p"),
}


def sound_films(folder: Path) -> list[Path]:
    """A tiny film of each container and codec that this ffmpeg can make."""
    folder.mkdir()
    made = []
    for name, options in SOUND_FILMS.items():
        path = folder / name
        tone = ["-f", "lavfi", "-i", "sine=duration=0.4"] if "-c:a" in options else []
        source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=0.4", *tone]
        command = [FFMPEG, "-v", "error", "-y", *source, *map(str, options), path]
        if subprocess.run(command, capture_output=True).returncode == 0:
            made.append(path)
    return made
