"""How a take is exported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

UP = {
    "y": np.diag([1.0, -1.0, -1.0]),
    "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}
"""R_up_camera (3, 3): from the OpenCV camera frame to one whose named axis points up."""
UP_AXIS = {"y": 1, "z": 2}
UNITS = {"m": 1.0, "cm": 100.0}
"""In a metre."""


SMOOTH = 0.03  # seconds: halves what swings at 6 Hz, as gait laboratories do


@dataclass(frozen=True)
class ExportOptions:
    """How a take is exported.

    rate : frames per second; None: the take's own for ordinary video, else 30.
    up : "y" or "z". unit : "m" or "cm".
    smooth : seconds, of the low-pass over time, see `low_pass`; 0: none.
    foot_lock : hold the body so that planted feet stay in place.
    mesh : "fitted", as tracked, or "regularised", the skinned body.
    level : take the camera's tilt out, judged by how the person stands; not where the origin is the camera.
    origin : "floor", under the first frame's pelvis, or "camera".
    body : the body file; None: the bundled one.
    height : the person's, metres, to which everything is scaled; None leaves the scale of the take.
    """

    rate: float | None = None
    up: str = "y"
    unit: str = "m"
    smooth: float = SMOOTH
    foot_lock: bool = False
    mesh: str = "regularised"
    level: bool = True
    origin: str = "floor"
    body: Path | None = None
    height: float | None = None
