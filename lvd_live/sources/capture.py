"""Pictures from a device, by OpenCV, or from a network stream, by PyAV."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import av
import cv2
import numpy as np

from lvd_live.sources.container import LIMITS
from lvd_live.sources.opencv_log import quiet_opencv
from lvd_live.sources.picture import View, aspect_of

_NUMBERS_TRIED = 6


@dataclass(frozen=True)
class CameraMode:
    """What is asked of a camera. width, height : pixels. fps : frames per second, None for what the camera likes."""

    width: int
    height: int
    fps: float | None = None

    def __str__(self) -> str:
        return f"{self.width}x{self.height}" + (f"@{self.fps:g}" if self.fps else "")


class Capture(Protocol):
    """What reads a camera; OpenCV's `VideoCapture` is one."""

    def get(self, what: int, /) -> float: ...

    def set(self, what: int, value: float, /) -> bool: ...

    def read(self) -> tuple[bool, np.ndarray | None]: ...

    def release(self) -> None: ...


class StreamCapture:
    """A network stream, each picture at its own size. Reads as OpenCV's `VideoCapture` does, without its scaling.

    timeout_ms : for opening, and for one picture. Raises av.error.FFmpegError or OSError where it cannot be opened.
    """

    def __init__(self, address: str, timeout_ms: int):
        options = LIMITS | ({"rtsp_transport": "tcp"} if address.lower().startswith("rtsp") else {})
        self._container = av.open(address, options=options, timeout=(timeout_ms / 1000, timeout_ms / 1000))
        if not self._container.streams.video:
            self._container.close()
            raise ValueError("no video")
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.options = LIMITS
        self._frames: Iterator[av.VideoFrame] = self._decode()

    def get(self, what: int) -> float:
        """The rate for cv2.CAP_PROP_FPS; 0 where it is unknown, or for anything else."""
        return float(self._stream.average_rate or 0) if what == cv2.CAP_PROP_FPS else 0.0

    def set(self, what: int, value: float) -> bool:
        """A stream is taken as it comes: False."""
        return False

    def read(self) -> tuple[bool, np.ndarray | None]:
        """Whether there is a picture, and the next one, (H, W, 3) uint8 BGR."""
        picture = self.picture()
        return (False, None) if picture is None else (True, picture[..., ::-1])

    def picture(self) -> np.ndarray | None:
        """The next picture, (H, W, 3) uint8 RGB; None where the stream gives none."""
        try:
            frame = next(self._frames, None)
            return None if frame is None else View(aspect=aspect_of(self._stream)).picture(frame)
        except (av.error.FFmpegError, OSError, ValueError):
            return None

    def release(self) -> None:
        """Close the stream."""
        self._container.close()

    def _decode(self) -> Iterator[av.VideoFrame]:
        """All frames; a packet that cannot be decoded is left out."""
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except av.error.EOFError:
                return
            except av.error.InvalidDataError:
                continue
            yield from (frame for frame in frames if isinstance(frame, av.VideoFrame))


def open_capture(address: int | str, timeout_ms: int) -> Capture | None:
    """What reads a camera's number, a device's path or a stream's address; None where it cannot be opened.

    A number below 0 stands for the first camera that can be opened.
    """
    if isinstance(address, int) and address < 0:  # not left to OpenCV, some of whose backends crash
        return next(filter(None, (open_capture(number, timeout_ms) for number in range(_NUMBERS_TRIED))), None)
    with quiet_opencv():
        try:
            if isinstance(address, str) and not address.startswith("/dev/"):
                return StreamCapture(address, timeout_ms)
            capture = cv2.VideoCapture(address)
        except (cv2.error, av.error.FFmpegError, OSError, ValueError):
            return None
        return capture if capture.isOpened() else None


def set_mode(capture: Capture, mode: CameraMode) -> None:
    """Ask a device for a size and rate: first as MJPG, because large uncompressed pictures are slow over USB."""
    if isinstance(capture, StreamCapture):
        return
    for code in ("MJPG", "YUY2"):
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*code))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, mode.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, mode.height)
        if mode.fps:
            capture.set(cv2.CAP_PROP_FPS, mode.fps)
        if (capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (mode.width, mode.height):
            return


def read_picture(capture: Capture) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB, or None when the camera gives nothing."""
    if isinstance(capture, StreamCapture):
        return capture.picture()
    try:
        received, picture = capture.read()
        if not received or picture is None or picture.size == 0:
            return None
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB if picture.ndim == 2 else cv2.COLOR_BGR2RGB)
    except cv2.error:
        return None


def parse_mode(text: str) -> CameraMode:
    """A size and rate as typed: "1280x720" or "1280x720@30". Raises ValueError."""
    match = re.fullmatch(r"\s*(\d{1,5})\s*[xX×]\s*(\d{1,5})\s*(?:@\s*(\d{1,4}(?:\.\d+)?))?\s*", text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    fps = float(match[3]) if match and match[3] else None
    if min(width, height) < 1 or (fps is not None and not 0 < fps < math.inf):
        raise ValueError(f"{text!r} is no size such as 1280x720 or 1280x720@30")
    return CameraMode(width, height, fps)
