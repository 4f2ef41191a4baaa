"""Algorithms on triangle meshes and on points in space: normals, open edges, simplification, noise."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
import scipy.spatial


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals weighted by area: (V, 3) float32, zero at vertices of no face.

    vertices : (V, 3) float. faces : (F, 3) int.
    """
    corners = vertices[faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    index = faces.T.ravel()
    total = np.stack([np.bincount(index, np.tile(area[:, c], 3), len(vertices)) for c in range(3)], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return (total / np.maximum(length, 1e-12)).astype(np.float32)


def near_open_edge(points: np.ndarray, faces: np.ndarray, reach: float) -> np.ndarray:
    """(F,) bool: faces with a vertex closer than `reach` to an open edge of the surface.

    points : (V, 3) float, metres; vertices in the same place count as one. faces : (F, 3) int.
    """
    cell = np.round((points - points.min(axis=0)) * 1e4).astype(np.int64)
    _, same = np.unique(cell @ np.array([1 << 40, 1 << 20, 1]), return_inverse=True)
    welded = same[faces]
    edges = np.sort(np.concatenate([welded[:, [0, 1]], welded[:, [1, 2]], welded[:, [2, 0]]]).astype(np.int64), axis=1)
    _, index, count = np.unique(edges @ np.array([len(points), 1]), return_index=True, return_counts=True)
    rim = np.unique(edges[index[count == 1]])
    if len(rim) == 0:
        return np.zeros(len(faces), bool)
    place = np.empty((same.max() + 1, 3), points.dtype)
    place[same] = points
    distance, _ = scipy.spatial.cKDTree(place[rim]).query(points, distance_upper_bound=reach)
    return np.isfinite(distance)[faces].any(axis=1)


def cluster_vertices(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Simplify a mesh: move every vertex to the first one of its unit cell and drop the faces that collapse.

    points : (V, k) float, the vertices scaled so that a cell has the side 1. faces : (F, 3) int.
    Returns (G, 3) uint32, faces of the same vertices.
    """
    used = np.unique(faces)
    cell = np.floor(points[used]).astype(np.int64)
    cell -= cell.min(axis=0)
    key = np.ravel_multi_index(tuple(cell.T), tuple(cell.max(axis=0) + 1))
    _, first, index = np.unique(key, return_index=True, return_inverse=True)
    moved = np.empty(len(points), np.uint32)
    moved[used] = used[first[index]]
    corners = moved[faces]
    a, b, c = corners.T
    return corners[(a != b) & (b != c) & (c != a)]


def value_noise(points: np.ndarray, seed: int) -> np.ndarray:
    """Smooth noise in 0..1 of wavelength about 2: (V, 3) float points to (V,) float32. A seed is a field."""
    table = np.random.default_rng(seed).random((16, 16, 16), np.float32)
    return scipy.ndimage.map_coordinates(table, np.asarray(points).T % 16, order=1, mode="grid-wrap")
