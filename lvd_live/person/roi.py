"""The rotated square of the picture that a network looks at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ROI_SCALE = 1.25  # of BlazePose: the square's side over the diameter of the circle that holds the body
LANDMARK_SIZE = 256  # side of the landmark network's input, in pixels
_CENTRE, _TOP = 33, 34  # the network's two points for the next frame's region


@dataclass(frozen=True)
class Roi:
    """A square of the picture: centre in picture pixels (centre convention), side in pixels, rotation in radians.

    A rotation of 0 is upright; a positive one turns the square's x axis toward the picture's y axis (clockwise as
    seen).
    """

    centre_x: float
    centre_y: float
    size: float
    rotation: float = 0.0

    def T_picture_from_grid(self, pixels: int) -> np.ndarray:
        """(2, 3) float32: from a pixels x pixels grid that covers the square to picture pixels."""
        k = self.size / pixels
        c, s, half = k * math.cos(self.rotation), k * math.sin(self.rotation), (pixels - 1) / 2
        return np.array([[c, -s, self.centre_x - (c - s) * half], [s, c, self.centre_y - (s + c) * half]], np.float32)

    def T_grid_from_picture(self, pixels: int) -> np.ndarray:
        """(2, 3) float32: the inverse of T_picture_from_grid."""
        k = pixels / self.size
        c, s, half = k * math.cos(self.rotation), k * math.sin(self.rotation), (pixels - 1) / 2
        x, y = self.centre_x, self.centre_y
        return np.array([[c, s, half - c * x - s * y], [-s, c, half + s * x - c * y]], np.float32)


def roi_from_points(centre: np.ndarray, top: np.ndarray) -> Roi:
    """The square around a body, from the middle of its hips and the top of the circle that holds it, (2,) picture
    pixels each.
    """
    dx, dy = float(top[0] - centre[0]), float(top[1] - centre[1])
    size = max(2 * ROI_SCALE * math.hypot(dx, dy), 1.0)
    rotation = math.remainder(math.pi / 2 - math.atan2(-dy, dx), math.tau)
    return Roi(float(centre[0]), float(centre[1]), size, rotation)


def roi_from_landmarks(points: np.ndarray) -> Roi:
    """The next frame's square, from the 39 points of the landmark network, (39, 2 or more) picture pixels."""
    return roi_from_points(points[_CENTRE, :2], points[_TOP, :2])


def roi_of_picture(height: int, width: int) -> Roi:
    """The smallest upright square around a whole picture."""
    return Roi((width - 1) / 2, (height - 1) / 2, float(max(height, width)))
