"""A hand from its 21 landmarks: a few Gauss-Newton steps on the wrist's rotation and the 21 joint angles.

The picture shows where the landmarks lie, to a few pixels; how deep they lie a network only guesses. The bones' lengths
are known. With p_i the posed points in the camera's axes, u_i the landmarks in the picture, z_i the network's depth,

    min over R, angles, s, t of  Σ_i |p_i,xy + (t − u_i)/s|² / PICTURE² + Σ_i (p_i,z − z_i)² / DEPTH² + priors,

a weak-perspective camera of scale s and offset t. Priors keep the angles near the closed form that the start is from,
near one another where tendons couple them, and the scale near that of the network's hand. After each step the angles
are brought within their limits.
"""

from __future__ import annotations

import numpy as np

from lvd_live.body.fingers import LANDMARK_STARTS
from lvd_live.body.hand_anatomy import Angles, HandAnatomy, rotation, rotation_vector

STEPS = 3
PICTURE, DEPTH = 0.004, 0.020  # metres, standard deviations of the landmarks
START = 0.6  # radians, of the angles about the closed form
COUPLED, COUPLING = 0.35, 0.6  # radians: a finger's last joint follows its middle one by this share
SPREADS, THUMB = 0.15, 0.6  # radians: fingers lie side by side, the thumb's base near its rest
SIZE = 0.15  # of the logarithm of the scale
_ANGLES, _TURN = slice(3, 24), slice(0, 3)
_FINGERS = [start + k for start in LANDMARK_STARTS[:4] for k in range(3)]
_PIVOTS = [*_FINGERS, *LANDMARK_STARTS[:4], 1, 1, 1, 2, 3]  # of the 21 angles, as landmarks


