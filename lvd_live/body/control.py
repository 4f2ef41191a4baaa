"""Control vertices: the quarter of the body's vertices that the live network moves; a sparse map gives the others."""

from __future__ import annotations

import numpy as np

N_CONTROL = 1_723
NEIGHBOURS = 8
RIDGE = 1e-6  # square metres
SKIN = 0.2  # metres that a unit of difference in skin weights counts for, so that fingers do not mix with each other


def choose_control(points: np.ndarray, count: int = N_CONTROL) -> np.ndarray:
    """Farthest-point sampling: indices (count,) int64, sorted, into points (N, 3), starting from the topmost one."""
    chosen = [int(points[:, 1].argmax())]
    distance = np.full(len(points), np.inf)
    for _ in range(count - 1):
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(distance.argmax()))
    return np.sort(np.array(chosen))


def fit_upsampling(
    posed: np.ndarray, template: np.ndarray, weights: np.ndarray, control: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each vertex as an affine mix (weights sum to 1) of NEIGHBOURS control vertices, least squares over posed bodies.

    posed : (S, N, 3) metres. template : (N, 3) metres. weights : (N, 24) skin weights. control : (K,) indices.

    Returns columns (N, NEIGHBOURS) int64, indices into the control vertices, and mix (N, NEIGHBOURS) float32.
    """
    place = np.concatenate([template, SKIN * weights], 1)
    distance = ((place[:, None] - place[control][None]) ** 2).sum(-1)
    columns = np.argpartition(distance, NEIGHBOURS, 1)[:, :NEIGHBOURS]
    mix = np.empty(columns.shape)
    for i, near in enumerate(columns):  # minimise |Xw|² where the elements of w sum to 1
        X = (posed[:, control[near]] - posed[:, i : i + 1]).transpose(0, 2, 1).reshape(-1, NEIGHBOURS)
        w = np.linalg.solve(X.T @ X / len(posed) + RIDGE * np.eye(NEIGHBOURS), np.ones(NEIGHBOURS))
        mix[i] = w / w.sum()
    for k, vertex in enumerate(control):
        columns[vertex], mix[vertex] = k, 0
        mix[vertex, 0] = 1
    return columns, mix.astype(np.float32)


def vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """A third of the area of each vertex's triangles, (V,), in the square of the vertices' unit."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    return np.bincount(faces.ravel(), np.repeat(area, 3), minlength=len(vertices))
