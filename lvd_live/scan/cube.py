"""The cube frame: where a scan lies for the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MARGIN = 1.12  # half of the cube's side over half of the longest side of the points' box
PERCENTILES = (0.2, 99.8)  # of the coordinates, between which that box lies: a few strays do not move it


@dataclass(frozen=True)
class Cube:
    """An axis-aligned cube around a scan; see `lvd.volume` about its frame, in which it spans -1..1.

    centre : (3,) float64, half : half of the side; both in the scan's unit and axes (y up).
    """

    centre: np.ndarray
    half: float

    @classmethod
    def around(cls, points: np.ndarray) -> Cube:
        """The cube around points (P, 3), P > 0, finite. Points that all coincide get a cube of side 2."""
        low, high = np.percentile(points.astype(np.float64), PERCENTILES, axis=0)
        half = MARGIN * float((high - low).max()) / 2
        return cls((low + high) / 2, half if half > 0 else 1.0)

    def into(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the scan in the cube frame, float32."""
        return ((points - self.centre) / self.half).astype(np.float32)

    def out_of(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the cube frame as the scan has them, float64."""
        return points.astype(np.float64) * self.half + self.centre


def about_up(yaw: np.ndarray) -> np.ndarray:
    """Rotations (n, 3, 3) float32 by `yaw` (n,), radians, about y, which runs up: +z turns toward +x."""
    c, s, zero, one = np.cos(yaw), np.sin(yaw), np.zeros_like(yaw), np.ones_like(yaw)
    rows = [np.stack(row, -1) for row in ([c, zero, s], [zero, one, zero], [-s, zero, c])]
    return np.stack(rows, -2).astype(np.float32)
