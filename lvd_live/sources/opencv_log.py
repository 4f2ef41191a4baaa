"""OpenCV's messages on the terminal, switched off for a moment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import cv2

_FFMPEG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"  # read by OpenCV each time it opens a stream
_SILENT_FFMPEG = "-8"


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """OpenCV and the FFmpeg in it log nothing inside this block; their levels are restored afterwards."""
    level, ffmpeg_level = cv2.utils.logging.getLogLevel(), os.environ.get(_FFMPEG_LEVEL)
    cv2.utils.logging.setLogLevel(0)
    os.environ.setdefault(_FFMPEG_LEVEL, _SILENT_FFMPEG)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
        if ffmpeg_level is None:
            os.environ.pop(_FFMPEG_LEVEL, None)
