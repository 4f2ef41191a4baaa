"""What a scan that was seen from one side says of the rest: there is nothing before its surface, and nothing beside it.

The sensor is taken to be far away, in one direction from all points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from lvd_live.scan.evidence import Cloud, Pairs
from lvd_live.scan.sampling import seen_from

BEFORE = 0.02  # metres before the surface that count as on it
LEAST, GAP = 0.02, 3.0  # metres; times the points' distance: so far beside the nearest point is beside the scan
AROUND = 4  # points in a vertex's line of sight, of which the nearest to the sensor counts
EMPTY = 0.5  # weight of free space, beside that of the scan's points


@dataclass(frozen=True)
class View:
    """A cloud as its sensor saw it. Metres.

    eye : (3,), the direction to the sensor. across : (2, 3), the image plane's axes. flat : (P, 2) and height : (P,),
    the points in that plane and toward the sensor. tree : of flat. reach : farther than that in the plane is beside.
    """

    eye: np.ndarray
    across: np.ndarray
    flat: np.ndarray
    height: np.ndarray
    tree: cKDTree
    reach: float

    @classmethod
    def of(cls, cloud: Cloud) -> View | None:
        """None where the cloud was seen from more than one side."""
        eye = seen_from(cloud.points)
        if eye is None:
            return None
        across = np.linalg.svd(eye[None])[2][1:]
        flat = cloud.points @ across.T
        tree = cKDTree(flat)
        apart = float(np.median(tree.query(flat[:: max(1, len(flat) // 500)], k=3)[0][:, 2]))
        return cls(eye, across, flat, cloud.points @ eye, tree, max(LEAST, GAP * apart))

    def wrong(self, vertices: np.ndarray) -> np.ndarray:
        """(N, 3): how vertices (N, 3) must move to lie no longer in free space; zeros where they do not."""
        flat = vertices @ self.across.T
        apart, near = self.tree.query(flat, k=min(AROUND, len(self.flat)))
        beside = apart[:, 0] > self.reach
        surface = np.where(apart < self.reach, self.height[near], -np.inf).max(1)
        before = np.maximum(vertices @ self.eye - surface - BEFORE, 0)
        back = -np.where(beside, 0, before)[:, None] * self.eye
        return np.where(beside[:, None], (self.flat[near[:, 0]] - flat) @ self.across, back)

    def pairs(self, vertices: np.ndarray, area: np.ndarray) -> Pairs:
        """`wrong` as evidence, each vertex with where it should be. area : (N,), weights of the vertices."""
        offset = self.wrong(vertices)
        length = np.linalg.norm(offset, axis=1)
        normal = -offset / np.maximum(length, 1e-9)[:, None]
        return Pairs(np.arange(len(vertices)), offset, -length, normal, length > 0, EMPTY * area)
