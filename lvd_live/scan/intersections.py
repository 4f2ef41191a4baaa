"""Where a triangle mesh passes through itself."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

CLASSES = 5  # of triangles by their size: large ones look farther for partners than small ones


def self_intersections(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Pairs (K, 2) int64 of triangles that cut each other and share no vertex, the smaller number first, sorted.

    vertices : (N, 3) float. faces : (M, 3) int. Triangles in one plane do not count.
    """
    corners = np.asarray(vertices, float)[faces]
    pairs = _near(corners)
    low, high = corners.min(1).T, corners.max(1).T
    for axis in range(3):
        i, j = pairs.T
        pairs = pairs[(low[axis, i] <= high[axis, j]) & (low[axis, j] <= high[axis, i])]
    a, b = faces[pairs[:, 0]], faces[pairs[:, 1]]
    pairs = pairs[~(a[:, :, None] == b[:, None, :]).any((1, 2))]
    first, second = corners[pairs[:, 0]], corners[pairs[:, 1]]
    cut = _edges_cut(first, second) | _edges_cut(second, first)
    found = np.sort(pairs[cut], 1)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def added(before: np.ndarray, after: np.ndarray, count: int) -> np.ndarray:
    """The pairs (K, 2) of `after` that `before` does not have. count : number of triangles."""
    keys = [pairs[:, 0] * count + pairs[:, 1] for pairs in (before, after)]
    return after[~np.isin(keys[1], keys[0])]


def _near(corners: np.ndarray) -> np.ndarray:
    """Pairs (K, 2) of triangles (M, 3, 3) whose circumscribed balls about their centres touch."""
    centre = corners.mean(1)
    radius = np.linalg.norm(corners - centre[:, None], axis=2).max(1)
    groups = [g for g in np.array_split(np.argsort(radius), CLASSES) if len(g)]
    trees = [cKDTree(centre[g]) for g in groups]
    found = []
    for x, (own, tree) in enumerate(zip(groups, trees, strict=True)):
        for other, there in zip(groups[x:], trees[x:], strict=True):
            reach = radius[own].max() + radius[other].max()
            near = tree.sparse_distance_matrix(there, reach, output_type="ndarray")
            i, j = own[near["i"]], other[near["j"]]
            keep = near["v"] < radius[i] + radius[j]
            if other is own:
                keep &= i < j
            found.append(np.column_stack([i[keep], j[keep]]))
    return np.concatenate(found)


def _edges_cut(edges_of: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """(K,) bool: whether an edge of the one triangle (K, 3, 3) passes through the other (Möller and Trumbore 1997)."""
    a, ab, ac = triangle[:, 0], triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0]
    out = np.zeros(len(triangle), bool)
    for k in range(3):
        start, way = edges_of[:, k], edges_of[:, (k + 1) % 3] - edges_of[:, k]
        across = np.cross(way, ac)
        det = (ab * across).sum(1)
        safe = np.where(np.abs(det) > 1e-18, det, np.inf)
        from_a = start - a
        u = (from_a * across).sum(1) / safe
        q = np.cross(from_a, ab)
        v, t = (way * q).sum(1) / safe, (ac * q).sum(1) / safe
        out |= np.isfinite(safe) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0) & (t <= 1)
    return out
