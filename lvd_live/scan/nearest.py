"""Exact nearest points on a triangle mesh, and the distances that reports give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from lvd_live.scan.evidence import features
from lvd_live.topology import vertex_normals

CHUNK = 20_000  # points at a time


@dataclass(frozen=True)
class Nearest:
    """Of P points: corners (P, 3) int of the nearest triangle, mix (P, 3) of them, distance (P,)."""

    corners: np.ndarray
    mix: np.ndarray
    distance: np.ndarray


class MeshSearch:
    """Nearest points on a mesh, among the triangles about the nearest vertices.

    vertices : (N, 3). faces : (M, 3). with_normals : whether the nearest vertices agree in normals, too (see
    `evidence.features`): so that a point on the palm finds the palm.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, *, with_normals: bool = False):
        self._vertices, self._faces = np.asarray(vertices, float), np.asarray(faces)
        self.normals = vertex_normals(vertices, faces).astype(float)
        self._with_normals = with_normals
        self._tree = cKDTree(features(self._vertices, self.normals if with_normals else np.zeros_like(self.normals)))
        self._order = np.argsort(self._faces.ravel(), kind="stable") // 3
        degree = np.bincount(self._faces.ravel(), minlength=len(vertices))
        self._starts = np.minimum(np.cumsum(degree) - degree, len(self._order) - 1)
        self._degree = np.maximum(degree, 1)  # a vertex of no triangle borrows one

    def nearest(self, points: np.ndarray, normals: np.ndarray | None = None) -> Nearest:
        """points : (P, 3). normals : (P, 3), used where the search has them."""
        parts = []
        for start in range(0, len(points), CHUNK):
            some = slice(start, start + CHUNK)
            known = normals[some] if self._with_normals and normals is not None else None
            parts.append(self._nearest(np.asarray(points[some], float), known))
        return Nearest(*(np.concatenate([part[i] for part in parts]) for i in range(3)))

    def _nearest(self, points: np.ndarray, normals: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._with_normals and normals is None:
            normals = np.zeros_like(points)
        place = points if normals is None else np.concatenate([points, features(points, normals)[:, 3:]], 1)
        if place.shape[1] != self._tree.m:
            place = np.concatenate([points, np.zeros_like(points)], 1)
        _, vertex = self._tree.query(place)
        count = self._degree[vertex]
        ends = np.cumsum(count)
        rows = np.repeat(np.arange(len(points)), count)
        position = np.arange(len(rows)) - np.repeat(ends - count, count)
        triangles = self._faces[self._order[np.repeat(self._starts[vertex], count) + position]]
        mix, squared = closest(points[rows], *(self._vertices[triangles[:, i]] for i in range(3)))
        least = np.minimum.reduceat(squared, ends - count)
        hits = np.flatnonzero(squared <= least[rows])
        best = hits[np.unique(rows[hits], return_index=True)[1]]
        return triangles[best], mix[best], np.sqrt(squared[best])


def closest(points: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of triangles with the corners a, b, c (R, 3) the points closest to points (R, 3): barycentric (R, 3), and the
    squared distances (R,). As `surface.closest_on_triangles`, coordinate by coordinate."""
    ab, ac, ap = (b - a).T, (c - a).T, (points - a).T
    d00, d01, d11, d20, d21 = _dot(ab, ab), _dot(ab, ac), _dot(ac, ac), _dot(ap, ab), _dot(ap, ac)
    own = _dot(ap, ap)
    det = np.maximum(d00 * d11 - d01 * d01, 1e-30)
    v, w = (d11 * d20 - d01 * d21) / det, (d00 * d21 - d01 * d20) / det
    outside = (v < 0) | (w < 0) | (v + w > 1)
    on_ab = np.clip(d20 / np.maximum(d00, 1e-30), 0, 1)
    on_ac = np.clip(d21 / np.maximum(d11, 1e-30), 0, 1)
    across = np.maximum(d00 + d11 - 2 * d01, 1e-30)  # |c − b|²
    on_bc = np.clip((d21 - d20 + d00 - d01) / across, 0, 1)
    zero = np.zeros_like(v)
    options = [(v, w), (on_ab, zero), (zero, on_ac), (1 - on_bc, on_bc)]

    def squared(v: np.ndarray, w: np.ndarray) -> np.ndarray:
        return own - 2 * (v * d20 + w * d21) + v * v * d00 + 2 * v * w * d01 + w * w * d11

    distance = np.stack([squared(*option) for option in options])
    distance[0, outside] = np.inf
    best, every = distance.argmin(0), np.arange(len(v))
    v, w = np.stack([o[0] for o in options])[best, every], np.stack([o[1] for o in options])[best, every]
    return np.column_stack([1 - v - w, v, w]), np.maximum(distance[best, every], 0)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of a, b (3, R): (R,)."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
