"""When a fit is not to be believed: the mesh contradicts the mask, or the person may be read back to front."""

from __future__ import annotations

import numpy as np

from lvd_live.person.types import Person

CONTRADICTS = 0.6  # an overlap of mesh and mask below it: one of them is wrong
UNDECIDED = 0.2  # probability of the other reading of left and right above which neither is believed
STD = 0.05  # metres, of a doubtful fit's vertices at least: the calibration expects 25 cm there, as of a wrong reading


def agreement(drawn: np.ndarray, mask: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Intersection over union of the mesh drawn in the crop and the mask, (S, S) bool both, between the corners low and
    high (2,), crop frame (y up): outside the picture there is no mask. 1 where both are empty.
    """
    half = len(mask) / 2
    left, right = ((np.array([low[0], high[0]]) + 1) * half).round().astype(int).clip(0, len(mask))
    top, bottom = ((1 - np.array([high[1], low[1]])) * half).round().astype(int).clip(0, len(mask))
    a, b = drawn[top:bottom, left:right], mask[top:bottom, left:right]
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def is_doubtful(person: Person, overlap: float) -> bool:
    """Whether a fit of the person is not to be believed whose mesh and mask overlap so much (0..1, see `agreement`)."""
    return overlap < CONTRADICTS or person.doubt > UNDECIDED


def raised(std: np.ndarray, doubtful: bool) -> np.ndarray:
    """The vertices' standard deviations (N,), metres, raised to STD where the fit is doubtful. Zeros stay: not
    estimated.
    """
    return np.where(std > 0, np.maximum(std, np.float32(STD)), std) if doubtful else std
