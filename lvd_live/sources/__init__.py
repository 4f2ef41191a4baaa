"""Where pictures come from: a camera, a video file, still images. Each is a `Source`: an iterator of Frames."""

from __future__ import annotations

from lvd_live.sources.camera import CameraSource
from lvd_live.sources.frame import Frame, Source
from lvd_live.sources.images import ImageSource
from lvd_live.sources.video import VideoSource

__all__ = ["CameraSource", "Frame", "ImageSource", "Source", "VideoSource"]
