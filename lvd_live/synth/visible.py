"""Which points of a surface a depth camera sees: a depth buffer over bare points."""

from __future__ import annotations

import numpy as np

CELL = 0.003  # metres: the buffer's pixels
SLAB = 0.005  # metres behind the nearest point of a pixel that still count as seen
FACING = 0.15  # cosine of the angle to the camera's axis above which a surface is seen


def seen_from(points: np.ndarray, normals: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(P,) bool: whether any camera sees a point. Cameras are far away: projection is parallel.

    points, normals : (P, 3) metres. directions : (C, 3) unit, from the scene towards each camera.
    """
    seen = np.zeros(len(points), bool)
    for toward in directions:
        aside = np.cross(toward, np.eye(3)[np.abs(toward).argmin()])
        aside /= np.linalg.norm(aside)
        plane = points @ np.stack([aside, np.cross(toward, aside)], 1)
        cell = np.floor((plane - plane.min(0)) / CELL).astype(np.int64)
        index = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
        depth = points @ toward
        nearest = np.full(int(index.max()) + 1, -np.inf)
        np.maximum.at(nearest, index, depth)
        seen |= (depth > nearest[index] - SLAB) & (normals @ toward > FACING)
    return seen
