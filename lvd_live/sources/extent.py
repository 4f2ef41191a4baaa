"""What a video file states of its own length and rate, as far as it can be believed."""

from __future__ import annotations

import contextlib
import os
import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

SLOWEST, FASTEST = 0.01, 1000.0  # frames per second that are believed; the second one is a clock's, not a camera's
ASSUMED_FPS = 25.0
_NO_TIMESTAMPS = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS: raw video
_OWN = {"mov", "avi", "mxf"}  # formats whose header states each stream's own length
_WHOLE = _OWN | {"matroska", "flv", "asf"}  # whose header states a length; others are estimated from their last packets
_ABSOLUTE = {"matroska", "flv", "asf"}  # whose length is counted from 0, however late the first packet is
_LEAST_BYTES = 8  # of a frame
_FRAMES_TOLERATED, _SHARE_TOLERATED = 2, 0.02
_WHOLE_TOLERATED_S = 0.25  # a whole file's length is often some packets too long


@dataclass(frozen=True)
class Extent:
    """Rate and length of a video stream.

    fps : frames per second; None where the file does not say. assumed : `fps` is a guess, the file has none.
    frames : how many are expected, a hint; None where unknown.
    start_s : when the stream starts, seconds on the file's clock.
    end_s : when it ends by its own account, on the same clock; None where the format states no length of its own.
    whole_end_s : when the longest stream of the file ends; None where the format states no length.
    """

    fps: float | None
    assumed: bool
    frames: int | None
    start_s: float
    end_s: float | None
    whole_end_s: float | None

    @classmethod
    def of(cls, container: InputContainer, stream: av.VideoStream) -> Extent:
        """What `container` states of its `stream`."""
        kinds = set(container.format.name.split(","))
        fps, assumed = _rate(container, stream)
        start_s = _seconds(stream.start_time, stream.time_base) or 0.0
        whole_end_s = _whole_end_s(container, kinds)
        length_s = None if "asf" in kinds else _seconds(stream.duration, stream.time_base)  # ASF's is the whole file's
        end_s = start_s + length_s if length_s and kinds & _OWN else None
        if "matroska" in kinds:
            end_s = _tagged_end_s(stream, start_s, whole_end_s)
        expected_s = length_s
        if not expected_s:
            known_end_s = end_s if end_s is not None else whole_end_s
            expected_s = max(known_end_s - start_s, 0.0) if known_end_s is not None else None
        if "avi" in kinds:  # of a file that was cut, the length is a guess from what is left
            expected_s = None
        frames = _expected_frames(stream.frames, expected_s, fps)
        if frames and container.size and frames > container.size / _LEAST_BYTES:  # as after a clock that leaps
            frames = None
        return cls(fps, assumed, frames, start_s, end_s, whole_end_s)

    def is_early(self, reached_s: float, any_reached_s: float, longest_s: float) -> bool:
        """Whether the file clearly ended before the end that it states.

        reached_s : the end of the stream's last packet or picture, on the file's clock. any_reached_s : the same of all
        streams: where only the file's length is stated, another stream may be the longest. longest_s : the longest time
        for which a picture was shown; the last one may be, too.
        """
        tolerated_s = _FRAMES_TOLERATED / (self.fps or 30.0)
        if self.end_s is not None:
            end_s, reached_s = self.end_s, reached_s + min(longest_s, 1.0)
        elif self.whole_end_s is not None:
            end_s, reached_s = self.whole_end_s, max(reached_s + min(longest_s, 1.0), any_reached_s)
            tolerated_s = max(tolerated_s, _WHOLE_TOLERATED_S)
        else:
            return False
        length_s = end_s - self.start_s
        return end_s - reached_s > max(tolerated_s, _SHARE_TOLERATED * length_s)


def is_cut_avi(path: Path, frames: int | None, decoded: int) -> bool:
    """Whether an AVI file is shorter than it says, and gave clearly fewer frames than the `frames` in its header."""
    if not frames or frames - decoded <= max(_FRAMES_TOLERATED, _SHARE_TOLERATED * frames):
        return False
    with contextlib.suppress(OSError), open(path, "rb") as file:
        size, at = os.fstat(file.fileno()).st_size, 0
        while len(head := file.read(8)) == 8 and head.startswith(b"RIFF"):
            (length,) = struct.unpack("<I", head[4:])
            if not 0 < length < 0xFFFFFFFF:  # a recorder that was stopped did not come to write it
                return False
            at += 8 + length + length % 2
            if at > size + 1:
                return True
            file.seek(at)
    return False


def _rate(container: InputContainer, stream: av.VideoStream) -> tuple[float | None, bool]:
    """Frames per second, and whether they are assumed."""
    context = stream.codec_context
    rates = [stream.average_rate, stream.guessed_rate]
    timeless = bool(container.format.flags & _NO_TIMESTAMPS)
    if timeless:  # raw video: what the codec's own header says
        rates = [context.framerate if context is not None else None]
    for rate in rates:
        if rate and SLOWEST <= rate < FASTEST:
            return float(rate), False
    return (ASSUMED_FPS, True) if timeless else (None, False)


def _whole_end_s(container: InputContainer, kinds: set[str]) -> float | None:
    if not container.duration or not kinds & _WHOLE:
        return None
    start = 0 if kinds & _ABSOLUTE else container.start_time or 0
    return (start + container.duration) / av.time_base


def _tagged_end_s(stream: av.VideoStream, start_s: float, whole_end_s: float | None) -> float | None:
    """Matroska's DURATION tag of one track, "00:00:02.023000000": when the track ends. None without a sensible one."""
    text = next((value for key, value in stream.metadata.items() if key.upper().startswith("DURATION")), "")
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text.strip())
    if match is None:
        return None
    end_s = 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])
    if end_s <= start_s:
        return None
    return end_s if whole_end_s is None else min(end_s, whole_end_s)


def _expected_frames(count: int, length_s: float | None, fps: float | None) -> int | None:
    """A header counts frames that an edit list hides or that were dropped: where both are known, the smaller."""
    by_time = round(length_s * fps) if length_s and fps else 0
    return min(count, by_time) or max(count, by_time) or None


def _seconds(ticks: int | None, time_base: Fraction | None) -> float | None:
    return None if ticks is None or time_base is None else float(ticks * time_base)
