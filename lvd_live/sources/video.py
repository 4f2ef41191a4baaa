"""Video files, frame by frame, with the timestamps that the file states."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from lvd_live.errors import UserError
from lvd_live.sources.container import UPRIGHT, open_video, turn_of, turned
from lvd_live.sources.frame import Frame

log = logging.getLogger(__name__)

_MISSING_TOLERATED = 2  # frames that a header may count and a decoder not give
_NS = 1_000_000_000
_HALF_MS = _NS // 2000


class VideoSource:
    """The frames of a video file, in the order shown, turned upright as the file's rotation says; see `Source`.

    Can be iterated again: it then starts at the beginning. Frame.timestamp_ns counts from the first frame.

    start_ns : the first frame's own time in the file, nanoseconds; known once that frame has been read.
    fps : nominal frames per second; None when the file does not say.
    frame_count : frames expected, an estimate; None when the file does not say.
    size : (width, height) of the upright picture, pixels.
    damaged : None, or, after iterating over a file that is cut or broken, a sentence that says so.
    Raises UserError when the file cannot be opened as a video.
    """

    live: bool = False
    dropped: int = 0
    skipped: int = 0
    state: str = "running"

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.start_ns = 0
        self.damaged: str | None = None
        self._turn = UPRIGHT
        self._container: InputContainer | None = open_video(self.path)
        stream = self._stream
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.frame_count = self._expected_frames()
        self.size = self._upright_size()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def __iter__(self) -> Iterator[Frame]:
        """Raises UserError when not one frame can be decoded."""
        self.close()
        self.damaged = None
        self._container = open_video(self.path)
        index, last_ns, longest_ns, unreadable = 0, -1, 0, 0
        for decoded in self._decoded():
            if decoded is None:
                unreadable += 1
                continue
            time_ns = self._time_ns(decoded, index, last_ns)
            longest_ns, last_ns = max(longest_ns, time_ns - last_ns) if index else 0, time_ns
            yield self._frame(decoded, index, time_ns)
            index += 1
        if self._container is not None:  # not closed half-way
            self._report_damage(index, unreadable, last_ns + longest_ns)

    def frames_from(self, timestamp_ns: int) -> Iterator[Frame]:
        """The frames at or after `timestamp_ns`, to half a millisecond; sought, so their index is unknown and -1.

        Raises UserError.
        """
        after_ns = timestamp_ns - _HALF_MS
        next(iter(self), None)  # sets start_ns
        sought = False
        for decoded in self._decoded() if self._seek(timestamp_ns) else ():
            if decoded is None or decoded.pts is None or decoded.time_base is None:
                continue
            time_ns = round(Fraction(decoded.pts) * decoded.time_base * _NS) - self.start_ns
            if not sought and time_ns > timestamp_ns + _HALF_MS:
                break  # landed too late: then from the beginning
            sought = True
            if time_ns >= after_ns:
                yield self._frame(decoded, -1, time_ns)
        if not sought:
            yield from (frame for frame in self if frame.timestamp_ns >= after_ns)

    def _seek(self, timestamp_ns: int) -> bool:
        """Go to the key frame at or before `timestamp_ns`; False, and closed, where the file cannot seek."""
        stream = self._stream
        if self._container is not None and stream.time_base is not None:
            try:
                offset = int((self.start_ns + max(timestamp_ns, 0)) / _NS / stream.time_base)
                self._container.seek(offset, stream=stream)
                return True
            except (av.error.FFmpegError, OverflowError):
                pass
        self.close()
        return False

    @property
    def _stream(self) -> av.VideoStream:
        """The file's first video stream. Raises ValueError when the file is closed."""
        if self._container is None:
            raise ValueError(f"{self.path} is closed")
        return self._container.streams.video[0]

    def _decoded(self) -> Iterator[av.VideoFrame | None]:
        """Decoded frames; None for each packet that cannot be decoded, or for the place where the file breaks off."""
        if self._container is None:
            return
        packets = self._container.demux(self._stream)
        while self._container is not None:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError:
                yield None
                return
            try:
                yield from packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                yield None

    def _frame(self, decoded: av.VideoFrame, index: int, time_ns: int) -> Frame:
        """A decoded frame as RGB, whatever its pixel format, turned as the first frame was.

        Its own display matrix is not asked for: a frame whose side data was read stays until Python collects cycles.
        """
        picture = turned(decoded.to_ndarray(format="rgb24"), self._turn)
        return Frame(picture, index, time_ns, self.path.name)

    def _time_ns(self, frame: av.VideoFrame, index: int, last_ns: int) -> int:
        """Nanoseconds since the first frame, exact where the frame has a timestamp; always later than `last_ns`."""
        if frame.pts is None or frame.time_base is None:
            time_ns = round(index * _NS / (self.fps or 30.0))
        else:
            time_ns = round(Fraction(frame.pts) * frame.time_base * _NS)
            if index == 0:
                self.start_ns = time_ns
            time_ns -= self.start_ns
        return max(time_ns, last_ns + 1)

    def _report_damage(self, decoded: int, unreadable: int, end_ns: int) -> None:
        """Set `damaged` where frames are missing. Raises UserError where all are.

        A file that counts its frames is held to the count, another to its duration: its rate may vary.
        end_ns : when the last picture gave way, at the latest.
        """
        count, seconds = self._stream.frames, self._seconds()
        if count:
            short = count - decoded > max(_MISSING_TOLERATED, 0.02 * count)
        else:
            short = seconds - end_ns / _NS > max(_MISSING_TOLERATED / (self.fps or 30.0), 0.02 * seconds)
        if decoded == 0:
            reason = "the video is damaged, or made with an unknown codec"
            raise UserError(f"Not one picture of {self.path} can be decoded: {reason}.")
        if unreadable or short:
            expected = f" of about {self.frame_count}" if self.frame_count else ""
            self.damaged = f"{self.path} is cut short or damaged: {decoded}{expected} frames could be read."
            log.warning("%s", self.damaged)

    def _expected_frames(self) -> int | None:
        stream = self._stream
        if stream.frames:
            return stream.frames
        if not self.fps:
            return None
        return round(self._seconds() * self.fps) or None

    def _seconds(self) -> float:
        """The duration that the file states; 0 where it states none."""
        stream = self._stream
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        whole = self._container.duration if self._container is not None else None
        return (whole or 0) / av.time_base

    def _upright_size(self) -> tuple[int, int]:
        """(width, height) from the first frame, because only that knows the rotation; sets `_turn`."""
        context = self._stream.codec_context
        first = next((frame for frame in self._decoded() if frame is not None), None)
        if first is None:
            return context.width, context.height
        self._turn = turn_of(first)
        (_, b), _ = self._turn
        return (first.height, first.width) if b else (first.width, first.height)
