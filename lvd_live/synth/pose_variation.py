"""Poses made out of other poses: mirrored, sitting, standing, with arms as before a webcam, bent.

A pose is (24, 3) axis-angle in radians, of SMPL's joints, each relative to its parent.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.skeleton import JOINT

MIRROR = np.array([JOINT[n.replace("left", "~").replace("right", "left").replace("~", "right")] for n in JOINT])
"""For each joint the one on the other side."""
_LEGS = ((1, 4, 1), (2, 5, -1))  # hip, knee, side: 1 is left
_ARMS = ((16, 18, 20, 1), (17, 19, 21, -1))  # shoulder, elbow, wrist, side
# How arms are held before a webcam. Radians: mean and standard deviation of the upper arm's angle downward, of its
# angle forward, of its twist, and of the elbow's bend.
_ARM_STYLES = np.array(
    [
        [(1.25, 0.15), (0.0, 0.2), (0.0, 0.3), (0.2, 0.2)],  # hanging
        [(1.0, 0.25), (0.5, 0.25), (0.3, 0.4), (1.5, 0.35)],  # forearms forward: desk, phone, crossed
        [(-0.9, 0.4), (0.2, 0.3), (0.0, 0.5), (0.5, 0.4)],  # overhead
        [(0.7, 0.2), (-0.2, 0.2), (0.5, 0.4), (1.5, 0.3)],  # hands on hips
        [(0.9, 0.25), (0.7, 0.3), (0.5, 0.4), (2.1, 0.25)],  # at the face, crossed on the chest
        [(0.1, 0.5), (0.2, 0.5), (0.0, 0.6), (0.6, 0.6)],  # spread, waving
    ]
)
_EITHER_WAY = (0, 2, 5)  # styles whose bend is the absolute value of what is drawn; the others' are cut off at 0
_WAVING = 5


def mirrored(pose: np.ndarray) -> np.ndarray:
    """The pose in a mirror: left and right change places, rotations reflect in x."""
    return pose[MIRROR] * np.array([1, -1, -1], pose.dtype)


def without_heading(root: np.ndarray) -> np.ndarray:
    """A root rotation (3,) axis-angle with its turn about the vertical removed; float32.

    The body then faces +z as nearly as it can; where it lies, its head points there.
    """
    R = Rotation.from_rotvec(root)
    forward = R.as_matrix()[:, 2]
    if np.hypot(forward[0], forward[2]) < 0.3:
        forward = R.as_matrix()[:, 1]
    return (Rotation.from_rotvec([0, -np.arctan2(forward[0], forward[2]), 0]) * R).as_rotvec().astype(np.float32)


def calm_torso(pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The pose with its trunk nearly upright."""
    pose = pose.copy()
    pose[0] = rng.normal(0, 0.08, 3)
    pose[[3, 6, 9]] = rng.normal(0, 0.06, (3, 3)) + np.array([rng.normal(0.03, 0.08), 0, 0])
    pose[[12, 15]] = rng.normal(0, [0.18, 0.25, 0.10], (2, 3))
    return pose


def sitting(pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """On a chair, legs forward, sometimes crossed; the arms as in `pose`, or on the lap or desk."""
    out = calm_torso(pose, rng)
    for hip, knee, side in _LEGS:
        lift, spread = rng.normal(-1.45, 0.18), side * rng.normal(0.15, 0.18)
        out[hip] = _product([0, spread, 0], [lift, 0, side * rng.normal(0.05, 0.1)])
        out[knee] = [rng.normal(1.45, 0.3), 0, 0]
        out[[knee + 3, knee + 6]] = rng.normal(0, 0.1, (2, 3))
    return with_posed_arms(out, rng, calm=True) if rng.random() < 0.7 else out


def standing(pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """On nearly straight legs, feet together or apart, in half of the cases with the weight on one of them.

    The arms are as in `pose`, or posed.
    """
    out = calm_torso(pose, rng)
    free, apart = rng.choice(4), rng.normal(0.05, 0.07)
    for number, (hip, knee, side) in enumerate(_LEGS):
        bend = abs(rng.normal(0, 0.06)) + (number == free) * rng.uniform(0, 0.6)
        lift = 0.5 * bend + rng.normal(0, 0.04)
        out[hip] = _product([0, side * rng.normal(0.12, 0.15), 0], [0, 0, side * apart], [-lift, 0, 0])
        out[knee] = [bend, 0, 0]
        out[knee + 3] = [lift - bend + rng.normal(0, 0.05), 0, -side * apart]  # the sole stays level
        out[knee + 6] = rng.normal(0, 0.05, 3)
    return with_posed_arms(out, rng, calm=True) if rng.random() < 0.6 else out


def with_posed_arms(pose: np.ndarray, rng: np.random.Generator, *, calm: bool) -> np.ndarray:
    """The pose with its arms in one of _ARM_STYLES; of waving arms one may stay as it is.

    calm : with an upright trunk.
    """
    out = calm_torso(pose, rng) if calm else pose.copy()
    style = int(rng.choice(len(_ARM_STYLES)))
    for shoulder, elbow, wrist, side in _ARMS:
        if style == _WAVING and rng.random() < 0.5:
            continue
        angles = rng.normal(_ARM_STYLES[..., 0], _ARM_STYLES[..., 1])  # of every style, so that all draw alike
        down, forward, twist, bend = angles[style]
        if style in _EITHER_WAY:
            bend = abs(bend)
        out[shoulder] = _product([0, -side * forward, 0], [0, 0, -side * down], [-twist, 0, 0])
        out[elbow] = [0, -side * np.clip(bend, 0, 2.5), 0]
        out[wrist] = rng.normal(0, 0.25, 3)
        out[shoulder - 3] = [0, -side * rng.normal(0.05, 0.1), side * max(0.0, -0.25 * down) + rng.normal(0, 0.05)]
    return out


def bent(pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The trunk bent sideways or forward by up to 70 degrees, spread over pelvis and spine."""
    out = pose.copy()
    sideways, forward, twist = rng.uniform(-1.2, 1.2), rng.uniform(-0.3, 1.2), rng.uniform(-0.7, 0.7)
    share = np.array([0.25, 0.25, 0.3, 0.2])[:, None]
    out[[0, 3, 6, 9]] += share * np.array([forward, twist, sideways])
    return out


def _product(*rotations: list[float]) -> np.ndarray:
    """Axis-angle (3,) of the product of rotations given as axis-angles, the last one applied first."""
    product = Rotation.from_rotvec(rotations[0])
    for rotation in rotations[1:]:
        product = product * Rotation.from_rotvec(rotation)
    return product.as_rotvec()
