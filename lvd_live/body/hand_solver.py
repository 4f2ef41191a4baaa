"""A hand from its 21 points: a few Gauss-Newton steps on the wrist's rotation and the 21 joint angles.

The bones' lengths are known. With p_i the posed points in the camera's axes, u_i the points as they are seen, pixels,
and σ_i their spreads along each axis,

    min over R, angles, s, t of  Σ_i |(p_i + t − u_i/s) / max(σ_i/s, LEAST)|² + priors,

a weak-perspective camera of scale s and offset t. Priors keep the angles near those of a hand that does nothing, near
one another where tendons couple them, and the scale near that of the start. The start is that hand, turned as the
palm is seen. After each step the angles are brought within their limits.
"""

from __future__ import annotations

import math

import numpy as np

from lvd_live.body.fingers import LANDMARK_STARTS
from lvd_live.body.hand_anatomy import Angles, HandAnatomy, rotation, rotation_vector

STEPS = 2
LEAST = 0.004  # metres: no point is told better
FLEXION, SPREADS, THUMB = 0.8, 0.15, 0.42  # radians, standard deviations of the angles about those of the idle hand
COUPLED, COUPLING = 0.35, 0.6  # radians: a finger's last joint follows its middle one by this share
SIZE = 0.15  # of the logarithm of the scale
_TURN, _ANGLES = slice(0, 3), slice(3, 24)
_FINGERS = [start + k for start in LANDMARK_STARTS[:4] for k in range(3)]
_PIVOTS = [*_FINGERS, *LANDMARK_STARTS[:4], 1, 1, 1, 2, 3]  # of the 21 angles, as landmarks


def _moved() -> np.ndarray:
    """(24, 21, 1) float: which landmarks the wrist's turns and the 21 angles move."""
    out = np.zeros((24, 21, 1))
    out[:3] = 1
    for row, pivot in enumerate(_PIVOTS, 3):
        out[row, pivot + 1 : (pivot - 1) // 4 * 4 + 5] = 1
    return out


def _tendons() -> np.ndarray:
    """(4, 21), rows whose products with the angles are to be zero, over COUPLED."""
    out = np.zeros((4, 21))
    for f in range(4):
        out[f, [3 * f + 2, 3 * f + 1]] = 1, -COUPLING
    return out / COUPLED


_MOVED = _moved()
_STIFF = np.concatenate([np.full(12, FLEXION), np.full(4, SPREADS), np.full(3, THUMB), np.full(2, FLEXION)]) ** -2.0
_COUPLED = _tendons().T @ _tendons()
_PRIOR = np.zeros((28, 28))
_PRIOR[_ANGLES, _ANGLES] = np.diag(_STIFF) + _COUPLED
_PRIOR[24, 24] = SIZE**-2
_PRIOR += 1e-6 * np.eye(28)


class HandSolver:
    """Solves for one hand."""

    def __init__(self, anatomy: HandAnatomy):
        self.anatomy, self._idle = anatomy, anatomy.neutral()
        self._at_idle = _derivatives(anatomy, self._idle)

    def __call__(self, seen: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, Angles]:
        """The wrist's rotation (3, 3), from the body frame at rest to the picture's axes (x right, y down, z away), and
        the angles.

        seen : (21, 3) pixels, depth in pixels, too. spread : (21, 3) pixels, of the points along each axis.
        """
        seen = seen - seen[0]
        wrist, angles, idle = self.anatomy.palm(seen), self._idle, self._idle.packed()
        points, J = self._at_idle
        scale = max(_spread(seen) / max(_spread(points), 1e-9), 1e-6)
        first, offset = math.log(scale), seen.mean(0) - scale * (wrist @ points.mean(0))
        weights = 1 / np.maximum(spread / scale, LEAST)
        rows = np.zeros((21, 3, 28))
        rows[:, 0, 25] = rows[:, 1, 26] = rows[:, 2, 27] = 1  # t, metres
        for step in range(STEPS):
            if step:
                points, J = _derivatives(self.anatomy, angles)
            placed = points @ wrist.T
            rows[..., :24] = (J @ wrist.T).transpose(1, 2, 0)
            rows[..., 24] = placed  # growth of s moves the points outward
            A = (rows * weights[..., None]).reshape(63, 28)
            missing = A.T @ (((seen - offset) / scale - placed) * weights).ravel()
            packed = angles.packed()
            missing[_ANGLES] += _STIFF * (idle - packed) - _COUPLED @ packed
            missing[24] += (first - math.log(scale)) / SIZE**2
            move = np.linalg.solve(A.T @ A + _PRIOR, missing)
            move[:24] = np.clip(move[:24], -1.0, 1.0)
            wrist = wrist @ rotation(move[_TURN])
            angles = _turned(angles, move[_ANGLES]).limited()
            offset = offset + scale * move[25:]
            scale *= math.exp(min(max(move[24], -0.3), 0.3))
        return wrist, angles


def _turned(angles: Angles, step: np.ndarray) -> Angles:
    """The angles a step (21,) further; the thumb's first joint turns from the left."""
    flex, spread = angles.flex + step[:12].reshape(4, 3), angles.spread + step[12:16]
    thumb = rotation_vector(rotation(step[16:19]) @ rotation(angles.thumb))
    return Angles(flex, spread, thumb, angles.thumb_flex + step[19:])


def _derivatives(anatomy: HandAnatomy, angles: Angles) -> tuple[np.ndarray, np.ndarray]:
    """Points (21, 3) about the wrist, and how they move with its turns (3) and the angles (21): (24, 21, 3); all in the
    palm's frame, the body's at rest.

    What turns about an axis a through c moves the points p beyond it by a × (p − c).
    """
    points, turned = anatomy.chain(anatomy.rotations(angles))
    axes, pivots = np.empty((24, 3)), np.zeros((24, 3))
    axes[:3] = axes[19:22] = np.eye(3)
    spread = rotation(anatomy.out * angles.spread[:, None])
    before = np.concatenate([spread[:, None], turned[:4, :2]], 1)  # what turns a flexion's axis
    axes[3:15] = (before @ anatomy.axes[:4, :, :, None])[..., 0].reshape(12, 3)
    axes[15:19] = anatomy.out
    axes[22:] = (turned[4, :2] @ anatomy.axes[4, 1:, :, None])[..., 0]
    pivots[3:] = points[_PIVOTS]
    arm = (points - pivots[:, None]) * _MOVED
    x, y, z = axes[:, None].transpose(2, 0, 1)
    rx, ry, rz = arm[..., 0], arm[..., 1], arm[..., 2]
    J = np.empty((24, 21, 3))
    J[..., 0], J[..., 1], J[..., 2] = y * rz - z * ry, z * rx - x * rz, x * ry - y * rx
    return points, J


def _spread(points: np.ndarray) -> float:
    return float(np.sqrt(points.var(0).sum()))
