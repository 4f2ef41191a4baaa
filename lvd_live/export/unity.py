"""A mesh as the bones of Unity's humanoid, the way VMC and VRM avatars take them.

Unity's frame: metres, x right, y up, z forward, left-handed. The frame of our bodies (x to the person's left, y up,
z forward) is its mirror image in x: positions change the sign of x, quaternions those of y and z. Bones are relative to
their parents, in the axes of the T-pose with flat hands. Eyes are not tracked.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.balance import up_direction
from lvd_live.body.fingers import BODY_JOINTS, SMPLH_PARENTS, FingerRig
from lvd_live.body.fit import BodyFitter
from lvd_live.body.hand_rig import FINGERS
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT_NAMES, rotation_between
from lvd_live.export.options import UP
from lvd_live.export.skeleton import with_wrists, without_fingers
from lvd_live.tracking.smoothing import SteadyDistance

LEARNING = 10  # frames that the person's shape and the floor are estimated from
STANDING = 30  # frames in which the person stands, that the camera's tilt is estimated from
_FLOOR_PERCENTILE = 0.5  # of the vertices' heights: the soles, without a few outliers
_LIMBS = {
    "hip": "UpperLeg",
    "knee": "LowerLeg",
    "ankle": "Foot",
    "foot": "Toes",
    "collar": "Shoulder",
    "shoulder": "UpperArm",
    "elbow": "LowerArm",
    "wrist": "Hand",
}
_TRUNK = {
    "pelvis": "Hips",
    "spine1": "Spine",
    "spine2": "Chest",
    "spine3": "UpperChest",
    "neck": "Neck",
    "head": "Head",
}

Bones = dict[str, tuple[np.ndarray, np.ndarray]]
"""Unity's bone name to position (3,) metres and quaternion (4,) xyzw, relative to the parent bone, in Unity's frame."""


def _bone_name(joint: str) -> str:
    if joint in _TRUNK:
        return _TRUNK[joint]
    side, limb = joint.split("_")
    return side.capitalize() + _LIMBS[limb]


BONE_NAMES = {j: _bone_name(joint) for j, joint in enumerate(JOINT_NAMES) if not joint.endswith("_hand")}
"""Joint index to the name in Unity's HumanBodyBones."""

_PHALANGES = ("Proximal", "Intermediate", "Distal")
_FINGER_NAMES = {"index": "Index", "middle": "Middle", "pinky": "Little", "ring": "Ring", "thumb": "Thumb"}
FINGER_BONES = tuple(
    f"{side}{_FINGER_NAMES[finger]}{phalanx}"
    for side in ("Left", "Right")
    for finger in FINGERS
    for phalanx in _PHALANGES
)
"""Unity's names of SMPL-H's finger joints, in their order. A thumb's Proximal is its metacarpal."""


