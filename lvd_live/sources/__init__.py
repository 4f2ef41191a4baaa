"""Where pictures come from: a camera, a video file, still images. Each source is a context manager and an iterator of Frames."""

from .camera import CameraSource
from .frame import Frame, Source
from .images import ImageSource
from .video import VideoSource

__all__ = ["CameraSource", "Frame", "ImageSource", "Source", "VideoSource"]
