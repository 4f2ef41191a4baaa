"""Poses: the CMU bank brought onto SMPL's 24 joints, baked small, sampled by category, and varied.

python -m lvd_live bake --assets DIR      writes models/synth/poses.npz among others
"""

from __future__ import annotations

from dataclasses import dataclass
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
HELD_OUT_SHARE = 0.12  # of the clips: never trained on


def cmu_name(joint: str) -> str:
    """The CMU joint that turns the same bone as an SMPL joint."""
    side, _, limb = joint.partition("_")
    return {"left": "Left", "right": "Right"}[side] + CMU_JOINT[limb] if limb else CMU_JOINT[joint]


def retarget(
    local: np.ndarray, names: list[str], parents: np.ndarray, rest_offsets: np.ndarray, body_joints: np.ndarray
) -> np.ndarray:
    """CMU local rotations (P, 31, 3) axis-angle -> SMPL local rotations (P, 24, 3) axis-angle, float32 radians.

    Both rest poses are T-poses in world-aligned axes, so global rotations carry over; only where a bone's rest direction differs (CMU's splayed legs) is the difference put in
    front: G_smpl = G_cmu · A, with A the smallest rotation from our bone's direction to CMU's. rest_offsets (31, 3) and body_joints (24, 3): metres, y up, x left, z forward.
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
    """Write the pose file: `pose (P, 24, 3) float16`, `category (P,)`, `clip (P,)`, `held_out (P,) bool` (whole clips, some of every category that has several)."""
    with np.load(bank_path, allow_pickle=False) as bank:
        pose = retarget(
            bank["local_axis_angle"], bank["joint_names"].tolist(), bank["parents"], bank["rest_offsets_m"], body_joints
        )
        category, clip, names = bank["category"], bank["clip"], bank["category_names"]
        wild_wrist = np.char.startswith(bank["clip_names"][clip], "cc_")
    pose[np.ix_(wild_wrist, [JOINT["left_wrist"], JOINT["right_wrist"], JOINT["left_hand"], JOINT["right_hand"]])] = 0
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(pose), bool)
    for c in np.unique(category):
        clips = np.unique(clip[category == c])
        if len(clips) > 1:
            chosen = rng.choice(clips, max(1, round(HELD_OUT_SHARE * len(clips))), replace=False)
            held_out |= np.isin(clip, chosen)
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out, pose=pose.astype(np.float16), category=category, clip=clip, held_out=held_out, category_names=names
    )


@dataclass(frozen=True)
class PoseBank:
    """The pose bank. pose (P, 24, 3) float32 axis-angle, local; groups: for each category the rows that may be drawn, and its probability. standing: the share of poses that just stand."""

    pose: np.ndarray
    groups: tuple[np.ndarray, ...]
    probability: np.ndarray
    standing: float

    @classmethod
    def load(cls, path: Path, *, held_out: bool) -> PoseBank:
        """The training clips, or the held-out ones. Categories count by the square root of their clips' poses, so that none rules.

        Half of CMU's knees are bent by 29° and more, so a network in doubt bends them; people before a camera mostly stand. The held-out people do so only as CMU's do: they are as hard as they were.
        """
        with np.load(path, allow_pickle=False) as file:
            keep = file["held_out"] == held_out
            category, pose = file["category"], file["pose"].astype(np.float32)
        groups = tuple(np.flatnonzero(keep & (category == c)) for c in np.unique(category[keep]))
        size = np.sqrt([len(g) for g in groups])
        return cls(pose, groups, size / size.sum(), 0.0 if held_out else STANDING)

    def sample(self, rng: np.random.Generator, *, upright: bool = False) -> np.ndarray:
        """One pose (24, 3) axis-angle with the heading taken out of the root: a bank pose, a sitting, standing or webcam pose, jittered; mirrored half of the time. upright: one of those before a webcam, sitting or with posed arms."""
        kind = rng.random() * (SEATED_OR_ARMS if upright else 1)
        group = self.groups[rng.choice(len(self.groups), p=self.probability)]
        pose = self.pose[rng.choice(group)].copy()
        pose[0] = without_heading(pose[0])
        if kind < 0.12:
            pose = sitting(pose, rng)
        elif kind < SEATED_OR_ARMS:
            pose = with_posed_arms(pose, rng, calm=upright or rng.random() < 0.6)
        elif kind < 0.46:
            pose = bent(pose, rng)
        elif kind < 0.46 + self.standing:
            pose = standing(pose, rng)
        pose += rng.normal(0, JITTER) * rng.normal(size=(24, 1)) * rng.normal(size=(24, 3)) * LOOSE[:, None]
        if rng.random() < 0.35:
            other = self.pose[rng.choice(group)]
            pose[[12, 15]] = other[[12, 15]]
            pose[[20, 21, 22, 23]] += rng.normal(0, 0.25, (4, 3))
        return mirrored(pose) if rng.random() < 0.5 else pose


STANDING = 0.12
SEATED_OR_ARMS = 0.40
JITTER = 0.10  # radians
LOOSE = np.array(
    [0.3, 1, 1, 0.7, 1, 1, 0.7, 1, 1, 0.5, 0.6, 0.6, 1, 0.5, 0.5, 1, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3, 1, 1], np.float32
)
MIRROR = np.array([JOINT[n.replace("left", "~").replace("right", "left").replace("~", "right")] for n in JOINT])


def mirrored(pose: np.ndarray) -> np.ndarray:
    """The pose seen in a mirror: left and right change places, rotations reflect in x."""
    return pose[MIRROR] * np.array([1, -1, -1], pose.dtype)


def without_heading(root: np.ndarray) -> np.ndarray:
    """A root rotation (3,) axis-angle with its turn about the vertical removed, so that the body faces +z as nearly as it can."""
    R = Rotation.from_rotvec(root)
    forward = R.as_matrix()[:, 2]
    if np.hypot(forward[0], forward[2]) < 0.3:  # lying: the head's direction tells where it heads
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
    """On a chair, legs forward, sometimes crossed; the arms as in `pose` or on the lap or desk."""
    out = calm_torso(pose, rng)
    for hip, knee, side in ((1, 4, 1), (2, 5, -1)):
        lift, spread = rng.normal(-1.45, 0.18), side * rng.normal(0.15, 0.18)
        out[hip] = (
            Rotation.from_rotvec([0, spread, 0]) * Rotation.from_rotvec([lift, 0, side * rng.normal(0.05, 0.1)])
        ).as_rotvec()
        out[knee] = [rng.normal(1.45, 0.3), 0, 0]
        out[[knee + 3, knee + 6]] = rng.normal(0, 0.1, (2, 3))
    return with_posed_arms(out, rng, calm=True) if rng.random() < 0.7 else out


def standing(pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """On nearly straight legs, feet together or apart, in half of the cases the weight on one of them; the arms as in `pose`, or posed."""
    out = calm_torso(pose, rng)
    free, apart = rng.choice(4), rng.normal(0.05, 0.07)
    for number, (hip, knee, side) in enumerate(((1, 4, 1), (2, 5, -1))):
        bend = abs(rng.normal(0, 0.06)) + (number == free) * rng.uniform(0, 0.6)
        lift = 0.5 * bend + rng.normal(0, 0.04)
        out[hip] = (
            Rotation.from_rotvec([0, side * rng.normal(0.12, 0.15), 0])
            * Rotation.from_rotvec([0, 0, side * apart])
            * Rotation.from_rotvec([-lift, 0, 0])
        ).as_rotvec()
        out[knee] = [bend, 0, 0]
        out[knee + 3] = [lift - bend + rng.normal(0, 0.05), 0, -side * apart]  # the sole stays level
        out[knee + 6] = rng.normal(0, 0.05, 3)
    return with_posed_arms(out, rng, calm=True) if rng.random() < 0.6 else out


def with_posed_arms(pose: np.ndarray, rng: np.random.Generator, *, calm: bool) -> np.ndarray:
    """Arms that a webcam sees: down, on the desk, raised, overhead, crossed, hands on hips or at the face. calm: with an upright trunk."""
    out = calm_torso(pose, rng) if calm else pose.copy()
    style = rng.choice(6)
    for shoulder, elbow, wrist, side in ((16, 18, 20, 1), (17, 19, 21, -1)):
        if style == 5 and rng.random() < 0.5:
            continue  # one arm keeps its pose
        down, forward, twist, bend = {
            0: (rng.normal(1.25, 0.15), rng.normal(0.0, 0.2), rng.normal(0, 0.3), abs(rng.normal(0.2, 0.2))),  # hanging
            1: (
                rng.normal(1.0, 0.25),
                rng.normal(0.5, 0.25),
                rng.normal(0.3, 0.4),
                rng.normal(1.5, 0.35),
            ),  # forearms forward: desk, phone, crossed
            2: (rng.normal(-0.9, 0.4), rng.normal(0.2, 0.3), rng.normal(0, 0.5), abs(rng.normal(0.5, 0.4))),  # overhead
            3: (
                rng.normal(0.7, 0.2),
                rng.normal(-0.2, 0.2),
                rng.normal(0.5, 0.4),
                rng.normal(1.5, 0.3),
            ),  # hands on hips
            4: (
                rng.normal(0.9, 0.25),
                rng.normal(0.7, 0.3),
                rng.normal(0.5, 0.4),
                rng.normal(2.1, 0.25),
            ),  # at the face, crossed on the chest
            5: (
                rng.normal(0.1, 0.5),
                rng.normal(0.2, 0.5),
                rng.normal(0, 0.6),
                abs(rng.normal(0.6, 0.6)),
            ),  # spread, waving
        }[style]
        swing = (
            Rotation.from_rotvec([0, -side * forward, 0])
            * Rotation.from_rotvec([0, 0, -side * down])
            * Rotation.from_rotvec([-twist, 0, 0])
        )
        out[shoulder] = swing.as_rotvec()
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
