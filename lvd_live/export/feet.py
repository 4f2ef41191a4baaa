"""Foot lock: which feet stand, and the shift of the body that keeps them where they are."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_opening, gaussian_filter1d, label, uniform_filter1d
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import spsolve

STANCE = 0.1  # seconds: over which a foot's speed is smoothed; it stands for twice as long at least
SLOW, LOW = 0.25, 0.08  # metres a second, metres: a planted foot's speed, and its height above the other at most
STEADY, NEAR = 0.1, 1e-4  # weights of the shift's changes, and of the shift itself, where a planted foot weighs 1
_LEAST_FIRM = 0.01  # weight of a stance where it begins and ends
_IN_TIME = [[0, 1, 0], [0, 1, 0], [0, 1, 0]]  # neighbours in (frame, foot) that belong to one stance


def planted(feet: np.ndarray, axis: int, fps: float, metre: float = 1.0) -> np.ndarray:
    """A shift (F, 3) of the whole body that keeps planted feet where they are.

    feet : (F, 2, 3); the balls of the feet, the camera at the origin. axis : the vertical one. metre : in their unit.

    The shift s and the places c of the stances minimise

        Σ w |foot + s − c|² over the planted feet + STEADY Σ |s_t+1 − s_t|² + NEAR Σ |s_t|².

    It bends no leg: two feet that stand and move apart share the slide.
    """
    frames = len(feet)
    stands = _standing(feet, axis, fps, metre)
    stance, count = label(stands, _IN_TIME)
    width = max(round(4 * STANCE * fps), 1)
    inside = uniform_filter1d(stands.astype(float), width, axis=0, mode="nearest")
    firm = np.clip(2 * inside - 1, _LEAST_FIRM, 1)  # a stance begins and ends gently
    t, foot = np.nonzero(stands)
    row, w = np.arange(len(t)), np.sqrt(firm[t, foot])
    place = frames + stance[t, foot] - 1  # the unknowns: F shifts, then the places of the stances
    entries = np.concatenate([w, -w]), (np.concatenate([row, row]), np.concatenate([t, place]))
    held = csr_array(entries, (len(t), frames + count))
    one = np.ones(frames - 1)
    steps = diags_array([-one, one], offsets=[0, 1], shape=(frames - 1, frames + count))
    near = diags_array(np.concatenate([np.full(frames, NEAR), np.zeros(count)]))
    normal = (held.T @ held + STEADY * steps.T @ steps + near).tocsc()
    return spsolve(normal, held.T @ (-w[:, None] * feet[t, foot]))[:frames]


def _standing(feet: np.ndarray, axis: int, fps: float, metre: float) -> np.ndarray:
    """Which feet are planted, (F, 2) bool; the arguments of `planted`.

    A foot is while it is the lower one, or nearly, and slow across the line of sight: along it one camera sees little.
    """
    smooth = gaussian_filter1d(feet, STANCE * fps, axis=0, mode="nearest")
    velocity = np.gradient(smooth, 1 / fps, axis=0) if len(feet) > 1 else np.zeros_like(feet)
    sight = smooth / np.maximum(np.linalg.norm(smooth, axis=-1, keepdims=True), 1e-9 * metre)
    across = np.linalg.norm(velocity - (velocity * sight).sum(-1, keepdims=True) * sight, axis=-1)
    height = smooth[..., axis]
    stands = (across < SLOW * metre) & (height < height.min(1, keepdims=True) + LOW * metre)
    return binary_opening(stands, np.ones((max(round(2 * STANCE * fps), 1), 1), bool))
