"""Generated films: codec, container, timing, size, rotation, pixel aspect, sound; judged by ffprobe's own account."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from lvd_live.sources import VideoSource
from tests.films import FFMPEG, FFPROBE, needs_ffmpeg

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
from hypothesis import HealthCheck, given, settings  # noqa: E402 - only where it is installed
from hypothesis import strategies as st  # noqa: E402

CASES = int(os.environ.get("LVD_FUZZ_CASES", "300"))
WHAT_FITS = {
    "mp4": ["libx264", "mpeg4", "libx265"],
    "mov": ["libx264", "mjpeg", "mpeg4"],
    "mkv": ["libx264", "libvpx", "ffv1", "mpeg2video", "mjpeg"],
    "webm": ["libvpx"],
    "avi": ["mpeg4", "mjpeg", "libx264"],
    "flv": ["libx264", "flv1"],
    "ts": ["libx264", "mpeg2video"],
    "mpg": ["mpeg2video"],
    "wmv": ["wmv2"],
}
SOUNDS = {"webm": "libopus", "flv": "aac", "wmv": "wmav2", "mpg": "mp2", "ts": "mp2", "avi": "mp2"}


@st.composite
def films(draw) -> tuple[str, list[str]]:
    """A file's ending, and ffmpeg's arguments that make such a file."""
    kind = draw(st.sampled_from(sorted(WHAT_FITS)))
    codec = draw(st.sampled_from(WHAT_FITS[kind]))
    rate = draw(st.sampled_from(["24000/1001", "25", "30000/1001", "30", "60"]))
    width, height = (draw(st.integers(16, 60)) * 2 for _ in "wh")
    seconds = draw(st.sampled_from([0.5, 1.0, 1.6]))
    arguments = ["-f", "lavfi", "-i", f"testsrc=size={width}x{height}:rate={rate}:duration={seconds}"]
    if sound := draw(st.sampled_from([0, 0.4, 2.2])):
        arguments += ["-f", "lavfi", "-i", f"sine=duration={sound}:sample_rate=44100"]
        arguments += ["-c:a", SOUNDS.get(kind, "aac"), "-ac", "1" if kind != "webm" else "2"]
    filters = [f"setsar={draw(st.sampled_from(['1', '4/3', '8/9', '16/11']))}"]
    if kind not in ("mpg", "ts") and draw(st.booleans()):  # frames left out
        filters.append(f"select='mod(n,{draw(st.integers(2, 5))})'")
        arguments += ["-fps_mode", "passthrough"]
    arguments += ["-vf", ",".join(filters), "-c:v", codec, "-g", str(draw(st.sampled_from([1, 5, 30])))]
    arguments += ["-pix_fmt", "yuvj420p" if codec == "mjpeg" else "yuv420p"]
    if late := draw(st.sampled_from([0, 0, 3.5])):
        arguments += ["-output_ts_offset", str(late)]
    return kind, arguments


def probe(path: Path) -> dict:
    """ffprobe's account: the stream, and the times of its frames."""
    show = "stream=width,height,sample_aspect_ratio:frame=best_effort_timestamp_time"
    command = [FFPROBE, "-v", "error", "-select_streams", "v:0", "-show_entries", show, "-of", "json", path]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def shown_size(stream: dict) -> tuple[int, int]:
    """(width, height) with square pixels, neither side made shorter."""
    across, down = map(int, stream.get("sample_aspect_ratio", "1:1").split(":"))
    width, height, aspect = stream["width"], stream["height"], across / down if across and down else 1.0
    return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))


@pytest.mark.slow
@needs_ffmpeg
@settings(max_examples=CASES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(films())
def test_frames_times_and_size_are_those_of_ffprobe(made):
    kind, arguments = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"film.{kind}"
        done = subprocess.run([FFMPEG, "-v", "error", "-y", *arguments, path], capture_output=True, text=True)
        hypothesis.assume(done.returncode == 0)
        account = probe(path)
        with VideoSource(path) as source:
            frames = list(source)
        assert source.damaged is None and not source.notes
        assert len(frames) == len(account["frames"])
        assert source.size == shown_size(account["streams"][0]) == frames[0].picture.shape[1::-1]
        stamps = np.array([frame.timestamp_ns for frame in frames]) / 1e9
        assert (np.diff(stamps) > 0.005).all()
        theirs = [frame.get("best_effort_timestamp_time") for frame in account["frames"]]
        if kind != "avi" and None not in theirs:  # of B-frames in AVI ffprobe only guesses
            assert np.allclose(stamps, np.array(theirs, float) - float(theirs[0]), atol=0.002)


@pytest.mark.slow
@needs_ffmpeg
@settings(
    max_examples=CASES // 3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
@given(films(), st.floats(0.3, 0.9), st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=6))
def test_damage_takes_a_sentence_and_never_a_traceback(made, share, flips):
    """Cut, and with bytes changed: a UserError, or frames in rising order."""
    from lvd_live.errors import UserError

    kind, arguments = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"film.{kind}"
        done = subprocess.run([FFMPEG, "-v", "error", "-y", *arguments, path], capture_output=True, text=True)
        hypothesis.assume(done.returncode == 0)
        data = bytearray(path.read_bytes())
        data = data[: int(len(data) * share)]
        for at, change in flips:
            data[int(at * (len(data) - 1))] ^= change
        path.write_bytes(data)
        try:
            with VideoSource(path) as source:
                stamps = [frame.timestamp_ns for frame in source]
        except UserError as error:
            assert str(error).count("\n") == 0
            return
        assert stamps and (np.diff(stamps) > 0).all()
