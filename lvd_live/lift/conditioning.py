"""Lifted landmarks as the body network takes them: in the frame of a crop, each with a confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lvd_live.lift.lifter import Lifter
from lvd_live.person.crop import Crop

CERTAINTY = 2.0  # confidence = exp(-CERTAINTY (scale in the picture + scale in depth)), scales in crop units
LARGEST = 4.0  # crop units: landmarks farther out are clipped
LEAST_HALF = 1e-3  # crop units: a box is never smaller


@dataclass(frozen=True)
class CropCameras:
    """The cameras behind B crops.

    focal : (B,) float32, focal length, crop units. principal : (B, 2) float32, principal point, crop frame.
    known : (B,) bool, whether the focal length is more than an assumption.
    """

    focal: np.ndarray
    principal: np.ndarray
    known: np.ndarray


def lift_in_crops(lifter: Lifter, landmarks: np.ndarray, inside: np.ndarray, cameras: CropCameras) -> np.ndarray:
    """Lift the landmarks of B crops at once.

    landmarks : (B, 33, 3) float: x, y, crop frame; visibility 0..1. inside : (B, 33) bool, whether each lies in the
    picture. Returns (B, 33, 4) float32: x, y corrected, depth toward the camera from the hips' middle, crop units;
    confidence 0..1, from the lifter's scale.
    """
    xy = landmarks[..., :2].astype(np.float32)
    low, high = xy.min(1), xy.max(1)
    middle, half = (low + high) / 2, np.maximum((high - low).max(1) / 2, LEAST_HALF)
    unit = (xy - middle[:, None]) / half[:, None, None]
    features = np.concatenate([unit, landmarks[..., 2:3], inside[..., None]], -1).astype(np.float32)
    focal = cameras.focal[:, None]
    ray, size = (middle - cameras.principal) / focal, half[:, None] / focal
    camera = np.concatenate([2 * ray, 2 * size, cameras.known[:, None]], 1).astype(np.float32)
    with torch.inference_mode():
        points, log_scale = lifter.network(torch.from_numpy(features), torch.from_numpy(camera))
    scale = np.exp(log_scale.numpy()).sum(-1, keepdims=True) * half[:, None, None]
    out = np.concatenate([points.numpy() * half[:, None, None], np.exp(-CERTAINTY * scale)], -1)
    out[..., :2] += middle[:, None]
    return np.nan_to_num(np.clip(out, -LARGEST, LARGEST)).astype(np.float32)


def lift_in_crop(
    lifter: Lifter, landmarks: np.ndarray, crop: Crop, size: tuple[int, int], focal: float, known: bool
) -> np.ndarray:
    """Lift one person's landmarks, (33, 4) float32 as of `lift_in_crops`.

    landmarks : (33, 3) float: picture pixels, visibility. size : width and height of the picture, pixels.
    focal : focal length, pixels; the principal point is the picture's middle. known : see `CropCameras`.
    """
    xy, edge = landmarks[:, :2], np.array(size) - 0.5
    inside = np.all((xy >= -0.5) & (xy <= edge), 1)
    points = np.column_stack([crop.to_unit(xy), landmarks[:, 2]])
    principal = crop.to_unit((np.array(size) - 1) / 2)
    camera = CropCameras(
        np.array([focal / crop.half], np.float32), principal[None].astype(np.float32), np.array([known])
    )
    return lift_in_crops(lifter, points[None], inside[None], camera)[0]
