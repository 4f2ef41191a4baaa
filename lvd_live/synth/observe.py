"""What a real person finder would say about a synthetic picture: BlazePose itself looks at it, so its errors are the true ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from lvd_live.person.affine import resample
from lvd_live.person.blazepose import MIN_PRESENCE, BlazePoseFinder
from lvd_live.person.crop import Crop
from lvd_live.person.roi import Roi
from lvd_live.tracking.conditioning import landmarks_in_crop, quantise, region_in_crop


@dataclass(frozen=True)
class Observed:
    """mask (S, S) uint8; landmarks (33, 4) float32, crop frame, see `landmarks_in_crop`; fine, coarse: see `DetectorFeatures`, as uint8 (see `pack`); region (2, 3): see `region_in_crop`."""

    mask: np.ndarray
    landmarks: np.ndarray
    fine: np.ndarray
    coarse: np.ndarray
    region: np.ndarray


def observe(
    finder: BlazePoseFinder, picture: np.ndarray, inside: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator
) -> Observed | None:
    """What BlazePose says of a crop (S, S, 3) uint8, or None where it sees nobody or somebody else.

    inside (S, S) bool: a rectangle, the part of the crop that the picture covers; the finder is shown that alone, as it would be. landmarks (33, 3): the true ones, crop frame. They say
    where the finder looks, as the previous frame would, with a random error.
    """
    size = len(picture)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    crop = Crop(np.full(2, (size - 1) / 2), size / 2)
    hips, shoulders = landmarks[[23, 24], :2].mean(0), landmarks[[11, 12], :2].mean(0)
    reach = np.linalg.norm(landmarks[:, :2] - hips, axis=1).max()
    centre = crop.to_picture(hips + rng.normal(0, 0.06, 2) * reach)
    up = shoulders - hips
    roi = Roi(
        *map(float, centre),
        float(2 * 1.3 * reach * crop.half * np.exp(rng.normal(0.03, 0.1))),
        math.atan2(up[0], up[1]) + float(rng.normal(0, 0.08)),
    )
    shown = np.ascontiguousarray(picture[top : rows[-1] + 1, left : columns[-1] + 1])
    seen = finder.observe(shown, replace(roi, centre_x=roi.centre_x - left, centre_y=roi.centre_y - top))
    if seen.presence < MIN_PRESENCE:
        return None
    found = landmarks_in_crop(seen.landmarks[:33, [0, 1, 3]] + np.float32([left, top, 0]), seen.world[:33], crop)
    if np.linalg.norm(found[:, :2] - landmarks[:, :2], axis=1).mean() > 0.35 * reach:
        return None
    side = len(seen.mask)
    mask = resample((seen.mask * 255).astype(np.uint8), roi.T_picture_from_grid(side), size)
    return Observed(mask, found, *quantise(seen.features), region_in_crop(roi.T_grid_from_picture(side), side, crop))


def imagined(alpha: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> Observed:
    """A mask and landmarks with plain noise, and feature maps of zeros, for pictures that BlazePose does not know what to do with. alpha (S, S) uint8, landmarks (33, 3) crop frame."""
    mask = cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(0.3, 1.8)))
    if rng.random() < 0.5:
        k = int(rng.integers(1, 4))
        mask = (cv2.dilate if rng.random() < 0.5 else cv2.erode)(mask, np.ones((k, k), np.uint8))
    z = landmarks[:, 2] - landmarks[[23, 24], 2].mean()
    out = np.column_stack(
        [landmarks[:, :2] + rng.normal(0, 0.02, (33, 2)), z + rng.normal(0, 0.06, 33), rng.uniform(0.5, 1, 33)]
    )
    return Observed(
        mask,
        out.astype(np.float32),
        np.zeros((48, 32, 32), np.uint8),
        np.zeros((288, 8, 8), np.uint8),
        np.eye(2, 3, dtype=np.float32),
    )
