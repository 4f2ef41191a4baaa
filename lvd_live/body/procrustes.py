"""Procrustes for a whole skeleton: Gauss-Newton on the global rotations of its joints, all bones at once; the algebra of `fit`.

X (f, 73, 3): the transposed rotations G_k (k = 0..23) one below the other, then the pelvis p; vertices = A X with A (N, 73), see `fit`.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def rotations(X: np.ndarray) -> np.ndarray:
    """G (f, 24, 3, 3) of X (f, 73, 3)."""
    return X[:, :72].reshape(-1, 24, 3, 3).swapaxes(-1, -2)


def stack(G: np.ndarray, p: np.ndarray) -> np.ndarray:
    """X (f, 73, 3): the transposed rotations one below the other, then p."""
    return np.concatenate([G.swapaxes(-1, -2).reshape(len(G), 72, 3), p[:, None]], 1)


def nearest_rotation(H: np.ndarray) -> np.ndarray:
    """The rotations (..., 3, 3) nearest to H (Kabsch 1976)."""
    U, _, Vt = np.linalg.svd(H)
    U[..., 2] *= np.linalg.det(U @ Vt)[..., None]
    return U @ Vt


def _cross_matrix(x: np.ndarray) -> np.ndarray:
    """[x]× (..., 3, 3)."""
    zero = np.zeros_like(x[..., 0])
    return np.stack(
        [zero, -x[..., 2], x[..., 1], x[..., 2], zero, -x[..., 0], -x[..., 1], x[..., 0], zero], -1
    ).reshape(*x.shape, 3)


def torque(Q: np.ndarray) -> np.ndarray:
    """Σ b × r (24, 3, …) from Q = Σ b rᵀ (24, 3, 3, …)."""
    return np.stack([Q[:, 1, 2] - Q[:, 2, 1], Q[:, 2, 0] - Q[:, 0, 2], Q[:, 0, 1] - Q[:, 1, 0]], 1)


def normal_equations(M: np.ndarray, left: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of min tr(XᵀMX) − 2 tr(Xᵀ·moments) over the rotations in X, each turned by exp[δ_k]× from the left, and p: H (f, 75, 75), g (f, 75).

    M (f, 73, 73), X (f, 73, 3), left = moments − M X (f, 73, 3): what the moments AᵀWV leave.
    """
    f = len(X)
    G = rotations(X)
    half = G[:, :, None] @ M[:, :72, :72].reshape(-1, 24, 3, 24, 3).transpose(0, 1, 3, 2, 4)  # (f, k, l, 3, 3)
    S = half @ G[:, None].swapaxes(-1, -2)  # Σ b_k b_lᵀ with b = G a
    H = np.empty((f, 75, 75))
    trace = np.trace(S, axis1=-2, axis2=-1)
    H[:, :72, :72] = (
        (trace[..., None, None] * np.eye(3) - S.swapaxes(-1, -2)).transpose(0, 1, 3, 2, 4).reshape(f, 72, 72)
    )
    arm = _cross_matrix((G @ M[:, :72, 72].reshape(-1, 24, 3, 1))[..., 0]).reshape(f, 72, 3)
    H[:, :72, 72:], H[:, 72:, :72] = arm, arm.swapaxes(-1, -2)
    H[:, 72:, 72:] = M[:, 72, 72, None, None] * np.eye(3)
    H[:, range(75), range(75)] *= 1 + 1e-5
    return H, _wrench(X, left)


def _wrench(X: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Moments (f, 73, 3) as torques about the joints, and the force on the whole: (f, 75)."""
    turning = torque((rotations(X) @ moments[:, :72].reshape(-1, 24, 3, 3)).transpose(1, 2, 3, 0)).transpose(2, 0, 1)
    return np.concatenate([turning.reshape(-1, 72), moments[:, 72]], 1)


def gauss_newton(
    M: np.ndarray, left: np.ndarray, X: np.ndarray, size: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """X after one step of the above, no joint turning by more than a radian; and by how much to grow the mesh (f,), as a logarithm.

    size: of the mesh V that may grow, its moments AᵀWV (f, 73, 3), tr(VᵀWV) (f,) and tr(VᵀWE) (f,) with what it is off by, E = V − AX; None where it stays.
    """
    H, g = normal_equations(M, left, X)
    if size is not None:
        moments, own, off = size
        across = -_wrench(X, moments)[..., None]
        H = np.concatenate(
            [np.concatenate([H, across], 2), np.concatenate([across.swapaxes(1, 2), own[:, None, None]], 2)], 1
        )
        g = np.concatenate([g, -off[:, None]], 1)
    step = np.linalg.solve(H, g[..., None])[..., 0]
    turn = step[:, :72].reshape(-1, 3)
    turn *= np.minimum(1, 1 / np.maximum(np.linalg.norm(turn, axis=1, keepdims=True), 1e-12))
    G = rotations(X)
    return stack(Rotation.from_rotvec(turn).as_matrix().reshape(G.shape) @ G, X[:, 72] + step[:, 72:75]), np.clip(
        step[:, 75:].sum(1), -0.2, 0.2
    )
