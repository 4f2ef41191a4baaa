"""Rotations of a skeleton over time."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def forward_kinematics(
    quaternions: np.ndarray, pelvis: np.ndarray, rest_joints: np.ndarray, parents: np.ndarray
) -> np.ndarray:
    """Joints (F, J, 3) of a posed skeleton.

    quaternions : (F, J, 4) xyzw, relative to the parents. pelvis : (F, 3). rest_joints : (J, 3). parents : (J,) int.
    """
    count = len(rest_joints)
    R = Rotation.from_quat(quaternions.reshape(-1, 4)).as_matrix().reshape(-1, count, 3, 3)
    joints = np.empty((len(R), count, 3))
    joints[:, 0] = pelvis
    for j in range(1, count):
        k = parents[j]
        joints[:, j] = joints[:, k] + R[:, k] @ (rest_joints[j] - rest_joints[k])
        R[:, j] = R[:, k] @ R[:, j]
    return joints


def interpolate(rotations: np.ndarray, before: np.ndarray, after: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Quaternions (F, J, 4) xyzw on the shortest way from one rotation to another; signs change nowhere.

    rotations : (T, J, 3, 3). before, after : (F,) int, rows of it. share : (F,) 0 … 1, of the way done.
    """
    count = rotations.shape[1]
    start = Rotation.from_matrix(rotations[before].reshape(-1, 3, 3))
    end = Rotation.from_matrix(rotations[after].reshape(-1, 3, 3))
    way = np.repeat(share, count)[:, None] * (start.inv() * end).as_rotvec()
    quaternions = (start * Rotation.from_rotvec(way)).as_quat().reshape(-1, count, 4)
    flips = np.where((quaternions[1:] * quaternions[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    return np.concatenate([quaternions[:1], quaternions[1:] * np.cumprod(flips, axis=0)])
