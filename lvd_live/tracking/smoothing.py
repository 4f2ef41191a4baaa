"""The One-Euro filter (Casiez, Roussel, Vogel, CHI 2012): smooth where things stand still, quick where they move. Depth, which one picture hardly shows, is smoothed harder than what it does show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

DERIVATIVE_CUTOFF = 1.0  # Hz


@dataclass(frozen=True)
class Level:
    """picture, depth: the cut-off at rest, Hz, and by how much it rises per m/s, across the view and along it."""

    picture: tuple[float, float]
    depth: tuple[float, float]

    @property
    def lag_ms(self) -> float:
        """How late a slow movement in the picture comes through, ms: a first-order low-pass with cut-off f is 1/(2πf) behind."""
        return 1000 / (2 * math.pi * self.picture[0])


LEVELS: dict[str, Level | None] = {
    "off": None,
    "low": Level((3.0, 15.0), (1.0, 4.0)),
    "high": Level((1.5, 3.0), (0.5, 0.6)),
}


class OneEuro:
    """Filters points (N, 3), metres, camera frame, of one time series.

    Each point has a speed of its own, the low-passed difference of its unfiltered values, and so its own cut-off. It is the speed in the picture: what a point seems to do in depth is mostly
    the noise that is to go.
    """

    def __init__(self, level: Level):
        self._cutoff, self._slope = (
            np.array([p, p, d], np.float32) for p, d in zip(level.picture, level.depth, strict=True)
        )
        self.reset()

    def reset(self) -> None:
        self._time_ns = self._last = self._value = self._speed = None

    def __call__(self, value: np.ndarray, time_ns: int) -> np.ndarray:
        """The filtered points, float32. A first one, or one that is not later than the last, passes as it is."""
        value = np.asarray(value, np.float32)
        if self._value is None or time_ns <= self._time_ns or value.shape != self._value.shape:
            self._value, self._speed = value, np.zeros_like(value[:, :2])
        else:
            seconds = (time_ns - self._time_ns) / 1e9
            self._speed = self._speed + _weight(DERIVATIVE_CUTOFF, seconds) * (
                (value - self._last)[:, :2] / seconds - self._speed
            )
            cutoff = self._cutoff + self._slope * np.linalg.norm(self._speed, axis=1, keepdims=True)
            self._value = self._value + _weight(cutoff, seconds) * (value - self._value)
        self._time_ns, self._last = time_ns, value
        return self._value.astype(np.float32)


def _weight(cutoff, seconds: float):
    """What a new value counts in a first-order low-pass: 1/(1 + τ/T), τ = 1/(2πf)."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * seconds))
