"""Video files, frame by frame, with the timestamps that the file states."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from lvd_live.errors import UserError
from lvd_live.sources.frame import Frame
from lvd_live.storage.files import look_up

log = logging.getLogger(__name__)

_DECODER_THREADS = 4  # each holds a few decoded pictures: a bound on memory for 8K video
_MISSING_TOLERATED = 2  # frames that a header may count and a decoder not give
_NS = 1_000_000_000


class VideoSource:
    """The frames of a video file, in the order shown, turned upright as the file's rotation says.

    Frame.timestamp_ns counts from the first frame; `start_ns` is that frame's own time in the file, nanoseconds.
    fps          nominal frames per second, float; None when the file does not say.
    frame_count  frames expected, or None when the file does not say: an estimate.
    size         (width, height) of the upright picture, pixels.
    damaged      None, or, after iterating over a file that is cut or broken, a sentence that says so.
    Can be iterated again: it then starts at the beginning. Raises UserError when the file cannot be opened as a video.
    """

    live, dropped, skipped, state = False, 0, 0, "running"

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.start_ns = 0
        self.damaged: str | None = None
        self._matrix = (1, 0), (0, 1)
        self._container = _open(self.path)
        stream = self._stream
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.frame_count = self._expected_frames()
        self.size = self._upright_size()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *exception) -> None:
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
        self._container = _open(self.path)
        index, last_ns, longest_ns, unreadable = 0, -1, 0, 0
        for decoded in self._decoded():
            if decoded is None:
                unreadable += 1
                continue
            time_ns = self._time_ns(decoded, index, last_ns)
            longest_ns, last_ns = max(longest_ns, time_ns - last_ns) if index else 0, time_ns
            yield Frame(self._upright_picture(decoded), index, time_ns, self.path.name)
            index += 1
        if self._container is not None:  # not closed half-way
            self._report_damage(index, unreadable, last_ns + longest_ns)

    def frames_from(self, timestamp_ns: int) -> Iterator[Frame]:
        """The frames at or after `timestamp_ns`, to half a millisecond; sought, so that their index is unknown and -1. Raises UserError."""
        after_ns = timestamp_ns - _NS // 2000
        next(iter(self), None)  # tells start_ns
        stream, sought = self._stream, False
        try:
            self._container.seek(int((self.start_ns + max(timestamp_ns, 0)) / _NS / stream.time_base), stream=stream)
        except (av.error.FFmpegError, TypeError, OverflowError):  # a file that cannot seek, or states no time base
            self.close()
        for decoded in self._decoded() if self._container else ():
            if decoded is None or decoded.pts is None:
                continue
            time_ns = round(Fraction(decoded.pts) * decoded.time_base * _NS) - self.start_ns
            if not sought and time_ns > timestamp_ns + _NS // 2000:
                break  # landed too late: then from the beginning
            sought = True
            if time_ns >= after_ns:
                yield Frame(self._upright_picture(decoded), -1, time_ns, self.path.name)
        if not sought:
            yield from (frame for frame in self if frame.timestamp_ns >= after_ns)

    @property
    def _stream(self) -> av.VideoStream:
        return self._container.streams.video[0]

    def _decoded(self) -> Iterator[av.VideoFrame | None]:
        """Decoded frames; None for each packet that cannot be decoded, or for the place where the file breaks off."""
        stream = self._stream
        packets = self._container.demux(stream)
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

    def _upright_picture(self, frame: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB, whatever the pixel format, turned as the first frame's display matrix says: a frame that was asked for its own lives until Python looks for cycles."""
        picture, ((a, b), (c, d)) = frame.to_ndarray(format="rgb24"), self._matrix
        if b:
            picture = picture.transpose(1, 0, 2)
        return np.ascontiguousarray(picture[:: b or d, :: a or c])

    def _time_ns(self, frame: av.VideoFrame, index: int, last_ns: int) -> int:
        """Nanoseconds since the first frame, exact where the frame has a timestamp; always later than the one before."""
        if frame.pts is None or frame.time_base is None:
            time_ns = round(index * _NS / (self.fps or 30.0))
        else:
            time_ns = round(Fraction(frame.pts) * frame.time_base * _NS)
            if index == 0:
                self.start_ns = time_ns
            time_ns -= self.start_ns
        return max(time_ns, last_ns + 1)

    def _report_damage(self, decoded: int, unreadable: int, end_ns: int) -> None:
        """end_ns: when the last picture gave way, at the latest. A file that counts its pictures is held to the count, another to its duration: its rate may vary."""
        count, seconds = self._stream.frames, self._seconds()
        if count:
            short = count - decoded > max(_MISSING_TOLERATED, 0.02 * count)
        else:
            short = seconds - end_ns / _NS > max(_MISSING_TOLERATED / (self.fps or 30.0), 0.02 * seconds)
        if decoded == 0:
            raise UserError(
                f"Not one picture of {self.path} can be decoded: the video is damaged, or made with an unknown codec."
            )
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
        """How long the file says that it is; 0 where it does not."""
        stream = self._stream
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return (self._container.duration or 0) / av.time_base

    def _upright_size(self) -> tuple[int, int]:
        """From the first frame, because only it knows the rotation."""
        context = self._stream.codec_context
        first = next((frame for frame in self._decoded() if frame is not None), None)
        if first is None:
            return context.width, context.height
        self._matrix = (_, b), _ = _display_matrix(first)
        return (first.height, first.width) if b else (first.width, first.height)


def _open(path: Path) -> av.container.InputContainer:
    there = look_up(path)
    if there is None:
        raise UserError(f"There is no file {path}: check the name.")
    if stat.S_ISDIR(there.st_mode):
        raise UserError(f"{path} is a folder, not a video: give a file, or use --images for a folder of pictures.")
    try:
        container = av.open(str(path)) if there.st_size else None
    except PermissionError:
        raise UserError(f"{path} may not be read: check the file's permissions.") from None
    except (av.error.FFmpegError, OSError, ValueError):
        raise UserError(f"{path} cannot be read as a video: it is damaged, cut short, or not a video at all.") from None
    if container is None:
        raise UserError(f"{path} is empty: record or copy it again.")
    if not container.streams.video or _is_text(container):
        container.close()
        raise UserError(f"{path} holds no video: give a file that has pictures in it.")
    context = container.streams.video[0].codec_context
    if context is None:
        container.close()
        raise UserError(f"{path} was made with a codec that this program cannot decode: convert it to H.264.")
    context.thread_type = "AUTO"
    context.thread_count = _DECODER_THREADS
    return container


def _is_text(container: av.container.InputContainer) -> bool:
    """ffmpeg shows a text file as a video of its letters."""
    return container.format.name == "tty"


def _display_matrix(frame: av.VideoFrame) -> tuple[tuple[int, int], tuple[int, int]]:
    """(a, b), (c, d), each 1, 0 or -1: a pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift. One that is no quarter turn or mirror image is ignored, as players do."""
    told = frame.side_data.get("DISPLAYMATRIX")
    if told is not None and len(raw := bytes(told)) >= 36:
        a, b, _, c, d = np.frombuffer(raw, np.int32, 5) / 65536
        if (
            np.isclose(abs(a * d - b * c), 1, atol=0.1)
            and np.isclose(sorted(map(abs, (a, b, c, d))), (0, 0, 1, 1), atol=0.1).all()
        ):
            return (round(a), round(b)), (round(c), round(d))
    return (1, 0), (0, 1)
