"""What a person finder makes of a synthetic picture: BlazePose itself is run on it, so that its errors are real."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from lvd_live.person.affine import compose, resample
from lvd_live.person.blazepose import MIN_PRESENCE, BlazePoseFinder
from lvd_live.person.crop import Crop
from lvd_live.person.landmarks import landmarks_in_crop
from lvd_live.person.roi import Roi, roi_from_landmarks
from lvd_live.tracking.conditioning import quantise, region_in_crop

FARTHEST = 0.35  # mean error of the landmarks, of the body's reach, beyond which the finder has found somebody else


@dataclass(frozen=True)
class Observed:
    """The finder's result in the crop, as the network is conditioned on it.

    mask : (S, S) uint8. landmarks : (33, 4) float32, crop frame, see `landmarks_in_crop`.
    fine : (48, 32, 32) uint8, coarse : (288, 8, 8) uint8, the detector features, see `quantise`.
    region : (2, 3) float32, see `region_in_crop`.
    """

    mask: np.ndarray
    landmarks: np.ndarray
    fine: np.ndarray
    coarse: np.ndarray
    region: np.ndarray


def observe(
    finder: BlazePoseFinder,
    picture: np.ndarray,
    inside: np.ndarray,
    landmarks: np.ndarray,
    rng: np.random.Generator,
    mask_size: int,
    *,
    twice: bool = False,
) -> Observed | None:
    """What BlazePose finds in a crop, or None where it finds nobody or somebody else.

    picture : (P, P, 3) uint8 RGB, the crop. mask_size : pixels along the side S of the mask.
    inside : (P, P) bool, the rectangle of the crop that the picture covers; the finder gets only this part.
    landmarks : (33, 3), the true ones, crop frame; the finder searches where they are, with a random error, as it would
        where they were in the previous frame. twice : then around where it has found them, as it follows somebody.
    """
    size = len(picture)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    crop = Crop(np.full(2, (size - 1) / 2), size / 2)
    reach = np.linalg.norm(landmarks[:, :2] - _hips(landmarks), axis=1).max()
    roi = _random_roi(landmarks, reach, crop, rng)
    covered = np.ascontiguousarray(picture[top : rows[-1] + 1, left : columns[-1] + 1])
    observation = finder.observe(covered, _moved(roi, -left, -top))
    if twice and observation.presence >= MIN_PRESENCE:
        roi = _shaken(_moved(roi_from_landmarks(observation.landmarks), left, top), rng)
        observation = finder.observe(covered, _moved(roi, -left, -top))
    if observation.presence < MIN_PRESENCE:
        return None
    in_picture = observation.landmarks[:33, [0, 1, 3]] + np.array([left, top, 0], np.float32)
    found = landmarks_in_crop(in_picture, observation.world[:33], crop)
    if np.linalg.norm(found[:, :2] - landmarks[:, :2], axis=1).mean() > FARTHEST * reach:
        return None
    side = len(observation.mask)
    smaller = mask_size / size  # of the mask's pixels for one of the picture's
    T_mask_from_picture = np.array([[smaller, 0, (smaller - 1) / 2], [0, smaller, (smaller - 1) / 2]], np.float32)
    T_mask_from_grid = compose(T_mask_from_picture, roi.T_picture_from_grid(side))
    mask = resample((observation.mask * 255).astype(np.uint8), T_mask_from_grid, mask_size)
    fine, coarse = quantise(observation.features)
    return Observed(mask, found, fine, coarse, region_in_crop(roi.T_grid_from_picture(side), side, crop))


def _moved(roi: Roi, x: float, y: float) -> Roi:
    return replace(roi, centre_x=roi.centre_x + x, centre_y=roi.centre_y + y)


def _shaken(roi: Roi, rng: np.random.Generator) -> Roi:
    """The region, where a person has moved a little since."""
    x, y = 0.02 * roi.size * rng.normal(size=2)
    size, rotation = roi.size * np.exp(rng.normal(0, 0.03)), roi.rotation + rng.normal(0, 0.03)
    return Roi(roi.centre_x + float(x), roi.centre_y + float(y), float(size), float(rotation))


def _random_roi(landmarks: np.ndarray, reach: float, crop: Crop, rng: np.random.Generator) -> Roi:
    """The region around a person that a finder would follow, with a random error; pixels of the crop.

    landmarks : (33, 3), crop frame. reach : the farthest landmark's distance from the hips, crop units.
    """
    hips, shoulders = _hips(landmarks), landmarks[[11, 12], :2].mean(0)
    x, y = crop.to_picture(hips + rng.normal(0, 0.06, 2) * reach)
    size = 2 * 1.3 * reach * crop.half * np.exp(rng.normal(0.03, 0.1))
    up = shoulders - hips
    rotation = math.atan2(up[0], up[1]) + float(rng.normal(0, 0.08))
    return Roi(float(x), float(y), float(size), rotation)


def _hips(landmarks: np.ndarray) -> np.ndarray:
    return landmarks[[23, 24], :2].mean(0)


def imagined(alpha: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> Observed:
    """The truth with plain noise, for pictures that BlazePose cannot cope with; its feature maps are zeros.

    alpha : (S, S) uint8, the person. landmarks : (33, 3), crop frame.
    """
    mask = cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(0.3, 1.8)))
    if rng.random() < 0.5:
        k = int(rng.integers(1, 4))
        mask = (cv2.dilate if rng.random() < 0.5 else cv2.erode)(mask, np.ones((k, k), np.uint8))
    xy = landmarks[:, :2] + rng.normal(0, 0.02, (33, 2))
    z = landmarks[:, 2] - landmarks[[23, 24], 2].mean() + rng.normal(0, 0.06, 33)
    noisy = np.column_stack([xy, z, rng.uniform(0.5, 1, 33)]).astype(np.float32)
    fine, coarse = np.zeros((48, 32, 32), np.uint8), np.zeros((288, 8, 8), np.uint8)
    return Observed(mask, noisy, fine, coarse, np.eye(2, 3, dtype=np.float32))
