"""The pictures of a recording, in a file that a crash does not spoil."""

from __future__ import annotations

import contextlib
import io
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from lvd_live.errors import UserError
from lvd_live.session.reserve import Reserve
from lvd_live.session.video import fit_to_even
from lvd_live.storage.files import is_disk_full

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MILLISECOND = Fraction(1, 1000)  # the time base of matroska
_CONTAINER = {"flush_packets": "1", "cluster_time_limit": "250"}  # milliseconds
_ENCODER = {"qp": "21", "preset": "ultrafast", "tune": "zerolatency"}  # zerolatency: nothing waits in the encoder


class LiveVideo:
    """H.264 in matroska that is readable up to its last quarter of a second, whatever happens to the program.

    Clusters and groups of pictures are short. size : (width, height) pixels, see `fit_to_even`. frames : pictures so
    far. Raises UserError.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, reserve: Reserve):
        self.size, self.frames, self._last_ms = size, 0, -1
        rate = Fraction(fps or 30).limit_denominator(1000)
        group = str(max(round(rate / 2), 1))
        try:
            self._file = _ReservedFile(path, reserve)
            self._container = av.open(self._file, "w", format="matroska", options=_CONTAINER)
            self._stream = self._container.add_stream("libx264", rate=rate, options=_ENCODER | {"g": group})
            self._stream.width, self._stream.height = (side + side % 2 for side in size)
            self._stream.pix_fmt = "yuv420p"
            self._stream.time_base = self._stream.codec_context.time_base = _MILLISECOND
            self._stream.codec_context.thread_count = 1  # the tracker needs the others
        except (av.FFmpegError, OSError, ValueError) as error:
            raise _failure(error) from error

    def write(self, picture: np.ndarray, time_ns: int) -> int:
        """Add a picture (h, w, 3) uint8 RGB, taken `time_ns` after the first; returns its time in the video, ms.

        Raises UserError.
        """
        time_ms = max(round(time_ns / 1e6), self._last_ms + 1)
        picture = fit_to_even(picture, self.size)
        try:
            # OpenCV converts in half the time that the encoder's own conversion takes
            yuv = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)
            frame = av.VideoFrame.from_numpy_buffer(yuv, format="yuv420p")
            frame.pts, frame.time_base = time_ms, _MILLISECOND
            self._container.mux(self._stream.encode(frame))
        except (av.FFmpegError, cv2.error, OSError, ValueError) as error:
            raise _failure(error) from error
        self._last_ms, self.frames = time_ms, self.frames + 1
        return time_ms

    def sync(self) -> None:
        """Make what left the muxer survive a power cut."""
        with contextlib.suppress(OSError):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the index. Raises UserError; the pictures stay readable without it."""
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self.sync()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise _failure(error) from error
        finally:
            self._file.close()


class _ReservedFile(io.FileIO):
    """A new file that uses the reserve when the disk is full."""

    def __init__(self, path: Path, reserve: Reserve):
        super().__init__(path, "xb")
        self._reserve = reserve

    def write(self, data: ReadableBuffer) -> int:
        left = memoryview(data)
        size = len(left)
        while left:
            try:
                left = left[os.write(self.fileno(), left) :]
            except OSError as error:
                if not is_disk_full(error) or not self._reserve.release():
                    raise
        return size


def _failure(error: Exception) -> UserError:
    why = "the disk is full" if isinstance(error, OSError) and is_disk_full(error) else str(error)
    return UserError(f"Recording stopped: the video could not be written ({why}).", exit_code=1)
