"""Bring CMU's motion capture onto SMPL's 24 joints and store it as a bank of single poses.

`python -m lvd_live bake --assets DIR` writes models/synth/poses.npz with it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.skeleton import JOINT, PARENTS, rotation_between

CMU_JOINT = {
    "pelvis": "Hips",
    "spine1": "LowerBack",
    "spine2": "Spine",
    "spine3": "Spine1",
    "neck": "Neck",
    "head": "Head",
    "hip": "UpLeg",
    "knee": "Leg",
    "ankle": "Foot",
    "foot": "ToeBase",
    "collar": "Shoulder",
    "shoulder": "Arm",
    "elbow": "ForeArm",
    "wrist": "Hand",
    "hand": "FingerBase",
}
HELD_OUT_SHARE = 0.12  # of the takes: never trained on


def cmu_name(joint: str) -> str:
    """The CMU joint that turns the same bone as an SMPL joint."""
    side, _, limb = joint.partition("_")
    return {"left": "Left", "right": "Right"}[side] + CMU_JOINT[limb] if limb else CMU_JOINT[joint]


def retarget(
    local: np.ndarray, names: list[str], parents: np.ndarray, rest_offsets: np.ndarray, body_joints: np.ndarray
) -> np.ndarray:
    """CMU's local rotations as SMPL's local rotations: (P, 24, 3) axis-angle, float32 radians.

    Both rest poses are T-poses in world-aligned axes, so global rotations carry over. Where a bone's rest direction
    differs (CMU's splayed legs), the difference is put in front: G_smpl = G_cmu · A, with A the smallest rotation from
    our bone's direction to CMU's.

    local : (P, 31, 3) axis-angle, radians. names, parents : (31,), of CMU's joints.
    rest_offsets : (31, 3), from each CMU joint's parent; body_joints : (24, 3); metres, y up, x left, z forward.
    """
    rotation = Rotation.from_rotvec(local.reshape(-1, 3).astype(float)).as_matrix().reshape(*local.shape[:2], 3, 3)
    G = np.empty_like(rotation)
    for j, p in enumerate(parents):
        G[:, j] = rotation[:, j] if p < 0 else G[:, p] @ rotation[:, j]
    index = {name: i for i, name in enumerate(names)}
    aligned = np.empty((len(local), 24, 3, 3))
    for name, j in JOINT.items():
        aligned[:, j] = G[:, index[cmu_name(name)]]
    for side in ("left_", "right_"):
        for bone, end in (("hip", "knee"), ("knee", "ankle")):
            ours = body_joints[JOINT[side + end]] - body_joints[JOINT[side + bone]]
            aligned[:, JOINT[side + bone]] @= rotation_between(ours, rest_offsets[index[cmu_name(side + end)]])
    out = np.empty((len(local), 24, 3), np.float32)
    for j, p in enumerate(PARENTS):
        relative = aligned[:, j] if p < 0 else np.swapaxes(aligned[:, p], 1, 2) @ aligned[:, j]
        out[:, j] = Rotation.from_matrix(relative).as_rotvec()
    return out


def bake_poses(bank_path: Path, body_joints: np.ndarray, out: Path, seed: int = 0) -> None:
    """Write the pose file from CMU's bank.

    Its arrays: pose (P, 24, 3) float16; category, clip (P,), the number of the take; held_out (P,) bool, whole takes,
    some of every category that has several; category_names. Beside it pose_frames.npz: frame (P,) uint16, where in its
    take each pose stands, at 30 frames a second.

    body_joints : (24, 3), see `retarget`.
    """
    with np.load(bank_path, allow_pickle=False) as bank:
        joint_names, offsets = bank["joint_names"].tolist(), bank["rest_offsets_m"]
        pose = retarget(bank["local_axis_angle"], joint_names, bank["parents"], offsets, body_joints)
        frame = bank["frame"].astype(np.uint16)
        category, take, names = bank["category"], bank["clip"], bank["category_names"]
        wild_wrist = np.char.startswith(bank["clip_names"][take], "cc_")
    wrists = np.array([JOINT[name] for name in ("left_wrist", "right_wrist", "left_hand", "right_hand")])
    pose[np.ix_(wild_wrist, wrists)] = 0
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(pose), bool)
    for c in np.unique(category):
        takes = np.unique(take[category == c])
        if len(takes) > 1:
            chosen = rng.choice(takes, max(1, round(HELD_OUT_SHARE * len(takes))), replace=False)
            held_out |= np.isin(take, chosen)
    out.parent.mkdir(parents=True, exist_ok=True)
    pose = pose.astype(np.float16)
    np.savez_compressed(out.with_name("pose_frames.npz"), frame=frame)
    np.savez_compressed(out, pose=pose, category=category, clip=take, held_out=held_out, category_names=names)
