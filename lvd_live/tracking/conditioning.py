"""What the person finder tells the network: landmarks in the crop frame, with depth relative to the hips."""

from __future__ import annotations

import numpy as np

from lvd_live.person.crop import Crop
from lvd_live.person.types import DetectorFeatures

HIPS = (23, 24)


def region_in_crop(T_mask_from_picture: np.ndarray, side: int, crop: Crop) -> np.ndarray:
    """Where the finder's maps lie: (2, 3) float32, from the crop frame (y up) to the square that a side × side mask covers, -1..1 along both sides, y down."""
    T = np.asarray(T_mask_from_picture, np.float64)
    linear = T[:, :2] * (crop.half, -crop.half)
    return np.column_stack([2 * linear / side, (2 * (T[:, :2] @ crop.centre + T[:, 2]) + 1) / side - 1]).astype(
        np.float32
    )


def landmarks_in_crop(landmarks: np.ndarray, world: np.ndarray, crop: Crop) -> np.ndarray:
    """BlazePose's landmarks in the crop frame: (33, 4) float32, x, y, depth toward the camera from the hips' middle (half crops), confidence.

    landmarks : (33, 3) picture pixels and visibility. world : (33, 3) metres, x right, y down, z away from the camera. One metre is as many half crops as makes the world
    landmarks' spread in x and y that of the picture's.
    """
    xy = crop.to_unit(landmarks[:, :2])
    spread = np.sqrt(xy.var(0).sum() / max(world[:, :2].var(0).sum(), 1e-9))
    z = -(world[:, 2] - world[list(HIPS), 2].mean()) * spread
    out = np.column_stack([xy, z, landmarks[:, 2]])
    return np.nan_to_num(np.clip(out, -4, 4)).astype(np.float32)


def pack(features: DetectorFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Feature maps as the network takes them: uint8, 0..255 for 0..18 (fine, a sum of three ReLU6) and 0..6 (coarse, a ReLU6)."""
    return tuple(
        np.clip(m * (255 / top) + 0.5, 0, 255).astype(np.uint8)
        for m, top in ((features.fine, 18.0), (features.coarse, 6.0))
    )