class BoneFitter:
    """Fits a body to one mesh after another of the same person, and gives its pose as Unity's bones.

    betas : (B,) float32; the shape in use, zeros until it was estimated from the first `LEARNING` meshes.
    R_up_camera : (3, 3), from the camera frame to one whose y axis is up: as if the camera were level, until the person
        has stood for `STANDING` meshes.
    origin : (3,) float64 metres, in that frame; the point on the floor that the bones are relative to.
    """

    def __init__(self, body: BodyModel):
        self._fitter, self._rig = BodyFitter(body), FingerRig.of(body)
        self.forget()

    def forget(self) -> None:
        """Estimate shape, tilt and floor anew: the next mesh may be of another person, or of another size."""
        self.betas = np.zeros(self._fitter.n_betas, np.float32)
        self.origin: np.ndarray | None = None
        self.R_up_camera = UP["y"]
        self._first: list[np.ndarray] = []  # meshes, camera frame
        self._ups: list[np.ndarray] = []  # what was up where the person stood, camera frame
        self._distance = SteadyDistance()

    def fit(self, vertices: np.ndarray, hand_pose: np.ndarray | None = None, time_ns: int | None = None) -> Bones:
        """The bones of a mesh, vertices (N, 3) float32 metres, OpenCV camera frame. ValueError for one not finite.

        hand_pose : (30, 3) axis-angle, see `Fit`; None: the fingers are left out. time_ns : of a mesh in a time series;
        the body's distance is held steady then.
        """
        if not np.isfinite(vertices).all():
            raise ValueError("the mesh is not finite")
        if len(self._first) < LEARNING:
            self._first.append(np.array(vertices, np.float32))
            if len(self._first) == LEARNING:
                self.betas, _ = self._fitter.fit_shape(self._upright(np.stack(self._first)))
                self.origin = None
                self._distance.reset()  # another size is seen at another distance
        world = self._upright(vertices)
        std = None
        if hand_pose is not None and self._rig is not None:
            std = without_fingers(self._rig, np.zeros((1, len(world)), np.float32))
        fitted = self._fitter.fit(world[None], std, betas=self.betas, camera=True)
        if std is not None and self._rig is not None:
            fitted = with_wrists(self._fitter, self._rig, fitted, [world])
        joints = self._fitter.rest_joints(self.betas)
        pelvis = joints[0] + fitted.transl[0]
        if time_ns is not None:
            pelvis = pelvis * self._distance(pelvis, time_ns)
        if self.origin is None:
            floor = min(np.percentile(self._upright(mesh)[:, 1], _FLOOR_PERCENTILE) for mesh in self._first)
            self.origin = np.array([pelvis[0], floor, pelvis[2]])
        bones = _bones(fitted.pose[0], pelvis - self.origin, joints, self._fitter.parents)
        if hand_pose is not None and self._rig is not None:
            bones |= _finger_bones(hand_pose, self._rig.flattened(self._fitter.rest(self.betas)).joints)
        self._note_up(world)
        return bones

    def _upright(self, vertices: np.ndarray) -> np.ndarray:
        """Vertices (..., N, 3), camera frame, in the frame whose y axis is up; float32."""
        return np.asarray(vertices, np.float32) @ self.R_up_camera.T.astype(np.float32)

    def _note_up(self, world: np.ndarray) -> None:
        """Take note of what is up where the person stands, and use it from the next mesh on once it is known."""
        if len(self._ups) == STANDING:
            return
        up = up_direction((self._fitter.regressor @ world)[None], np.ones(1, bool), 1)
        if up is not None:
            self._ups.append(self.R_up_camera.T @ up)
        if len(self._ups) == STANDING:
            self.R_up_camera = UP["y"] @ rotation_between(np.median(self._ups, axis=0), np.array([0.0, -1.0, 0.0]))
            self.origin = None


def _bones(pose: np.ndarray, pelvis: np.ndarray, joints: np.ndarray, parents: np.ndarray) -> Bones:
    """Bones from pose (24, 3) axis-angle, pelvis (3,) and rest joints (24, 3), metres, body frame (y up)."""
    quaternions = Rotation.from_rotvec(pose.astype(float)).as_quat() * [1, -1, -1, 1]
    offsets = np.concatenate([pelvis[None], joints[1:] - joints[parents[1:]]]) * [-1, 1, 1]
    return {name: (offsets[j], quaternions[j]) for j, name in BONE_NAMES.items()}


def _finger_bones(pose: np.ndarray, joints: np.ndarray) -> Bones:
    """Bones of the fingers from pose (30, 3) axis-angle and SMPL-H's rest joints (52, 3)."""
    quaternions = Rotation.from_rotvec(pose.astype(float)).as_quat() * [1, -1, -1, 1]
    offsets = (joints - joints[SMPLH_PARENTS])[BODY_JOINTS:] * [-1, 1, 1]
    return {name: (offsets[j], quaternions[j]) for j, name in enumerate(FINGER_BONES)}
