"""Affine maps between pixel grids, as (2, 3) float32 matrices, and resampling along them.

All coordinates are in the pixel-centre convention: pixel (0, 0)'s centre is (0, 0).
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from lvd_live.resize import halve


def invert(T_a_from_b: np.ndarray) -> np.ndarray:
    """T_b_from_a, (2, 3) float32. T_a_from_b must not be singular."""
    return cv2.invertAffineTransform(np.asarray(T_a_from_b, np.float64)).astype(np.float32)


def compose(T_a_from_b: np.ndarray, T_b_from_c: np.ndarray) -> np.ndarray:
    """T_a_from_c, (2, 3) float32."""
    T_a, T_b = np.asarray(T_a_from_b, np.float64), np.asarray(T_b_from_c, np.float64)
    linear = T_a[:, :2] @ T_b[:, :2]
    return np.column_stack([linear, T_a[:, :2] @ T_b[:, 2] + T_a[:, 2]]).astype(np.float32)


def apply(T_a_from_b: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) of grid b, as (..., 2) float32 points of grid a."""
    T = np.asarray(T_a_from_b, np.float64)
    return (np.asarray(points, np.float64) @ T[:, :2].T + T[:, 2]).astype(np.float32)


def resample(
    picture: np.ndarray, T_grid_from_picture: np.ndarray, size: int, *, border: int = cv2.BORDER_CONSTANT
) -> np.ndarray:
    """`picture` ((H, W) or (H, W, C), uint8 or float32) on a size x size grid; same dtype and channels.

    Shrinking by two or more halves the picture first, as often as needed (no aliasing), and only the part of it that
    the grid sees. Outside the picture: 0, or what the OpenCV border mode says.
    """
    T_picture_from_grid = invert(T_grid_from_picture)
    shrink = math.sqrt(abs(float(np.linalg.det(T_picture_from_grid[:, :2]))))
    halvings = int(math.log2(shrink)) if shrink >= 2 else 0
    if halvings:
        window = _window_seen(picture.shape, T_picture_from_grid, size, 2**halvings)
        if window is not None:
            picture, T_reduced_from_picture = _reduce(picture, window, halvings)
            T_picture_from_grid = compose(T_reduced_from_picture, T_picture_from_grid)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, T_picture_from_grid, (size, size), flags=flags, borderMode=border)


def _window_seen(
    shape: tuple[int, ...], T_picture_from_grid: np.ndarray, size: int, factor: int
) -> tuple[int, int, int, int] | None:
    """The box x0, y0, x1, y1 of picture pixels under the grid, sides whole multiples of `factor` where there is
    room.
    """
    edge = size - 0.5
    corners = apply(T_picture_from_grid, np.array([[-0.5, -0.5], [edge, -0.5], [edge, edge], [-0.5, edge]]))
    spans = []
    for low, high, length in zip(corners.min(0), corners.max(0), (shape[1], shape[0]), strict=True):
        start, stop = max(0, math.floor(low) - factor), min(length, math.ceil(high) + 1 + factor)
        if start >= stop:
            return None
        missing = -(stop - start) % factor
        stop_wider = min(length, stop + missing)
        spans.append((max(0, start - (missing - (stop_wider - stop))), stop_wider))
    (x0, x1), (y0, y1) = spans
    return x0, y0, x1, y1


def _reduce(picture: np.ndarray, box: tuple[int, int, int, int], halvings: int) -> tuple[np.ndarray, np.ndarray]:
    """The box of the picture halved so many times by averaging, and T_reduced_from_picture."""
    x0, y0, x1, y1 = box
    picture = halve(picture[y0:y1, x0:x1], halvings)
    kx, ky = picture.shape[1] / (x1 - x0), picture.shape[0] / (y1 - y0)
    return picture, np.array([[kx, 0, (0.5 - x0) * kx - 0.5], [0, ky, (0.5 - y0) * ky - 0.5]], np.float32)
