"""Lifted landmarks as the body network takes them: in the frame of a crop, each with a confidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lvd_live.lift.lifter import Cameras, Lifter
from lvd_live.lift.steady import SteadyLifter
from lvd_live.person.crop import Crop
from lvd_live.person.landmarks import landmarks_in_crop
from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame

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
    return _with_confidence(points, scale, landmarks)


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
    found, inside = landmarks_in_crop(landmarks, world, crop), _inside(landmarks, size)
    return lift_in_crops(lifter, found[None], inside[None], _cameras(crop, size, focal, known, 1))[0]


def lift_through(
    steady: SteadyLifter, found: Sequence[tuple[Frame, Person]], crop: Crop, focal: float, known: bool
) -> np.ndarray:
    """Lift the first of N ≥ 1 people found, the same person in frames that follow each other; (33, 4) float32 as of
    `lift_in_crops`. focal, known : see `lift_in_crop`."""
    height, width = found[0][0].picture.shape[:2]
    people, size = [person for _, person in found], (width, height)
    landmarks = np.stack([landmarks_in_crop(person.landmarks, person.world, crop) for person in people])
    inside = np.stack([_inside(person.landmarks, size) for person in people])
    seconds = np.array([1e-9 * frame.timestamp_ns for frame, _ in found])
    points, scale = steady(landmarks, inside, _cameras(crop, size, focal, known, len(found)), seconds)
    return _with_confidence(points, scale, landmarks[0])


def _inside(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Whether landmarks (33, 3) lie in the picture, (33,) bool."""
    xy, edge = landmarks[:, :2], np.array(size) - 0.5
    return np.asarray(np.all((xy >= -0.5) & (xy <= edge), 1))


def _cameras(crop: Crop, size: tuple[int, int], focal: float, known: bool, count: int) -> Cameras:
    principal = crop.to_unit((np.array(size) - 1) / 2).astype(np.float32)
    return Cameras(np.full(count, focal / crop.half, np.float32), np.tile(principal, (count, 1)), np.full(count, known))


def _with_confidence(points: np.ndarray, scale: np.ndarray, found: np.ndarray) -> np.ndarray:
    """points (..., 33, 3), scale (..., 33, 2), found (..., 33, 4): as of `lift_in_crops`."""
    confidence = np.exp(-CERTAINTY * scale.sum(-1, keepdims=True)) * (found[..., 3:] > 0)
    out = np.concatenate([points, confidence], -1)
    return np.nan_to_num(np.clip(out, -LARGEST, LARGEST)).astype(np.float32)
