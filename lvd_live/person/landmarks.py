"""A person finder's landmarks in the frame of a crop, with its depth."""

from __future__ import annotations

import numpy as np

from lvd_live.person.crop import Crop

HIPS = (23, 24)
LARGEST = 4.0  # crop units: landmarks farther out are clipped


def landmarks_in_crop(landmarks: np.ndarray, world: np.ndarray, crop: Crop) -> np.ndarray:
    """The finder's landmarks in the crop frame: (33, 4) float32, x, y, depth toward the camera from the hips' middle,
    confidence.

    landmarks : (33, 3) picture pixels and visibility. world : (33, 3) metres, x right, y down, z away from the camera.
    One metre is as many crop units as makes the world landmarks' spread in x and y that of the picture's.
    """
    xy = crop.to_unit(landmarks[:, :2])
    spread = np.sqrt(xy.var(0).sum() / max(world[:, :2].var(0).sum(), 1e-9))
    z = -(world[:, 2] - world[list(HIPS), 2].mean()) * spread
    out = np.column_stack([xy, z, landmarks[:, 2]])
    return np.nan_to_num(np.clip(out, -LARGEST, LARGEST)).astype(np.float32)
