"""A coarser mesh of a body's skin.

Each new vertex is a barycentric mix of three old ones, so that shapes and skin weights are carried over exactly.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.spatial

from lvd_live.body.skeleton import JOINT

N_FACES = 13_776  # SMPL's; a closed surface of so many has SMPL's 6,890 vertices
DENSITY = {"head": 0.55, "hand": 0.50, "foot": 0.62}
"""Linear scale of these parts while decimating: smaller parts get fewer vertices."""


def decimate(
    vertices: np.ndarray, faces: np.ndarray, count: int = N_FACES, *, keep_border: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Quadric decimation to `count` faces: points (P, 3) near the surface, and their faces (count, 3).

    vertices : (V, 3). faces : (F, 3). keep_border : edges of one face stay as they are.
    """
    import pyfqmr

    used = np.unique(faces)
    renumber = np.full(len(vertices), -1)
    renumber[used] = np.arange(len(used))
    simplify = pyfqmr.Simplify()
    simplify.setMesh(vertices[used], renumber[faces])
    simplify.simplify_mesh(target_count=count, aggressiveness=2, preserve_border=keep_border, verbose=False)
    points, simple, _ = simplify.getMesh()
    return points, simple


def shrink_dense_parts(vertices: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The body (V, 3) with head, hands and feet shrunk towards their joints: the metric to spread vertices evenly in.

    vertices : (V, 3). weights : (V, 24) skin weights. joints : (24, 3). Same frame, T-pose.
    """
    out = vertices.copy()
    for scale, around, moved in (
        (DENSITY["head"], "head", ("head",)),
        *((DENSITY["hand"], f"{s}_wrist", (f"{s}_wrist", f"{s}_hand")) for s in ("left", "right")),
        *((DENSITY["foot"], f"{s}_ankle", (f"{s}_ankle", f"{s}_foot")) for s in ("left", "right")),
    ):
        share = weights[:, [JOINT[m] for m in moved]].sum(1, keepdims=True)
        out += (scale - 1) * share * (vertices - joints[JOINT[around]])
    return out


def largest_component(faces: np.ndarray) -> np.ndarray:
    """The faces (F, 3) of the largest connected part: the skin without eyes and tongue."""
    n = faces.max() + 1
    edges = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    graph = scipy.sparse.coo_matrix((np.ones(len(edges[0])), edges), (n, n))
    _, label = scipy.sparse.csgraph.connected_components(graph)
    return faces[label[faces[:, 0]] == np.bincount(label[faces[:, 0]]).argmax()]


def barycentric_map(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> scipy.sparse.csr_matrix:
    """Each point as a mix of its nearest triangle's corners: sparse (P, V), rows sum to 1.

    points : (P, 3). vertices : (V, 3). faces : (F, 3).
    """
    from trimesh import triangles as geometry

    faces_of: list[list[int]] = [[] for _ in vertices]
    for f, corners in enumerate(faces):
        for v in corners:
            faces_of[v].append(f)
    used = np.unique(faces)
    _, near = scipy.spatial.cKDTree(vertices[used]).query(points, k=6)
    columns, values = np.empty((len(points), 3), int), np.empty((len(points), 3))
    for p, point in enumerate(points):
        candidates = np.unique(np.concatenate([faces_of[used[v]] for v in near[p]])).astype(int)
        triangles = vertices[faces[candidates]]
        closest = geometry.closest_point(triangles, np.repeat(point[None], len(candidates), 0))
        best = ((closest - point) ** 2).sum(1).argmin()
        mix = geometry.points_to_barycentric(triangles[best : best + 1], closest[best : best + 1])[0]
        mix = np.clip(mix, 0, None)
        columns[p], values[p] = faces[candidates[best]], mix / mix.sum()
    rows = np.repeat(np.arange(len(points)), 3)
    return scipy.sparse.csr_matrix((values.ravel(), (rows, columns.ravel())), (len(points), len(vertices)))
