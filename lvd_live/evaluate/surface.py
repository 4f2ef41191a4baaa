"""Distance from a mesh's surface."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from lvd_live.errors import UserError


def incident_faces(faces: np.ndarray) -> np.ndarray:
    """The faces at each vertex, (N, D) indices into faces (M, 3), rows filled up with repetitions."""
    order = np.argsort(faces.ravel(), kind="stable")
    counts = np.bincount(faces.ravel())
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return (order // 3)[first[:, None] + np.arange(counts.max()) % counts[:, None]]


def distance_to_surface(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, incident: np.ndarray
) -> np.ndarray:
    """Distance (P,) of points (P, 3) from a mesh: to the triangles around each one's three nearest vertices.

    vertices : (N, 3), in the points' unit. faces : (M, 3). incident : see `incident_faces`.
    Raises UserError without trimesh.
    """
    try:
        from trimesh.triangles import closest_point
    except ModuleNotFoundError:
        raise UserError("The distance to the surface needs trimesh: pip install -e .[train]") from None
    nearest = cKDTree(vertices).query(points, 3)[1]
    candidates = incident[nearest].reshape(len(points), -1)
    repeated = np.repeat(points, candidates.shape[1], 0)
    closest = closest_point(vertices[faces[candidates.ravel()]], repeated)
    return np.linalg.norm(closest - repeated, axis=1).reshape(candidates.shape).min(1)
