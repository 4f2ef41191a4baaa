"""The One-Euro filter (see `smoothing`) on a hand's rotation, joint angles and shift; unseen hands relax."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lvd_live.body.hand_anatomy import rotation, rotation_vector

CUTOFF, SLOPE = 2.5, 0.3  # Hz at rest, and Hz per radian a second, of angles
SHIFT_CUTOFF, SHIFT_SLOPE = 2.5, 5.0  # Hz per metre a second, of the wrist
SPEED_CUTOFF = 1.5  # Hz
RELAX_S = 0.3  # time constant with which a hand that is not seen relaxes
LONGEST_S = 0.5  # between two frames; beyond it a series begins anew


@dataclass
class _State:
    time_ns: int
    wrist: np.ndarray
    values: np.ndarray
    shift: np.ndarray
    speed: np.ndarray  # (24,) radians a second, of the wrist's rotation vector and the angles
    shift_speed: np.ndarray
    raw: np.ndarray
    raw_shift: np.ndarray


class HandFilter:
    """One hand's time series."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin a new series."""
        self._state: _State | None = None

    def __call__(
        self, wrist: np.ndarray, values: np.ndarray, shift: np.ndarray, time_ns: int, seen: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Filtered rotation (3, 3) relative to the forearm, angles (21,), radians, and shift (3,), metres."""
        s = self._state
        seconds = 0.0 if s is None else (time_ns - s.time_ns) / 1e9
        if s is None or not 0 < seconds <= LONGEST_S:
            self._state = _State(
                time_ns, wrist, values, shift, np.zeros(24), np.zeros(3), np.concatenate([np.zeros(3), values]), shift
            )
            return wrist, values, shift
        if not seen:
            share = 1 - math.exp(-seconds / RELAX_S)
            s.wrist = s.wrist @ rotation(share * rotation_vector(s.wrist.T @ wrist))
            s.values = s.values + share * (values - s.values)
            s.shift = s.shift + share * (shift - s.shift)
            s.speed, s.shift_speed = np.zeros(24), np.zeros(3)
            s.raw, s.raw_shift = np.concatenate([np.zeros(3), values]), shift
            s.time_ns = time_ns
            return s.wrist, s.values, s.shift
        turn = rotation_vector(s.wrist.T @ wrist)
        change = np.concatenate([turn, values - s.raw[3:]]) / seconds
        s.speed = s.speed + _weight(SPEED_CUTOFF, seconds) * (change - s.speed)
        cutoff = CUTOFF + SLOPE * np.abs(s.speed)
        cutoff[:3] = CUTOFF + SLOPE * float(np.linalg.norm(s.speed[:3]))
        weight = _weight(cutoff, seconds)
        s.wrist = s.wrist @ rotation(weight[0] * turn)
        s.values = s.values + weight[3:] * (values - s.values)
        moved = (shift - s.raw_shift) / seconds
        s.shift_speed = s.shift_speed + _weight(SPEED_CUTOFF, seconds) * (moved - s.shift_speed)
        cutoff = SHIFT_CUTOFF + SHIFT_SLOPE * float(np.linalg.norm(s.shift_speed))
        s.shift = s.shift + _weight(cutoff, seconds) * (shift - s.shift)
        s.raw, s.raw_shift, s.time_ns = np.concatenate([np.zeros(3), values]), shift, time_ns
        return s.wrist, s.values, s.shift


def _weight(cutoff, seconds: float):
    """The weight of a new value in a first-order low-pass: 1/(1 + τ/T), τ = 1/(2πf)."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * seconds))
