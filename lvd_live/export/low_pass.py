"""A zero-phase low-pass over time: the Whittaker-Henderson smoother (Eilers, Anal. Chem. 2003), a smoothing spline.

Of values y with weights w it gives the x that minimises Σ w (y − x)² + λ Σ (x_t−1 − 2 x_t + x_t+1)². Where all weights
are 1, what swings at f Hz is left by 1 / (1 + (f / c)⁴), as by a second-order Butterworth filter of cut-off c run
forward and back, with λ = (fps / 2πc)⁴. Nothing is delayed, and what moves evenly stays as it is, at both ends, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

HALF = 0.187  # cut-off in Hz times seconds: a Gaussian of so many seconds halves the same frequency
REACH = 6.0  # of a mesh's window to either side, in the seconds of the low-pass: the rest weighs 1 % at most
DISTANCE = 4.0  # how much longer the distance from the camera is averaged: one camera hardly knows it


@dataclass(frozen=True)
class LowPass:
    """Over F frames, evenly spaced.

    seconds : how strong, see `HALF`; 0 leaves everything as it is. fps : frames per second.
    weights : (F,) float64 > 0, how far each frame is to be believed.
    shots : (F,) int, which shot each frame belongs to: nothing is averaged across a cut.
    """

    seconds: float
    fps: float
    weights: np.ndarray
    shots: np.ndarray

    def values(self, values: np.ndarray, times: float = 1.0) -> np.ndarray:
        """Values (F, …) float, smoothed. times : as long."""
        if self.seconds == 0:
            return values
        bands = self._bands(slice(None), times)
        right = self.weights[:, None] * values.reshape(len(values), -1)
        return solveh_banded(bands, right, lower=True).reshape(values.shape)

    def rotations(self, quaternions: np.ndarray) -> np.ndarray:
        """Quaternions (F, …, 4), whose signs change nowhere, smoothed."""
        mean = self.values(quaternions)
        return mean / np.linalg.norm(mean, axis=-1, keepdims=True)

    def places(self, points: np.ndarray) -> np.ndarray:
        """Points (F, 3), the camera at the origin, smoothed: their directions, and harder their distances."""
        distance = np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6)
        far = np.exp(self.values(np.log(distance), DISTANCE))
        direction = self.values(points / distance)
        return direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6) * far

    def window(self, frame: int) -> tuple[range, np.ndarray]:
        """The frames around one, and their shares of its smoothed value, as of `values`, which sum to 1."""
        reach = int(np.ceil(REACH * self.seconds * self.fps))
        first, end = max(frame - reach, 0), min(frame + reach + 1, len(self.weights))
        some = slice(first, end)
        if self.seconds == 0:
            return range(frame, frame + 1), np.ones(1)
        alone = np.zeros(end - first)
        alone[frame - first] = 1.0
        return range(first, end), self.weights[some] * solveh_banded(self._bands(some, 1.0), alone, lower=True)

    def _bands(self, some: slice, times: float) -> np.ndarray:
        """The diagonals (3, f) of W + λ DᵀD, D the second differences of some frames that lie in one shot."""
        weights, shots = self.weights[some], self.shots[some]
        bands = np.zeros((3, len(weights)))
        bands[0] = weights
        if len(weights) > 2:
            stiff = (self.fps * self.seconds * times / (2 * np.pi * HALF)) ** 4
            within = stiff * (shots[2:] == shots[:-2])  # (f - 2,): of the differences
            for place, factor in enumerate((1, 4, 1)):
                bands[0, place : place + len(within)] += factor * within
            bands[1, :-2] -= 2 * within
            bands[1, 1:-1] -= 2 * within
            bands[2, :-2] += within
        return bands
