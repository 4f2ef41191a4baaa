"""LVD Live: a body mesh that follows one person in front of one camera, by Learned Vertex Descent.

    tracker = lvd_live.load()
    fit = tracker(picture)                      # (H, W, 3) uint8 RGB; None where nobody is
    for fit in lvd_live.track("clip.mp4"): ...
    fit = lvd_live.register("scan.ply")         # or points (P, 3): the body in a 3D scan

Importing this package imports neither torch nor anything else heavy: names below are loaded when they are asked for.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# read as OpenCV is imported: a picture of a few bytes may state a size that no memory holds
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read as onnxruntime is imported: it reports nothing, stores no id

__version__ = "0.2.0"

if TYPE_CHECKING:
    from lvd_live.api import PictureTracker, load, track
    from lvd_live.errors import UserError
    from lvd_live.scan.load import register
    from lvd_live.scan.result import Registration
    from lvd_live.sources.frame import Frame
    from lvd_live.tracking.fit import Fit
    from lvd_live.tracking.options import TrackerOptions
    from lvd_live.tracking.tracker import Tracker

__all__ = [
    "Fit",
    "Frame",
    "PictureTracker",
    "Registration",
    "Tracker",
    "TrackerOptions",
    "UserError",
    "load",
    "register",
    "track",
]

_HOMES = {
    "Fit": "tracking.fit",
    "Frame": "sources.frame",
    "PictureTracker": "api",
    "Registration": "scan.result",
    "Tracker": "tracking.tracker",
    "TrackerOptions": "tracking.options",
    "UserError": "errors",
    "load": "api",
    "register": "scan.load",
    "track": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lvd_live.memory import without_collector

    with without_collector():
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
