"""The joints that skinned formats write: SMPL's 24, or SMPL-H's 52 where a take has fingers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.fingers import BODY_JOINTS, SMPLH_NAMES, SMPLH_PARENTS, WRISTS, FingerRig
from lvd_live.body.fit import BodyFitter, Fitted
from lvd_live.body.procrustes import nearest_rotation
from lvd_live.body.skeleton import JOINT_NAMES

FAR = 1.0  # metres: the spread that fingers count with where a body without any is fitted to a mesh that has them
PALM = 0.9  # skin weight of the wrist above which a vertex tells how the palm is turned
NEAR = 0.01  # and that of the others, where a mesh comes without a spread


@dataclass(frozen=True)
class Skeleton:
    """J joints, and the skin on them, at rest and over F frames, in one frame and unit.

    names : of the joints. parents : (J,) int, -1 for the root.
    rest : (N, 3) vertices. rest_joints : (J, 3). weights : (N, J) skin weights.
    quaternions : (F, J, 4) xyzw, each relative to its parent; signs change nowhere.
    """

    names: tuple[str, ...]
    parents: np.ndarray
    rest: np.ndarray
    rest_joints: np.ndarray
    weights: np.ndarray
    quaternions: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of_body(cls, fitter: BodyFitter, rest: np.ndarray, quaternions: np.ndarray) -> Skeleton:
        """SMPL's 24 joints. rest : (N, 3). quaternions : (F, 24, 4)."""
        return cls(JOINT_NAMES, fitter.parents, rest, fitter.regressor @ rest, fitter.weights, quaternions)

    @classmethod
    def with_fingers(cls, rig: FingerRig, rest: np.ndarray, quaternions: np.ndarray, fingers: np.ndarray) -> Skeleton:
        """SMPL-H's 52 joints, flat hands at rest.

        rest : (N, 3) as the body file has it. quaternions : (F, 24, 4) the body's. fingers : (F, 30, 4).
        """
        flat = rig.flattened(rest)
        both = np.concatenate([quaternions[:, :BODY_JOINTS], fingers], 1)
        return cls(SMPLH_NAMES, SMPLH_PARENTS, flat.vertices, flat.joints, rig.weights, both)

    def posed(self, frame: int, pelvis: np.ndarray) -> np.ndarray:
        """The skinned vertices (N, 3) of a frame, the pelvis at (3,)."""
        local = Rotation.from_quat(self.quaternions[frame]).as_matrix()
        turned, placed = np.empty_like(local), np.empty((len(self), 3))
        for j, parent in enumerate(self.parents):
            if parent < 0:
                turned[j], placed[j] = local[j], pelvis
            else:
                turned[j] = turned[parent] @ local[j]
                placed[j] = placed[parent] + turned[parent] @ (self.rest_joints[j] - self.rest_joints[parent])
        moved = placed - np.einsum("jab,jb->ja", turned, self.rest_joints)
        mixed = (self.weights @ np.concatenate([turned.reshape(-1, 9), moved], 1)).reshape(-1, 12)
        R = mixed[:, :9].reshape(-1, 3, 3)
        return np.einsum("nab,nb->na", R, self.rest) + mixed[:, 9:]


def without_fingers(rig: FingerRig, std: np.ndarray) -> np.ndarray:
    """The spread (..., N) float32 of a mesh that has fingers for the fit of a body that has none: they say nothing."""
    moved = rig.weights[:, BODY_JOINTS:].sum(1) > 0.05
    out = np.where(std > 0, std, np.float32(NEAR))
    out[..., moved] = FAR
    return out


def with_wrists(fitter: BodyFitter, rig: FingerRig, fitted: Fitted, vertices: Iterable[np.ndarray]) -> Fitted:
    """A fit whose wrists are turned as the palms of the meshes are, vertices (N, 3) each, in the frame of the fit.

    A palm is a small share of a body's surface: where its whole mesh is fitted, the priors hold the wrists back.
    """
    pose, rest = fitted.pose.copy(), fitter.rest(fitted.betas)
    palms = [np.flatnonzero(rig.weights[:, wrist] > PALM) for wrist in WRISTS]
    for frame, mesh in enumerate(vertices):
        local = Rotation.from_rotvec(pose[frame].astype(float)).as_matrix()
        for wrist, palm in zip(WRISTS, palms, strict=True):
            turned, joint = np.eye(3), int(fitter.parents[wrist])
            while joint >= 0:
                turned, joint = local[joint] @ turned, int(fitter.parents[joint])
            here, there = rest[palm] - rest[palm].mean(0), mesh[palm] - mesh[palm].mean(0)
            seen = nearest_rotation(there.T.astype(float) @ here)
            pose[frame, wrist] = Rotation.from_matrix(turned.T @ seen).as_rotvec()
    return replace(fitted, pose=pose)
