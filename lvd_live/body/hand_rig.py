"""MANO's 16 joints of a hand, and Anny's hand bones brought onto them.

Joint 0 is the wrist; three joints a finger follow, knuckle first, in MANO's order of fingers, which is SMPL-H's too.
Hand frame: that of the body in its T-pose (x to the person's left, y up, z forward), metres, joints' axes aligned with
it. A flat right hand points to -x, a left one to +x; palms face down, thumbs forward.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from lvd_live.body.skeleton import rotation_between

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
FINGERS = ("index", "middle", "pinky", "ring", "thumb")
HAND_JOINT_NAMES = ("wrist", *(f"{finger}{i}" for finger in FINGERS for i in (1, 2, 3)))
HAND_PARENTS = np.array([-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14])
HAND_JOINT = {name: index for index, name in enumerate(HAND_JOINT_NAMES)}
ANNY_FINGERS = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}
"""Numbers of the fingers in the names of Anny's bones: finger2-1.R is the right index finger's first bone."""
TIP_SHARE = 0.04  # of a last bone's vertices, the outermost, whose mean is the fingertip
SETBACK = {"index": 0.45, "middle": 0.45, "pinky": 0.45, "ring": 0.45, "thumb": 0.5}
"""How far a finger's first joint lies behind the head of Anny's bone, in lengths of that bone.

Anny's heads lie at the fingers' webs, 12 mm in front of the knuckles: its first bones are 25 mm long where an index
finger's is 40.
"""
FOLD = 0.011  # metres: half the length over which the skin in front of a first joint begins to follow it
FOLD_WIDTH = 0.009  # metres: how far to the side a finger's first bone shares the palm's skin with its neighbours


def hand_joint_of_bone(label: str) -> int | None:
    """The joint (0..15) that moves an Anny bone's skin on its side; None for a bone outside the hand.

    Metacarpal bones go with the wrist: MANO's palm does not bend.
    """
    name = label.partition(".")[0]
    if name == "wrist" or name.startswith("metacarpal"):
        return 0
    for finger, number in ANNY_FINGERS.items():
        if name.startswith(f"finger{number}-"):
            return HAND_JOINT[finger + name.partition("-")[2]]
    return None


def bone_of_hand_joint(joint: int, side: Side) -> str:
    """The Anny bone whose head is the joint (0..15)."""
    suffix = "L" if side == "left" else "R"
    if joint == 0:
        return f"wrist.{suffix}"
    finger, bone = divmod(joint - 1, 3)
    return f"finger{ANNY_FINGERS[FINGERS[finger]]}-{bone + 1}.{suffix}"


def hand_joints_from_bones(heads: np.ndarray, labels: list[str], side: Side) -> np.ndarray:
    """The hand's joints (..., 16, 3) from the heads (..., K, 3) of Anny's bones of these names, in the same frame.

    First joints are set back to the knuckles (SETBACK).
    """
    joints = heads[..., [labels.index(bone_of_hand_joint(j, side)) for j in range(16)], :].copy()
    for finger, back in SETBACK.items():
        first = HAND_JOINT[f"{finger}1"]
        joints[..., first, :] += back * (joints[..., first, :] - joints[..., first + 1, :])
    return joints


def extend_to_knuckles(vertices: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Skin weights (V, 16) in which first bones move the skin from their set-back joints on, not from the web on.

    Only the wrist's weight changes hands, and only towards first bones.

    vertices : (V, 3) metres. weights : (V, 16) as `hand_joint_of_bone` sums them. joints : (16, 3). Same frame, rest.
    """
    firsts = [HAND_JOINT[f"{finger}1"] for finger in FINGERS]
    along, aside = np.empty((len(vertices), 5)), np.empty((len(vertices), 5))
    for k, first in enumerate(firsts):
        bone = joints[first + 1] - joints[first]
        offset = vertices - joints[first]
        along[:, k] = offset @ (bone / np.linalg.norm(bone))
        aside[:, k] = np.linalg.norm(np.cross(offset, bone), axis=1) / np.linalg.norm(bone)
    t = np.clip(0.5 + 0.5 * along / FOLD, 0, 1)
    near = np.exp(-0.5 * (aside / FOLD_WIDTH) ** 2)
    near /= near.sum(1, keepdims=True) + 1e-12
    taken = weights[:, :1] * t * t * (3 - 2 * t) * near
    out = weights.copy()
    out[:, firsts] += taken
    out[:, 0] -= taken.sum(1)
    return out


def fingertips(vertices: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Tips (5, 3) of FINGERS: where the skin of a finger's last bone is farthest from the bone's head.

    vertices : (V, 3). weights : (V, 16) skin weights. joints : (16, 3). Same frame.
    """
    tips = np.empty((5, 3))
    for finger in range(5):
        last = 3 * finger + 3
        own = np.flatnonzero(weights[:, last] > 0.9)
        reach = np.linalg.norm(vertices[own] - joints[last], axis=1)
        count = max(int(len(own) * TIP_SHARE), 1)
        tips[finger] = vertices[own[np.argsort(-reach)[:count]]].mean(0)
    return tips


def palm_frame(joints: np.ndarray, side: Side) -> np.ndarray:
    """Rotation (3, 3) whose product with a point of the joints' frame is that point in the hand frame.

    The middle finger's knuckle comes to lie sideways of the wrist; the knuckles' row lies level, palm down.
    joints : (16, 3).
    """
    sideways = 1.0 if side == "left" else -1.0
    x = sideways * (joints[HAND_JOINT["middle1"]] - joints[0])
    x /= np.linalg.norm(x)
    forward = joints[HAND_JOINT["index1"]] - joints[HAND_JOINT["pinky1"]]
    forward -= x * (forward @ x)
    z = forward / np.linalg.norm(forward)
    return np.stack([x, np.cross(z, x), z])


def flat_rotations(joints: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Global rotations (16, 3, 3) that make a relaxed hand flat: fingers straight and level, the thumb straight.

    Each finger keeps the direction in the palm's plane of its first bone, the thumb that of its middle bone.

    joints : (16, 3), tips : (5, 3), of FINGERS; hand frame (`palm_frame`).
    """
    rotations = np.tile(np.eye(3), (16, 1, 1))
    for finger, name in enumerate(FINGERS):
        first = 3 * finger + 1
        chain = np.concatenate([joints[first : first + 3], tips[finger : finger + 1]])
        bones = np.diff(chain, axis=0)
        if name == "thumb":
            rotations[first + 2] = rotation_between(bones[2], bones[1])
            continue
        level = bones[0] * (1, 0, 1)
        rotations[first : first + 3] = rotation_between(bones, level)
    return rotations
