"""The pictures of a recording, in a file that a crash does not spoil, and the room on the disk that its end needs."""

import contextlib
import io
import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from lvd_live.errors import UserError
from lvd_live.render import fit_into
from lvd_live.session.segments import fcntl
from lvd_live.storage.files import is_disk_full

RESERVE = 8 << 20  # bytes kept for the last segment, the video's end and session.json
_MILLISECOND = Fraction(1, 1000)  # matroska's own unit


class Reserve:
    """Room on the disk, kept for the end of a recording, in a file whose lock says that the recording goes on. used: the disk was full."""

    def __init__(self, path: Path):
        self.path, self.used = path, False
        self._handle: int | None = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        if fcntl is not None:
            fcntl.flock(self._handle, fcntl.LOCK_EX)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._handle, 0, RESERVE)
        else:
            os.write(self._handle, bytes(RESERVE))

    def release(self, full: bool = True) -> bool:
        """Give the room back; False where that was done before. full: because the disk is."""
        if self._handle is None or not os.fstat(self._handle).st_size:
            return False
        os.ftruncate(self._handle, 0)
        self.used |= full
        return True

    def close(self) -> None:
        """Remove the file, and the lock with it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            self.path.unlink(missing_ok=True)


class _ReservedFile(io.FileIO):
    """A new file that takes the reserve when the disk is full."""

    def __init__(self, path: Path, reserve: Reserve):
        super().__init__(path, "xb")
        self._reserve = reserve

    def write(self, data) -> int:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self.fileno(), left) :]
            except OSError as error:
                if not is_disk_full(error) or not self._reserve.release():
                    raise
        return len(data)


class LiveVideo:
    """H.264 in matroska that can be read up to its last quarter of a second whatever happens to the program.

    Nothing waits in the encoder (zerolatency); clusters and groups of pictures are short. size (width, height): pictures of another one are fitted into it; odd sides are padded.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, reserve: Reserve):
        self.size, self.frames, self._last_ms = size, 0, -1
        rate = Fraction(fps or 30).limit_denominator(1000)
        group = str(max(round(rate / 2), 1))
        try:
            self._file = _ReservedFile(path, reserve)
            self._container = av.open(
                self._file, "w", format="matroska", options={"flush_packets": "1", "cluster_time_limit": "250"}
            )
            self._stream = self._container.add_stream(
                "libx264", rate=rate, options={"qp": "21", "preset": "ultrafast", "tune": "zerolatency", "g": group}
            )
            self._stream.width, self._stream.height = (side + side % 2 for side in size)
            self._stream.pix_fmt = "yuv420p"
            self._stream.time_base = self._stream.codec_context.time_base = _MILLISECOND
            self._stream.codec_context.thread_count = 1  # the tracker needs the others
        except (av.FFmpegError, OSError, ValueError) as error:
            raise _video_failure(error) from error

    def write(self, picture: np.ndarray, time_ns: int) -> int:
        """Add a picture (h, w, 3) uint8 RGB, taken `time_ns` after the first; returns its time in the video, ms. Raises UserError."""
        time_ms = max(round(time_ns / 1e6), self._last_ms + 1)
        if (picture.shape[1], picture.shape[0]) != self.size:
            picture = fit_into(picture, self.size)
        right, bottom = self.size[0] % 2, self.size[1] % 2
        if right or bottom:
            picture = cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        try:
            yuv = cv2.cvtColor(
                picture, cv2.COLOR_RGB2YUV_I420
            )  # in half the time that the encoder's own conversion takes
            frame = av.VideoFrame.from_numpy_buffer(yuv, format="yuv420p")
            frame.pts, frame.time_base = time_ms, _MILLISECOND
            self._container.mux(self._stream.encode(frame))
        except (av.FFmpegError, cv2.error, OSError, ValueError) as error:
            raise _video_failure(error) from error
        self._last_ms, self.frames = time_ms, self.frames + 1
        return time_ms

    def sync(self) -> None:
        """What left the muxer survives a power cut."""
        with contextlib.suppress(OSError):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the index. Raises UserError; the pictures stay readable without it."""
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self.sync()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise _video_failure(error) from error
        finally:
            self._file.close()


def _video_failure(error: Exception) -> UserError:
    why = "the disk is full" if isinstance(error, OSError) and is_disk_full(error) else str(error)
    return UserError(f"Recording stopped: the video could not be written ({why}).", exit_code=1)
