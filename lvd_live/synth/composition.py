"""A synthetic picture put together: the person before what is behind, the picture's edges, smaller copies."""

from __future__ import annotations

import cv2
import numpy as np


def over(behind: np.ndarray, rgba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A rendered person (S, S, 4) before what is behind, (S, S, 3): picture (S, S, 3), alpha (S, S), uint8."""
    alpha = rgba[..., 3].copy()
    uncovered = 255 - alpha[..., None].astype(np.uint16)
    return (rgba[..., :3] + behind.astype(np.uint16) * uncovered // 255).clip(0, 255).astype(np.uint8), alpha


def shrunk(array: np.ndarray, size: int) -> np.ndarray:
    """A square picture (s, s) or (s, s, C) in `size` pixels."""
    return array if len(array) == size else cv2.resize(array, (size, size), interpolation=cv2.INTER_AREA)


def inside_picture(cut: np.ndarray, size: int) -> np.ndarray:
    """(S, S) bool: the pixels of a crop that lie inside the picture. cut : (4,), see `people.View`."""
    left, bottom, right, top = cut
    centres = (2 * np.arange(size) + 1) / size - 1
    columns, rows = (centres > left) & (centres < right), (-centres > bottom) & (-centres < top)
    return columns[None] & rows[:, None]
