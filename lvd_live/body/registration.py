"""Registering one body's template to another's: the first mesh takes the second one's shape.

Limbs are turned and stretched joint by joint, then the first body's own parameters are fitted to nearest points on the
target's surface, then a smooth displacement field leads onto it: non-rigid ICP with a Laplacian that gets softer
(Amberg et al. 2007).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch

from lvd_live.body.fit import BodyFitter
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT, rotation_between
from lvd_live.body.surface import Surface
from lvd_live.topology import vertex_normals

ROUNDS = 10  # of fitting parameters
STIFFNESS = (100, 50, 25, 12, 6, 3, 1.5, 0.7, 0.3, 0.1)  # of the displacement field, round by round
ENDS = ("left_hand", "right_hand", "left_foot", "right_foot", "head")  # turned as their parents are


def register(source: BodyModel, target: BodyModel) -> np.ndarray:
    """The source's vertices laid onto the target's template, (N, 3) float64, metres, the target's rest frame."""
    goal, faces = target.v_template.numpy().astype(float), source.faces.numpy()
    surface, weights = Surface(goal, target.faces.numpy(), target.weights.numpy()), source.weights.numpy()
    fitter = BodyFitter(source)
    v = _stretched(fitter, target.J_regressor.numpy() @ goal)
    for _ in range(ROUNDS):
        nearest = surface.closest(v, vertex_normals(v, faces), weights)
        v = _refitted(fitter, nearest)
    laplacian = _laplacian(faces, len(v))
    for stiffness in STIFFNESS:
        nearest = surface.closest(v, vertex_normals(v, faces), weights)
        distance = np.linalg.norm(nearest - v, axis=1)
        trust = 1 / (1 + (distance / max(3 * np.median(distance), 1e-3)) ** 2)  # points far off for their round lose it
        system = (scipy.sparse.diags(trust) + stiffness * laplacian).tocsc()
        v = v + scipy.sparse.linalg.spsolve(system, trust[:, None] * (nearest - v))
    return v


def _refitted(fitter: BodyFitter, vertices: np.ndarray) -> np.ndarray:
    """The body's vertices (N, 3) float64 with the parameters that lie nearest to vertices (N, 3)."""
    fitted = fitter.fit(vertices[None].astype(np.float32))
    parameters = (torch.from_numpy(x) for x in (fitted.betas[None], fitted.pose, fitted.transl))
    with torch.no_grad():
        return fitter.body(*parameters)[0][0].numpy().astype(float)


def _laplacian(faces: np.ndarray, count: int) -> scipy.sparse.csr_matrix:
    """The graph Laplacian (N, N) of a mesh of `count` vertices."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.sort(edges, 1), axis=0)
    ones, rows = np.ones(len(edges)), np.arange(len(edges))
    entries = np.concatenate([ones, -ones]), (np.concatenate([rows, rows]), edges.T.ravel())
    difference = scipy.sparse.csr_matrix(entries, (len(edges), count))
    return difference.T @ difference


def _stretched(fitter: BodyFitter, joints: np.ndarray) -> np.ndarray:
    """The template (N, 3) with each bone turned and scaled to lie between the target's joints (24, 3)."""
    rest, J, parents = fitter.template, fitter.regressor @ fitter.template, fitter.parents
    size = np.linalg.norm(joints - joints[0], axis=1).sum() / np.linalg.norm(J - J[0], axis=1).sum()
    R, scale = np.tile(np.eye(3), (24, 1, 1)), np.full(24, size)
    for child, k in enumerate(parents):
        if k >= 0 and np.count_nonzero(parents == k) == 1:
            R[k] = rotation_between(J[child] - J[k], joints[child] - joints[k])
            scale[k] = np.linalg.norm(joints[child] - joints[k]) / np.linalg.norm(J[child] - J[k])
    for k in (JOINT[name] for name in ENDS):
        R[k] = R[parents[k]]
    per_bone = np.einsum("kab,nkb->nka", R * scale[:, None, None], rest[:, None] - J) + joints
    return np.einsum("nk,nka->na", fitter.weights, per_bone)
