"""Landmarks of synthetic samples as they are at run time: the finder's in the picture, lifted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lvd_live.lift.conditioning import lift_in_crops
from lvd_live.lift.lifter import Cameras, Lifter

KNOWN = 0.3  # share of samples whose field of view counts as known ...
KNOWN_ERROR = 0.066  # ... with this standard deviation of log(assumed / true focal length),
UNKNOWN_ERROR = 0.22  # and the others with this
BEYOND = 9.0  # crop units: an edge that the crop does not show


def lift_rows(
    lifter: Lifter,
    rows: Sequence[Mapping[str, np.ndarray]],
    landmarks: np.ndarray,
    rngs: Sequence[np.random.Generator] | None = None,
) -> np.ndarray:
    """Lift the landmarks of samples, (B, 33, 4) float32 as of `lift_in_crops`.

    rows : of each sample `focal`, `offset` and `picture`, see `dataset`. landmarks : (B, 33, 4): x, y, depth as the
    finder has it, crop frame; visibility. rngs : a sample's own draws whether its field of view is known, and the
    error; None: it is not, and without an error.
    """
    count = len(rows)
    focal = np.array([row["focal"] for row in rows], np.float32)
    principal = np.stack([row["offset"] for row in rows]).astype(np.float32)
    known = np.zeros(count, bool)
    if rngs is not None:
        known = np.array([rng.random() for rng in rngs]) < KNOWN
        error = np.where(known, KNOWN_ERROR, UNKNOWN_ERROR) * [rng.normal() for rng in rngs]
        focal = focal * np.exp(error).astype(np.float32)
    inside = np.stack([in_picture(row["picture"], points) for row, points in zip(rows, landmarks, strict=True)])
    return lift_in_crops(lifter, landmarks, inside, Cameras(focal, principal, known))


def in_picture(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which points lie in the picture that a crop was cut from, (33,) bool.

    crop : (S, S, 3) uint8, 0 beyond the picture's edges. points : (33, 2 or more), crop frame.
    """
    covered, S = crop.any(2), len(crop)
    rows, columns = np.flatnonzero(np.any(covered, 1)), np.flatnonzero(np.any(covered, 0))
    if not len(rows):
        return np.ones(len(points), bool)
    low = np.array([2 * columns[0] / S - 1, 1 - 2 * (rows[-1] + 1) / S])
    high = np.array([2 * (columns[-1] + 1) / S - 1, 1 - 2 * rows[0] / S])
    low, high = np.where(low <= -0.99, -BEYOND, low), np.where(high >= 0.99, BEYOND, high)
    return np.all((points[:, :2] >= low) & (points[:, :2] <= high), 1)
