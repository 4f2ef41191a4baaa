"""Lifted landmarks as the body network takes them: in the frame of a crop, each with a confidence."""

from __future__ import annotations

import numpy as np

from lvd_live.lift.lifter import Cameras, Lifter
from lvd_live.person.crop import Crop
from lvd_live.person.landmarks import landmarks_in_crop

CERTAINTY = 2.0  # confidence = exp(-CERTAINTY (scale in the picture + scale in depth)), scales in crop units
LARGEST = 4.0  # crop units: landmarks farther out are clipped


def lift_in_crops(lifter: Lifter, landmarks: np.ndarray, inside: np.ndarray, cameras: Cameras) -> np.ndarray:
    """Lift the landmarks of B crops at once.

    landmarks : (B, 33, 4) float, crop frame: x, y, depth toward the camera as the finder has it, visibility 0..1;
    0 where it is absent, and stays so. inside : (B, 33) bool, whether each lies in the picture.
    cameras : in crop units.
    Returns (B, 33, 4) float32: x, y corrected, depth toward the camera from the hips' middle, crop units;
    confidence 0..1, from the lifter's scale.
    """
    points, scale, _ = lifter.lift(landmarks, inside, cameras)
    confidence = np.exp(-CERTAINTY * scale.sum(-1, keepdims=True)) * (landmarks[..., 3:] > 0)
    out = np.concatenate([points, confidence], -1)
    return np.nan_to_num(np.clip(out, -LARGEST, LARGEST)).astype(np.float32)


def lift_in_crop(
    lifter: Lifter,
    landmarks: np.ndarray,
    world: np.ndarray,
    crop: Crop,
    size: tuple[int, int],
    focal: float,
    known: bool,
) -> np.ndarray:
    """Lift one person's landmarks, (33, 4) float32 as of `lift_in_crops`.

    landmarks : (33, 3) float: picture pixels, visibility. world : (33, 3) metres, see `landmarks_in_crop`.
    size : width and height of the picture, pixels. focal : focal length, pixels; the principal point is the picture's
    middle. known : see `Cameras`.
    """
    xy, edge = landmarks[:, :2], np.array(size) - 0.5
    inside = np.all((xy >= -0.5) & (xy <= edge), 1)
    principal = crop.to_unit((np.array(size) - 1) / 2)
    cameras = Cameras(np.array([focal / crop.half], np.float32), principal[None].astype(np.float32), np.array([known]))
    return lift_in_crops(lifter, landmarks_in_crop(landmarks, world, crop)[None], inside[None], cameras)[0]
