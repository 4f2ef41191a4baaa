"""The One-Euro filter (Casiez, Roussel, Vogel, CHI 2012): smooth where things stand still, quick where they move."""

from __future__ import annotations

import math

import numpy as np

LEVELS = {"off": None, "low": (3.0, 15.0), "high": (1.0, 6.0)}  # (cut-off at rest in Hz, by how many Hz it rises per m/s)
DERIVATIVE_CUTOFF = 1.0  # Hz


def lag_ms(level: str) -> float:
    """How late a slow movement comes through, ms: a first-order low-pass with cut-off f is 1/(2πf) behind."""
    return 0.0 if LEVELS[level] is None else 1000 / (2 * math.pi * LEVELS[level][0])


class OneEuro:
    """Filters points (N, 3), metres, of one time series. Each point has its own speed and so its own cut-off.

    The speed is the low-passed difference between a new value and the last *filtered* one, as in the paper's Algorithm 1 and its authors' code: it counts the lag too, so that at a constant
    speed v the output is less than 1/(2π(cutoff + slope·v)) seconds behind.
    """

    def __init__(self, cutoff: float, slope: float):
        self.cutoff, self.slope = cutoff, slope
        self.reset()

    def reset(self) -> None:
        self._time_ns = self._value = self._speed = None

    def __call__(self, value: np.ndarray, time_ns: int) -> np.ndarray:
        """The filtered points, float32. A first one, or one that is not later than the last, passes as it is."""
        value = np.asarray(value, np.float32)
        if self._value is None or time_ns <= self._time_ns or value.shape != self._value.shape:
            self._value, self._speed = value, np.zeros_like(value)
        else:
            seconds = (time_ns - self._time_ns) / 1e9
            self._speed = self._speed + _weight(DERIVATIVE_CUTOFF, seconds) * ((value - self._value) / seconds - self._speed)
            cutoff = self.cutoff + self.slope * np.linalg.norm(self._speed, axis=-1, keepdims=True)
            self._value = self._value + _weight(cutoff, seconds) * (value - self._value)
        self._time_ns = time_ns
        return self._value.astype(np.float32)


def _weight(cutoff, seconds: float):
    """What a new value counts in a first-order low-pass: 1/(1 + τ/T), τ = 1/(2πf)."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * seconds))
