"""Filters for meshes as they come: the One-Euro filter for points, and an alpha-beta filter for how far a body is.

The One-Euro filter (Casiez, Roussel, Vogel, CHI 2012) is smooth where things stand still, quick where they move. Depth,
which one picture hardly shows, is smoothed harder than what it does show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

DERIVATIVE_CUTOFF = 1.0  # Hz
DISTANCE_S = 0.2  # time constant of a body's distance: on seven clips it shakes a sixth, and errs no more
LONGEST_S = 0.5  # between two frames of one time series of distances


@dataclass(frozen=True)
class Level:
    """The cut-off at rest, Hz, and by how much it rises per m/s: picture, across the view; depth, along it."""

    picture: tuple[float, float]
    depth: tuple[float, float]

    @property
    def lag_ms(self) -> float:
        """The delay of a slow movement in the picture, ms: 1/(2πf) of a first-order low-pass with cut-off f."""
        return 1000 / (2 * math.pi * self.picture[0])


LEVELS: dict[str, Level | None] = {
    "off": None,
    "low": Level((3.0, 15.0), (1.0, 4.0)),
    "high": Level((1.5, 3.0), (0.5, 0.6)),
}


class OneEuro:
    """Filters points (N, 3), metres, camera frame, of one time series.

    Each point has a speed of its own, the low-passed difference of its unfiltered values, and so its own cut-off. It is
    the speed in the picture: what a point seems to do in depth is mostly noise.
    """

    def __init__(self, level: Level):
        self._cutoff, self._slope = (
            np.array([p, p, d], np.float32) for p, d in zip(level.picture, level.depth, strict=True)
        )
        self.reset()

    def reset(self) -> None:
        """Begin a new time series."""
        self._state: _State | None = None

    def __call__(self, value: np.ndarray, time_ns: int) -> np.ndarray:
        """The filtered points, float32. A first one, or one that is not later than the last, passes as it is."""
        value, state = np.asarray(value, np.float32), self._state
        if state is None or time_ns <= state.time_ns or value.shape != state.filtered.shape:
            filtered, speed = value, np.zeros_like(value[:, :2])
        else:
            seconds = (time_ns - state.time_ns) / 1e9
            change = (value - state.value)[:, :2] / seconds
            speed = state.speed + _weight(DERIVATIVE_CUTOFF, seconds) * (change - state.speed)
            cutoff = self._cutoff + self._slope * np.linalg.norm(speed, axis=1, keepdims=True)
            filtered = state.filtered + _weight(cutoff, seconds) * (value - state.filtered)
        self._state = _State(time_ns, value, filtered, speed)
        return filtered.astype(np.float32)


class SteadyDistance:
    """Holds the distance of a body from the camera steady, whose size a single frame does not tell; nothing else moves.

    An alpha-beta filter of its logarithm: the steady state of a Kalman filter for things that move evenly, by Kalata's
    tracking index Λ = (T/τ)² (IEEE TAES 1984), T the time between two frames and τ = `DISTANCE_S`.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin a new time series."""
        self._time_ns: int | None = None
        self._log, self._speed = 0.0, 0.0  # of the distance, and its change a second

    def hold(self, vertices: np.ndarray, time_ns: int) -> np.ndarray:
        """A mesh (N, 3) float32, metres, camera frame, moved along its line of sight as `__call__` says."""
        place = vertices[::16].mean(0)  # as good as all of them
        return vertices + place * np.float32(self(place, time_ns) - 1)

    def __call__(self, place: np.ndarray, time_ns: int) -> float:
        """How far the body is to be moved along its line of sight: what to multiply `place` by, its place, (3,) metres.

        A first place, and one that is earlier or much later than the last, stays; the same time again changes nothing.
        """
        log = math.log(max(float(np.linalg.norm(place)), 1e-6))
        seconds = -1.0 if self._time_ns is None else (time_ns - self._time_ns) / 1e9
        self._time_ns = time_ns
        if seconds == 0:
            return math.exp(self._log - log)
        if not 0 < seconds <= LONGEST_S:
            self._log, self._speed = log, 0.0
            return 1.0
        index = (seconds / DISTANCE_S) ** 2
        damping = (4 + index - math.sqrt(8 * index + index * index)) / 4
        alpha = 1 - damping**2
        beta = 2 * (2 - alpha) - 4 * math.sqrt(1 - alpha)
        expected = self._log + self._speed * seconds
        self._log = expected + alpha * (log - expected)
        self._speed += beta * (log - expected) / seconds
        return math.exp(self._log - log)


@dataclass(frozen=True)
class _State:
    """The last points, (N, 3), as they came and filtered, and their speed in the picture, (N, 2) m/s."""

    time_ns: int
    value: np.ndarray
    filtered: np.ndarray
    speed: np.ndarray


def _weight(cutoff, seconds: float):
    """The weight of a new value in a first-order low-pass: 1/(1 + τ/T), τ = 1/(2πf)."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * seconds))
