"""The geometry of the 3D view: where its viewer stands, and lines drawn in perspective. Imports no Qt.

Points are in the camera's frame, metres: x right, y down, z forward. The view's frame has the same axes for a viewer
who stands elsewhere.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

FOV = 40.0  # degrees, upright
FILLED = 0.9  # of the field of view, by what is to be seen
CELL_M, CELLS = 0.5, 6  # of the floor's grid, and how many on each side of its middle
PYRAMID_M = 0.45  # the drawn camera's length
NEAR_CLIP_M = 0.05  # lines are cut off nearer than this


def turned(azimuth: float, elevation: float) -> np.ndarray:
    """R_view_from_camera (3, 3), rows right, down and forward, for a viewer who has gone round a point.

    azimuth : degrees, from behind the camera to its right.
    elevation : degrees, up.
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    forward = np.array([-math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)])
    right = np.array([math.cos(a), 0.0, math.sin(a)])
    return np.stack([right, np.cross(forward, right), forward])


def pinhole(width: int, height: int) -> np.ndarray:
    """Intrinsics (3, 3) of the view, pixels."""
    focal = height / 2 / math.tan(math.radians(FOV / 2))
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def distance_to_see(points: np.ndarray, R: np.ndarray, aspect: float) -> float:
    """How far from the origin a viewer must stand to see points (P, 3), metres.

    The least distance with |q_y| <= (q_z + distance) tan(FOV/2), and likewise for q_x, for each q = R p.

    R : R_view_from_camera (3, 3).
    aspect : the view's width by its height.
    """
    q = points @ R.T
    tan = FILLED * math.tan(math.radians(FOV / 2))
    return float(max((np.abs(q[:, 1]) / tan - q[:, 2]).max(), (np.abs(q[:, 0]) / (tan * aspect) - q[:, 2]).max()))


def box_corners(points: np.ndarray) -> np.ndarray:
    """The eight corners (8, 3) float64 of the box around points (P, 3), along the axes."""
    box = np.stack([points.min(0), points.max(0)])
    return np.array([[box[i, 0], box[j, 1], box[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)


def floor_lines(middle: np.ndarray, y: float) -> np.ndarray:
    """A grid on the floor at height y around a point (3,): (L, 2, 3)."""
    x, z = np.round(middle[[0, 2]] / CELL_M) * CELL_M
    reach = CELL_M * CELLS
    offsets = np.linspace(-reach, reach, 2 * CELLS + 1)
    along_z = [[(x + d, y, z - reach), (x + d, y, z + reach)] for d in offsets]
    along_x = [[(x - reach, y, z + d), (x + reach, y, z + d)] for d in offsets]
    return np.array(along_z + along_x)


def frustum_lines(K: np.ndarray, size: tuple[int, int], length: float = PYRAMID_M) -> np.ndarray:
    """The camera as a pyramid, (8, 2, 3), from its intrinsics K (3, 3) and the size (width, height) of its picture."""
    w, h = size
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], float)
    rays = np.column_stack([(corners - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones(4)]) * length
    return np.array([(np.zeros(3), ray) for ray in rays] + [(rays[i], rays[(i + 1) % 4]) for i in range(4)])


def draw_lines(picture: np.ndarray, lines: np.ndarray, K: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draw lines (L, 2, 3), the view's frame, into picture (H, W, 3) uint8; K (3, 3): the view's intrinsics.

    What lies nearer than NEAR_CLIP_M, or behind the viewer, is cut off.
    """
    lines = lines[(lines[..., 2] > NEAR_CLIP_M).any(1)]
    a, b = lines[:, 0], lines[:, 1]
    for near, far in ((a, b), (b, a)):
        behind = near[:, 2] < NEAR_CLIP_M
        t = (NEAR_CLIP_M - near[behind, 2]) / (far[behind, 2] - near[behind, 2])
        near[behind] += t[:, None] * (far[behind] - near[behind])
    ends = np.stack([_sixteenths(points, K) for points in (a, b)], 1)
    cv2.polylines(picture, list(ends), False, colour, 1, cv2.LINE_AA, shift=4)


def _sixteenths(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Points (P, 3) projected, (P, 2) int32, in sixteenths of a pixel as OpenCV's `shift=4` wants them."""
    pixels = K[[0, 1], [0, 1]] * points[:, :2] / points[:, 2:] + K[:2, 2]
    return np.clip(16 * pixels, -1e6, 1e6).astype(np.int32)
