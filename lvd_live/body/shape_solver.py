"""The equations of a body's shape, given posed frames: once the rotations are known, the vertices are linear in β."""

from __future__ import annotations

import numpy as np

from lvd_live.body.linear_body import LinearBody
from lvd_live.body.pose_solver import Posed
from lvd_live.body.procrustes import normal_equations, posed_vertices, rotations, torque


def shape_equations(body: LinearBody, A: np.ndarray, posed: Posed, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of a step of betas for each frame, its pose and translation eliminated: (f, B, B), (f, B).

    A : (N, 73) from `LinearBody.design`. w : (N, 1 or f) weights of the vertices.
    """
    count = body.n_betas
    some = slice(None, None, -(-count // 100))  # of the vertices
    A, frames = A[some], len(posed.X)
    normal, right = np.empty((frames, count, count)), np.empty((frames, count))
    shares = np.broadcast_to(w[some] / w[some].sum(0), (len(A), frames))
    errors = posed.target[some] - posed_vertices(A, posed.X)
    for f, R in enumerate(rotations(posed.X)):
        X, D = posed.X[f : f + 1], _vertex_derivatives(body, R, some)
        normal[f], right[f] = _without_pose(A, X, D, shares[:, f], errors[:, f])
    return normal, right


def _vertex_derivatives(body: LinearBody, R: np.ndarray, some: slice) -> np.ndarray:
    """d posed vertices / d betas (n, 3, B) float32, the pelvis held in place. R : (24, 3, 3) global rotations."""
    parents, dJ = body.parents, body.joint_dirs
    W = body.weights[some].astype(np.float32)
    moved = np.zeros_like(dJ)  # the posed joints' derivatives
    for j in range(1, 24):
        moved[j] = moved[parents[j]] + R[parents[j]] @ (dJ[j] - dJ[parents[j]])
    blend = (W @ R.reshape(24, 9).astype(np.float32)).reshape(-1, 3, 3)
    offset = (W @ (moved - R @ dJ).reshape(24, -1).astype(np.float32)).reshape(len(W), 3, -1)
    return blend @ body.shapedirs[some] + offset


def _without_pose(
    A: np.ndarray, X: np.ndarray, D: np.ndarray, w: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One frame's normal equations of betas, (B, B) and (B,), pose and translation eliminated (Schur complement).

    A : (n, 73). X : (1, 73, 3). D : (n, 3, B) derivatives. w : (n,) weights. error : (n, 3) metres.
    """
    count = D.shape[2]
    WA = w[:, None] * A
    H, g = normal_equations((WA.T @ A).astype(float)[None], (WA.T @ error).astype(float)[None], X)
    Q = (WA.T @ D.reshape(len(D), -1)).reshape(73, 3, -1)
    turned = np.einsum("kab,kbcB->kacB", rotations(X)[0], Q[:72].reshape(24, 3, 3, -1), optimize=True)
    cross = np.concatenate([torque(turned).reshape(72, -1), Q[72]])
    flat, weights = D.reshape(-1, count), np.repeat(w, 3)[:, None]
    both = np.linalg.solve(H[0], np.concatenate([cross, g[0][:, None]], 1))
    normal = (flat * weights).T @ flat - cross.T @ both[:, :-1]
    right = (flat * weights).T @ error.reshape(-1) - cross.T @ both[:, -1]
    return normal, right
