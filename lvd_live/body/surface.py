"""Nearest points on a triangle mesh."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

SKIN = 0.3  # metres that a unit of difference in skin weights counts for when the nearest point is sought
NORMAL = 0.03  # metres that a unit of difference in normals counts for
CANDIDATES = 12  # triangles tried for one point


class Surface:
    """A mesh on which nearest points are sought, among triangles of similar skin weights and normals.

    vertices : (N, 3) metres. faces : (M, 3) int. weights : (N, 24) skin weights.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray):
        self._vertices, self._faces, self._triangles = vertices, faces, vertices[faces]
        a, b, c = (self._triangles[:, i] for i in range(3))
        across = np.cross(b - a, c - a)
        normals = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-20)
        self._tree = cKDTree(_features(self._triangles.mean(1), normals, weights[faces].mean(1)))

    def nearest(
        self, points: np.ndarray, normals: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The surface point nearest to each point: its triangle's corners (P, 3), their mix (P, 3), the distance (P,).

        points : (P, 3) metres. normals : (P, 3) unit length. weights : (P, 24) skin weights.
        """
        _, near = self._tree.query(_features(points, normals, weights), k=CANDIDATES)
        mix, distance = closest_on_triangles(points[:, None], self._triangles[near])
        best = distance.argmin(1)
        rows = np.arange(len(points))
        return self._faces[near[rows, best]], mix[rows, best], distance[rows, best]

    def closest(self, points: np.ndarray, normals: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The nearest surface points themselves, (P, 3); see `nearest`."""
        corners, mix, _ = self.nearest(points, normals, weights)
        return np.einsum("pk,pkc->pc", mix, self._vertices[corners])


def _features(points: np.ndarray, normals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Place, normal and skin weights in metres, side by side: what the search tree compares."""
    return np.concatenate([points, NORMAL * normals, SKIN * weights], 1)


def closest_on_triangles(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each triangle (…, 3, 3) the point closest to its point (…, 3): barycentric (…, 3), and the distance (…,)."""
    a, b, c = (triangles[..., i, :] for i in range(3))
    points = np.broadcast_to(points, a.shape)
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    det = np.maximum(d00 * d11 - d01 * d01, 1e-30)
    v, w = (d11 * d20 - d01 * d21) / det, (d00 * d21 - d01 * d20) / det
    options = [np.stack([1 - v - w, v, w], -1)]  # inside, or the nearest point of one of the edges
    for i, j in ((0, 1), (1, 2), (2, 0)):
        p, q = triangles[..., i, :], triangles[..., j, :]
        t = np.clip(((points - p) * (q - p)).sum(-1) / np.maximum(((q - p) ** 2).sum(-1), 1e-30), 0, 1)
        edge = np.zeros((*t.shape, 3))
        edge[..., i], edge[..., j] = 1 - t, t
        options.append(edge)
    mix = np.stack(options, -2)  # (…, 4, 3)
    distance = np.linalg.norm(np.einsum("...ok,...kc->...oc", mix, triangles) - points[..., None, :], axis=-1)
    distance[..., 0] = np.where((mix[..., 0, :] >= 0).all(-1), distance[..., 0], np.inf)
    best = distance.argmin(-1)[..., None]
    return np.take_along_axis(mix, best[..., None], -2)[..., 0, :], np.take_along_axis(distance, best, -1)[..., 0]