def _moved() -> np.ndarray:
    """(24, 21, 1) float: which landmarks the wrist's turns and the 21 angles move."""
    out = np.zeros((24, 21, 1))
    out[:3] = 1
    for row, pivot in enumerate(_PIVOTS, 3):
        out[row, pivot + 1 : (pivot - 1) // 4 * 4 + 5] = 1
    return out


_MOVED = _moved()


def fit_hand(anatomy: HandAnatomy, landmarks: np.ndarray, world: np.ndarray) -> tuple[np.ndarray, Angles]:
    """The wrist's rotation (3, 3), from the body frame at rest to the picture's axes (x right, y down, z away), and the
    angles.

    landmarks : (21, 3) pixels, depth in pixels, too. world : (21, 3), along the picture's axes, in any unit. The start
    comes from world, and depth is the mean of both.
    """
    picture, world = landmarks[:, :2], world.copy()
    unit = _spread(world[:, :2]) / max(_spread(picture), 1e-9)
    world[:, 2] = (world[:, 2] - world[0, 2] + unit * (landmarks[:, 2] - landmarks[0, 2])) / 2
    wrist, angles = anatomy.fit(world)
    depth = world[:, 2] - world[0, 2]
    depth = depth * (_spread(anatomy.posed(angles) @ wrist.T) / max(_spread(world), 1e-9))
    start = angles
    points = anatomy.posed(angles) @ wrist.T
    scale, offset = _placed(points[:, :2], picture)
    first = np.log(scale)
    for _ in range(STEPS):
        points, J = _derivatives(anatomy, wrist, angles)
        left = (picture - offset) / scale - points[:, :2]
        rows = np.zeros((42, 27))
        rows[:, :24] = J[:, :, :2].transpose(1, 2, 0).reshape(42, 24)
        rows[:, 24] = points[:, :2].ravel()  # growth of s moves the points outward
        rows[0::2, 25] = rows[1::2, 26] = 1  # t, metres
        A, b = [rows / PICTURE], [left.ravel() / PICTURE]
        deep = np.zeros((21, 27))
        deep[:, :24] = (J[:, :, 2] - J[:, :1, 2]).T
        A.append(deep / DEPTH)
        b.append((depth - (points[:, 2] - points[0, 2])) / DEPTH)
        prior, missing = _priors(start, angles, first - np.log(scale))
        A.append(prior)
        b.append(missing)
        A_all, b_all = np.concatenate(A), np.concatenate(b)
        step = np.linalg.solve(A_all.T @ A_all + 1e-6 * np.eye(27), A_all.T @ b_all)
        step[:24] = np.clip(step[:24], -0.6, 0.6)
        wrist = rotation(step[_TURN]) @ wrist
        angles = _turned(angles, step[_ANGLES]).limited()
        offset = offset + scale * step[25:]
        scale = scale * float(np.exp(np.clip(step[24], -0.3, 0.3)))
    return wrist, angles


def _turned(angles: Angles, step: np.ndarray) -> Angles:
    """The angles a step (21,) further; the thumb's first joint turns from the left."""
    flex, spread = angles.flex + step[:12].reshape(4, 3), angles.spread + step[12:16]
    thumb = rotation_vector(rotation(step[16:19]) @ rotation(angles.thumb))
    return Angles(flex, spread, thumb, angles.thumb_flex + step[19:])


def _derivatives(anatomy: HandAnatomy, wrist: np.ndarray, angles: Angles) -> tuple[np.ndarray, np.ndarray]:
    """Points (21, 3) about the wrist, and how they move with wrist (3) and angles (21): (24, 21, 3).

    What turns about an axis a through c moves the points p beyond it by a × (p − c).
    """
    points, turned = anatomy.chain(anatomy.rotations(angles))
    axes, pivots = np.empty((24, 3)), np.zeros((24, 3))
    axes[:3] = wrist  # about the picture's axes, written in the palm's frame
    spread = rotation(anatomy.out * angles.spread[:, None])
    before = np.concatenate([spread[:, None], turned[:4, :2]], 1)  # what turns a flexion's axis
    axes[3:15] = (before @ anatomy.axes[:4, :, :, None])[..., 0].reshape(12, 3)
    axes[15:19], axes[19:22] = anatomy.out, np.eye(3)
    axes[22:] = (turned[4, :2] @ anatomy.axes[4, 1:, :, None])[..., 0]
    pivots[3:] = points[_PIVOTS]
    arm = points - pivots[:, None]
    x, y, z = axes[:, None].transpose(2, 0, 1)
    rx, ry, rz = arm[..., 0], arm[..., 1], arm[..., 2]
    J = np.stack([y * rz - z * ry, z * rx - x * rz, x * ry - y * rx], -1)
    return points @ wrist.T, (J * _MOVED) @ wrist.T


def _priors(start: Angles, angles: Angles, log_scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the priors, (n, 27), and what is missing to them, (n,)."""
    rows, missing = np.zeros((21 + 4 + 4 + 3 + 1, 27)), np.zeros(33)
    rows[range(21), range(3, 24)] = 1 / START
    missing[:21] = (start.packed() - angles.packed()) / START
    for f in range(4):
        rows[21 + f, [5 + 3 * f, 4 + 3 * f]] = 1 / COUPLED, -COUPLING / COUPLED
        missing[21 + f] = (COUPLING * angles.flex[f, 1] - angles.flex[f, 2]) / COUPLED
        rows[25 + f, 15 + f] = 1 / SPREADS
        missing[25 + f] = -angles.spread[f] / SPREADS
    rows[range(29, 32), range(19, 22)] = 1 / THUMB
    missing[29:32] = -angles.thumb / THUMB
    rows[32, 24], missing[32] = 1 / SIZE, log_scale / SIZE
    return rows, missing


def _placed(points: np.ndarray, picture: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale and offset (2,) that bring points (21, 2), metres, onto the picture's (21, 2)."""
    p, u = points - points.mean(0), picture - picture.mean(0)
    scale = max(float(np.sqrt((u * u).sum() / max((p * p).sum(), 1e-12))), 1e-6)
    return scale, picture.mean(0) - scale * points.mean(0)


def _spread(points: np.ndarray) -> float:
    return float(np.sqrt(points.var(0).sum()))
