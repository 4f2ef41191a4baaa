"""Points of a pose against true ones, frame by frame: aligned by a similarity or root to root; how steady they are."""

from __future__ import annotations

import numpy as np

FEWEST = 4  # true joints of a frame that is judged


def toward(points: np.ndarray, hips: list[int]) -> np.ndarray:
    """Points (..., P, 3), camera frame, in the frame that is turned by the smallest rotation so that its z axis goes
    through the middle of the hips. NaN where the hips are unknown.
    """
    z = points[..., hips, :].mean(-2)
    z = z / np.linalg.norm(z, axis=-1, keepdims=True)
    x, y, c = z[..., 0], z[..., 1], z[..., 2]
    k = 1 / (1 + c)  # a person is before the camera: c > 0
    rows = [[1 - x * x * k, -x * y * k, -x], [-x * y * k, 1 - y * y * k, -y], [x, y, c]]
    turn = np.stack([np.stack(row, -1) for row in rows], -2)
    return np.einsum("...ab,...pb->...pa", turn, points)


def similarity_error(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """PA: distance (F, P), mm, of points (F, P, 3) from truth (F, P, 3), each frame aligned by a similarity transform.
    NaN where either is NaN, and in frames of fewer than FEWEST known joints.
    """
    known = np.isfinite(points).all(-1) & np.isfinite(truth).all(-1)
    known &= known.sum(1, keepdims=True) >= FEWEST
    w = known[..., None] / np.maximum(known.sum(1), 1)[:, None, None]
    p, t = np.where(known[..., None], points, 0.0), np.where(known[..., None], truth, 0.0)
    p, t = (np.where(known[..., None], a - (a * w).sum(1, keepdims=True), 0.0) for a in (p, t))
    U, S, Vt = np.linalg.svd(np.einsum("fpa,fpb->fab", p * w, t))
    sign = np.sign(np.linalg.det(U @ Vt))
    signs = np.stack([np.ones_like(sign), np.ones_like(sign), sign], -1)
    scale = (S * signs).sum(1) / np.maximum((p * p * w).sum((1, 2)), 1e-9)
    aligned = scale[:, None, None] * (p @ (U * signs[:, None]) @ Vt)
    return np.where(known, np.linalg.norm(aligned - t, axis=-1), np.nan)


def root_error(points: np.ndarray, truth: np.ndarray, hips: list[int]) -> np.ndarray:
    """Distance (F, P), mm, of points (F, P, 3) from truth (F, P, 3), each frame moved hips to hips and scaled, not
    turned. NaN where unknown.
    """
    p, t = (a - a[:, hips].mean(1, keepdims=True) for a in (points, truth))
    scale = np.nansum(p * t, (1, 2)) / np.maximum(np.nansum(np.where(np.isfinite(t), p * p, np.nan), (1, 2)), 1e-9)
    return np.linalg.norm(scale[:, None, None] * p - t, axis=-1)


def mean_known(errors: np.ndarray) -> float:
    """The mean of what is a number; NaN where nothing is."""
    known = errors[np.isfinite(errors)]
    return float(known.mean()) if known.size else float("nan")


def jitter(points: np.ndarray, hips: list[int]) -> float:
    """Mean length of the second difference of points (F, P, 3) about the middle of the hips, over stretches of three
    frames and more without a gap; NaN where there is none.
    """
    centred = points - points[:, hips].mean(1, keepdims=True)
    return mean_known(np.linalg.norm(centred[2:] - 2 * centred[1:-1] + centred[:-2], axis=-1))
