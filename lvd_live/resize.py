"""Smaller pictures, without aliasing and in little time.

OpenCV averages (INTER_AREA) exact halves in a twentieth of the time that any other factor takes: what is left after
halving, less than a factor of two, is interpolated.
"""

from __future__ import annotations

import cv2
import numpy as np


def halve(picture: np.ndarray, times: int) -> np.ndarray:
    """(H, W) or (H, W, C), uint8 or float32, averaged over 2^times × 2^times pixels; sizes round down."""
    for _ in range(times):
        height, width = picture.shape[:2]
        picture = cv2.resize(picture, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    return picture


def shrink(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) or (H, W, C), uint8 or float32, as (h, w): `size` is (w, h), at most as large; same dtype and channels."""
    height, width = picture.shape[:2]
    picture = halve(picture, min(width // size[0], height // size[1]).bit_length() - 1)
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)


def shrink_within(picture: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """The picture itself, or with its longer side `longest` pixels where that is longer; and the scale."""
    height, width = picture.shape[:2]
    scale = min(1.0, longest / max(height, width))
    if scale == 1.0:
        return picture, 1.0
    return shrink(picture, (max(1, round(width * scale)), max(1, round(height * scale)))), scale
