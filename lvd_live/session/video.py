"""An overlay video: H.264 in mp4, written under a temporary name and renamed when it is whole."""

from __future__ import annotations

import logging
import os
from fractions import Fraction
from types import TracebackType

import av
import cv2
import numpy as np

from lvd_live.errors import UserError
from lvd_live.render import fit_into
from lvd_live.storage.files import check_writable, is_disk_full, part_name, reason

log = logging.getLogger(__name__)
_TICK = Fraction(1, 90_000)


class VideoWriter:
    """Writes RGB pictures as H.264 / yuv420p / mp4. A context manager; `close` gives the file its name.

    fps : above 0, frames per second where pictures come without a time. size : (width, height) pixels, see
    `fit_to_even`. frames : pictures so far.

    Raises UserError: exit code 2 at construction when `path` cannot be written, 1 when encoding or writing fails later.
    """

    def __init__(self, path: str | os.PathLike, fps: float, size: tuple[int, int]):
        self.path = check_writable(path)
        if self.path.suffix.lower() not in (".mp4", ".mov", ".mkv"):
            raise UserError(f"Cannot write {self.path}: an overlay video ends in .mp4, .mov or .mkv.")
        if not fps > 0 or min(size) < 1:
            raise ValueError("fps and size must be positive")
        self.size, self.frames = (int(size[0]), int(size[1])), 0
        self._part = part_name(self.path)
        rate = Fraction(fps).limit_denominator(100_000)
        self._step = max(round(1 / (rate * _TICK)), 1)
        self._first_ns: int | None = None
        self._last_tick = -1
        self._container: av.container.OutputContainer | None = None
        try:
            mux = {} if self.path.suffix.lower() == ".mkv" else {"movflags": "+faststart"}
            self._container = av.open(str(self._part), "w", options=mux)
            self._stream = self._container.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
            self._stream.width, self._stream.height = (side + side % 2 for side in self.size)
            self._stream.pix_fmt = "yuv420p"
            self._stream.time_base = self._stream.codec_context.time_base = _TICK
        except (av.FFmpegError, OSError, ValueError) as error:
            self.abort()
            raise self._failure(error, 2) from error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def write(self, picture: np.ndarray, timestamp_ns: int | None = None) -> None:
        """Add `picture` (h, w, 3) uint8 RGB, shown from `timestamp_ns` (any origin, rising), or a frame after the last.

        Raises UserError (exit code 1) when it cannot be encoded or written.
        """
        if self._container is None:
            raise ValueError("the video is closed")
        picture = fit_to_even(picture, self.size)
        tick = self._last_tick + (self._step if self.frames else 1)
        if timestamp_ns is not None:
            self._first_ns = timestamp_ns if self._first_ns is None else self._first_ns
            tick = max(round((timestamp_ns - self._first_ns) * 90_000 / 1e9), self._last_tick + 1)
        try:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = tick, _TICK
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failure(error, 1) from error
        self._last_tick, self.frames = tick, self.frames + 1

    def close(self) -> None:
        """Finish and rename; without a picture nothing is written. Harmless a second time. Raises UserError."""
        if self._container is None:
            return
        if not self.frames:
            self.abort()
            return
        container, self._container = self._container, None
        try:
            try:
                for packet in self._stream.encode(None):
                    container.mux(packet)
            finally:
                container.close()
            os.replace(self._part, self.path)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._part.unlink(missing_ok=True)
            raise self._failure(error, 1) from error

    def abort(self) -> None:
        """Drop what was written; an older file at the same place stays."""
        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            except (av.FFmpegError, OSError, ValueError) as error:
                log.debug("closing a dropped video: %s", error)
        self._part.unlink(missing_ok=True)

    def _failure(self, error: Exception, exit_code: int) -> UserError:
        why = str(error)
        if isinstance(error, OSError):
            why = "the disk is full" if is_disk_full(error) else reason(error)
        return UserError(f"Could not write the overlay video {self.path}: {why}.", exit_code=exit_code)


def fit_to_even(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (h, w, 3) uint8 at the size that a codec wants: both sides even.

    A picture of another size than `size` (width, height) is fitted into it; where a side of `size` is odd, the last row
    or column is repeated.
    """
    if (picture.shape[1], picture.shape[0]) != size:
        picture = fit_into(picture, size)
    right, bottom = size[0] % 2, size[1] % 2
    if right or bottom:
        picture = cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return picture
