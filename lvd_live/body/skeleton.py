"""SMPL's 24 joints: names, parents, and the small rotation algebra that posing needs.

Body frame: metres, x to the person's left, y up, z forward. Rest pose: the T-pose, every joint's axes aligned with the
body frame.
"""

from __future__ import annotations

import numpy as np

JOINT_NAMES = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)
PARENTS = np.array([-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21])
BODY_PARTS = {  # by the joints that move them
    "torso": ("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar"),
    "head": ("neck", "head"),
    "upper arms": ("left_shoulder", "right_shoulder"),
    "forearms": ("left_elbow", "right_elbow"),
    "hands": ("left_wrist", "right_wrist", "left_hand", "right_hand"),
    "thighs": ("left_hip", "right_hip"),
    "shins": ("left_knee", "right_knee"),
    "feet": ("left_ankle", "right_ankle", "left_foot", "right_foot"),
}
JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}


def cross_matrix(v: np.ndarray) -> np.ndarray:
    """[v]× (..., 3, 3) of v (..., 3): the matrix whose product with x is the cross product v × x."""
    zero = np.zeros_like(v[..., 0])
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*v.shape, 3)


def rotation_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest rotations (..., 3, 3) that turn the directions `a` into the directions `b`.

    a, b : (..., 3) float, of any length but zero, and not opposite to each other: those have no smallest rotation.
    """
    a = a / np.linalg.norm(a, axis=-1, keepdims=True)
    b = b / np.linalg.norm(b, axis=-1, keepdims=True)
    cosine = (a * b).sum(-1)[..., None, None]
    K = b[..., :, None] * a[..., None, :] - a[..., :, None] * b[..., None, :]  # of a × b
    return np.eye(3) + K + K @ K / (1 + cosine)


def chain_transforms(rotations: np.ndarray, joints: np.ndarray, parents: np.ndarray = PARENTS) -> np.ndarray:
    """Skinning transforms T_posed_from_rest (K, 3, 4) of one body from **global** joint rotations; the root stays.

    rotations : (K, 3, 3) each joint's rotation from rest to posed, in the body frame.
    joints : (K, 3) rest positions, metres.
    parents : (K,) SMPL's 24 joints' by default.
    """
    posed = joints.copy()
    for j in range(1, len(parents)):
        p = parents[j]
        posed[j] = posed[p] + rotations[p] @ (joints[j] - joints[p])
    return np.concatenate([rotations, (posed - np.einsum("jab,jb->ja", rotations, joints))[..., None]], -1)
