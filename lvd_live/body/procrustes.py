"""Procrustes for a whole skeleton: Gauss-Newton on the global rotations of its joints, all bones at once.

Vertices are A X, with the design matrix A (N, 73) of `LinearBody.design` and, for each of f frames, X (f, 73, 3): the
transposed rotations G_k (k = 0..23) one below the other, then the pelvis p. W are the vertices' weights, V and E meshes
and errors (N, f, 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lvd_live.body.skeleton import cross_matrix

MOST_GROWTH = 0.2  # of the logarithm of a mesh's size, in one step


@dataclass(frozen=True)
class Size:
    """What a mesh V that may grow adds to the normal equations; E = V − A X is its error.

    moments : (f, 73, 3) AᵀWV. own : (f,) tr(VᵀWV). off : (f,) tr(VᵀWE).
    """

    moments: np.ndarray
    own: np.ndarray
    off: np.ndarray


def rotations(X: np.ndarray) -> np.ndarray:
    """G (f, 24, 3, 3) of X (f, 73, 3)."""
    return X[:, :72].reshape(-1, 24, 3, 3).swapaxes(-1, -2)


def stack(G: np.ndarray, p: np.ndarray) -> np.ndarray:
    """X (f, 73, 3): the transposed rotations G (f, 24, 3, 3) one below the other, then p (f, 3)."""
    return np.concatenate([G.swapaxes(-1, -2).reshape(len(G), 72, 3), p[:, None]], 1)


def posed_vertices(A: np.ndarray, X: np.ndarray) -> np.ndarray:
    """A X: where the rotations and translations X (f, 73, 3) bring the vertices, (N, f, 3) float32."""
    return (A @ X.transpose(1, 0, 2).reshape(73, -1).astype(np.float32)).reshape(len(A), -1, 3)


def moments(A: np.ndarray, w: np.ndarray, v: np.ndarray) -> np.ndarray:
    """AᵀWV (f, 73, 3) float64 of weights w (N, 1 or f) and v (N, f, 3)."""
    return (A.T @ (w[..., None] * v).reshape(len(v), -1)).reshape(73, -1, 3).transpose(1, 0, 2).astype(float)


def nearest_rotation(H: np.ndarray) -> np.ndarray:
    """The rotations (..., 3, 3) nearest to H (Kabsch 1976)."""
    U, _, Vt = np.linalg.svd(H)
    U[..., 2] *= np.linalg.det(U @ Vt)[..., None]
    return U @ Vt


def torque(Q: np.ndarray) -> np.ndarray:
    """Σ b × r (24, 3, …) from Q = Σ b rᵀ (24, 3, 3, …)."""
    return np.stack([Q[:, 1, 2] - Q[:, 2, 1], Q[:, 2, 0] - Q[:, 0, 2], Q[:, 0, 1] - Q[:, 1, 0]], 1)


def normal_equations(M: np.ndarray, left: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of min tr(XᵀMX) − 2 tr(Xᵀ·moments) over the rotations in X and p: H (f, 75, 75), g (f, 75).

    The unknowns are δ_k, by which exp[δ_k]× turns each G_k from the left, and the step of p.

    M : (f, 73, 73) AᵀWA, and a prior. X : (f, 73, 3).
    left : (f, 73, 3) AᵀWV − M X, the moments that X leaves over.
    """
    f = len(X)
    G = rotations(X)
    blocks = M[:, :72, :72].reshape(-1, 24, 3, 24, 3).transpose(0, 1, 3, 2, 4)  # (f, k, l, 3, 3)
    S = G[:, :, None] @ blocks @ G[:, None].swapaxes(-1, -2)  # Σ b_k b_lᵀ with b = G a
    trace = np.trace(S, axis1=-2, axis2=-1)[..., None, None]
    turning = trace * np.eye(3) - S.swapaxes(-1, -2)
    arm = cross_matrix((G @ M[:, :72, 72].reshape(-1, 24, 3, 1))[..., 0]).reshape(f, 72, 3)
    H = np.empty((f, 75, 75))
    H[:, :72, :72] = turning.transpose(0, 1, 3, 2, 4).reshape(f, 72, 72)
    H[:, :72, 72:], H[:, 72:, :72] = arm, arm.swapaxes(-1, -2)
    H[:, 72:, 72:] = M[:, 72, 72, None, None] * np.eye(3)
    H[:, range(75), range(75)] *= 1 + 1e-5
    return H, _wrench(X, left)


def _wrench(X: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Moments (f, 73, 3) as torques about the joints, and the force on the whole: (f, 75)."""
    turning = torque((rotations(X) @ left[:, :72].reshape(-1, 24, 3, 3)).transpose(1, 2, 3, 0)).transpose(2, 0, 1)
    return np.concatenate([turning.reshape(-1, 72), left[:, 72]], 1)


def gauss_newton(
    M: np.ndarray, left: np.ndarray, X: np.ndarray, size: Size | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """X after one step of `normal_equations`, and the logarithm of what to multiply the mesh's size by, (f,).

    No joint turns by more than a radian.

    size : of the mesh where it may grow, else None, and the logarithm is 0.
    """
    H, g = normal_equations(M, left, X)
    if size is not None:
        across = -_wrench(X, size.moments)[..., None]
        last_row = np.concatenate([across.swapaxes(1, 2), size.own[:, None, None]], 2)
        H = np.concatenate([np.concatenate([H, across], 2), last_row], 1)
        g = np.concatenate([g, -size.off[:, None]], 1)
    from scipy.spatial.transform import Rotation  # here: a live fit needs other functions of this file, and no scipy

    step = np.linalg.solve(H, g[..., None])[..., 0]
    turn = step[:, :72].reshape(-1, 3)
    turn *= np.minimum(1, 1 / np.maximum(np.linalg.norm(turn, axis=1, keepdims=True), 1e-12))
    G = rotations(X)
    turned = Rotation.from_rotvec(turn).as_matrix().reshape(G.shape) @ G
    growth = np.clip(step[:, 75:].sum(1), -MOST_GROWTH, MOST_GROWTH)
    return stack(turned, X[:, 72] + step[:, 72:75]), growth
