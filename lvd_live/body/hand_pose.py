"""Poses that a hand takes, drawn within the limits of its joints (`hand_anatomy.LIMITS`).

Angles are degrees in TWIST and radians elsewhere. A joint's rotation is R(spread) R(flexion) R(twist) about axes
that follow from where the joints lie in a flat hand, so that any file with MANO's joints can be posed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.hand_anatomy import LIMITS
from lvd_live.body.hand_rig import FINGERS, HAND_JOINT, HAND_PARENTS

TWIST = {"thumb": (-45, 10)}  # of the first joint, about its bone: negative turns the thumb's pulp to the fingers
THUMB_FLEXION = np.array([0.49, -0.86, 0.11])
"""Axis about which a right thumb bends: across its last bone's wider side, as the skin there lies."""
APART = 0.011  # metres between the middle lines of two fingers, at least
OFF_PALM = 0.014  # metres from a finger's middle line to the palm's middle plane, at least
TIP_LENGTH = {"thumb": 0.7}  # of the last bone, in lengths of the one before it; others 1
KINDS = ("free", "counting", "power", "pinch")
SHARES = (0.3, 0.2, 0.25, 0.25)  # how often each kind is drawn
_CROWD = 6  # candidates drawn for each pose that is kept


@dataclass(frozen=True)
class HandAxes:
    """Axes (15, 3) of joints 1 to 15 of a flat hand, hand frame, unit length; and what posing the bones needs.

    splay : (15,) radians by which a first joint's finger points away from the middle one, towards the thumb.
    joints : (16, 3), tips : (5, 3) metres.
    """

    flexion: np.ndarray
    spread: np.ndarray
    twist: np.ndarray
    splay: np.ndarray
    joints: np.ndarray
    tips: np.ndarray

    @classmethod
    def of(cls, joints: np.ndarray) -> HandAxes:
        """joints : (16, 3) metres, of a flat hand in the hand frame, either side."""
        joints = np.asarray(joints, float)
        mirror = np.array([-1.0, 1, 1]) if joints[HAND_JOINT["middle1"], 0] > joints[0, 0] else np.ones(3)
        J = joints * mirror
        bones, tips = _bones(J)
        flexion, spread = np.empty((15, 3)), np.tile([0.0, 1.0, 0.0], (15, 1))
        splay = np.zeros(15)
        middle = bones[HAND_JOINT["middle1"] - 1]
        for finger, name in enumerate(FINGERS):
            for j in range(3 * finger, 3 * finger + 3):
                d = bones[j]
                if name == "thumb":
                    flexion[j] = THUMB_FLEXION - d * (THUMB_FLEXION @ d)
                    flexion[j] /= np.linalg.norm(flexion[j])
                    spread[j] = np.cross(d, flexion[j])
                    continue
                flexion[j] = np.cross(d, (0, -1, 0)) / np.linalg.norm(np.cross(d, (0, -1, 0)))
                splay[j] = np.arctan2(d[2], -d[0]) - np.arctan2(middle[2], -middle[0])
        turning = 1.0 if mirror[0] > 0 else np.array([1.0, -1, -1])  # a mirrored rotation's axis
        return cls(flexion * turning, spread * turning, bones * turning, splay, joints, tips * mirror)

    def rotations(self, flexion: np.ndarray, spread: np.ndarray, twist: np.ndarray) -> np.ndarray:
        """Local rotations (P, 15, 3, 3) of angles (P, 15), radians."""

        def turn(axis: np.ndarray, angle: np.ndarray) -> Rotation:
            return Rotation.from_rotvec((axis * angle[..., None]).reshape(-1, 3))

        total = turn(self.spread, spread) * turn(self.flexion, flexion) * turn(self.twist, twist)
        return total.as_matrix().reshape(-1, 15, 3, 3)

    def posed(self, local: np.ndarray) -> np.ndarray:
        """Middle lines (P, 5, 4, 3) metres of the fingers, first joint to tip, of local rotations (P, 15, 3, 3)."""
        G = np.tile(np.eye(3), (len(local), 16, 1, 1))
        P = np.tile(self.joints, (len(local), 1, 1))
        lines = np.empty((len(local), 5, 4, 3))
        for j in range(1, 16):
            p = HAND_PARENTS[j]
            P[:, j] = P[:, p] + G[:, p] @ (self.joints[j] - self.joints[p])
            G[:, j] = G[:, p] @ local[:, j - 1]
            lines[:, (j - 1) // 3, (j - 1) % 3] = P[:, j]
        for finger in range(5):
            last = 3 * finger + 3
            lines[:, finger, 3] = P[:, last] + G[:, last] @ (self.tips[finger] - self.joints[last])
        return lines


def _bones(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions (15, 3) of the bones that begin at joints 1 to 15, and the fingertips (5, 3)."""
    bones, tips = np.empty((15, 3)), np.empty((5, 3))
    for finger, name in enumerate(FINGERS):
        first = 3 * finger + 1
        steps = np.diff(joints[first : first + 3], axis=0)
        last = steps[1] * TIP_LENGTH.get(name, 1.0)
        tips[finger] = joints[first + 2] + last
        chain = np.concatenate([steps, last[None]])
        bones[first - 1 : first + 2] = chain / np.linalg.norm(chain, axis=1, keepdims=True)
    return bones, tips


def sample_poses(rng: np.random.Generator, joints: np.ndarray, count: int) -> np.ndarray:
    """Poses (count, 15, 3) axis-angle, radians, each relative to the joint's parent: free, counting, power, pinch.

    Those in which fingers would pass through each other or the palm are not drawn.
    joints : (16, 3) metres, of a flat hand.
    """
    axes = HandAxes.of(joints)
    kinds = rng.choice(len(KINDS), count, p=SHARES)
    poses = np.empty((count, 15, 3))
    for kind in range(len(KINDS)):
        wanted = np.flatnonzero(kinds == kind)
        kept = [np.empty((0, 15, 3, 3))]
        while sum(map(len, kept)) < len(wanted):
            local = _candidates(rng, axes, KINDS[kind], _CROWD * len(wanted) + 64)
            lines = axes.posed(local)
            good = _possible(lines, axes.joints)
            if KINDS[kind] == "pinch":
                good &= _pinches(lines, rng)
            kept.append(local[good])
        chosen = np.concatenate(kept)[: len(wanted)]
        poses[wanted] = Rotation.from_matrix(chosen.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 15, 3)
    return poses


def _candidates(rng: np.random.Generator, axes: HandAxes, kind: str, count: int) -> np.ndarray:
    """Local rotations (count, 15, 3, 3) within LIMITS of one kind of pose."""
    limits = np.radians([[LIMITS[f][i] for i in range(3)] for f in FINGERS]).reshape(15, 2, 2)
    low, high = limits[:, 0].T
    curl = _curls(rng, kind, count)  # (count, 5, 3), 0 open to 1 bent
    flexion = low + (high - low) * curl.reshape(count, 15)
    thumb = FINGERS.index("thumb")
    flexion += np.radians(4) * rng.standard_normal(flexion.shape)
    flexion = np.clip(flexion, low, high)
    bent = np.clip(flexion / np.radians(70), 0, 1)
    u = np.clip(rng.normal(0, 0.5, (count, 15)), -1, 1)
    spread = np.where(u > 0, u * limits[:, 1, 1], -u * limits[:, 1, 0]) * (1 - 0.7 * bent)
    spread -= axes.splay * np.clip(rng.uniform(0.0, 1.1, (count, 1)) + bent, 0, 1)  # fingers close when they bend
    first = 3 * thumb
    opposed = rng.uniform(0.1, 1, count) if kind in ("power", "pinch") else rng.uniform(0, 0.9, count)
    opposed = opposed + 0.12 * rng.standard_normal(count)
    a_low, a_high = limits[first, 1]
    spread[:, first] = np.clip(a_low + (a_high - a_low) * opposed, a_low, a_high)
    twist = np.radians(2.5) * rng.standard_normal((count, 15))
    t_low, t_high = np.radians(TWIST["thumb"])
    twist[:, first] = np.clip(t_high + (t_low - t_high) * (opposed + 0.2 * rng.standard_normal(count)), t_low, t_high)
    return axes.rotations(flexion, spread, twist)


def _curls(rng: np.random.Generator, kind: str, count: int) -> np.ndarray:
    """How far (count, 5, 3) each joint is bent between its limits, 0..1, fingers in FINGERS' order."""
    if kind == "counting":
        folded = rng.random((count, 5)) < 0.5
        finger = np.where(folded, rng.uniform(0.6, 1, (count, 5)), rng.uniform(0.02, 0.3, (count, 5)))
    elif kind == "power":
        finger = rng.uniform(0.25, 0.95, (count, 1)) + 0.07 * rng.standard_normal((count, 5))
    elif kind == "pinch":
        finger = np.tile(rng.uniform(0, 0.8, (count, 1)), (1, 5)) + 0.15 * rng.standard_normal((count, 5))
        finger[:, 0] = rng.uniform(0.3, 0.7, count)
    else:
        finger = rng.beta(1.1, 1.6, (count, 1)) + 0.18 * rng.standard_normal((count, 5))
    joint = finger[..., None] + 0.12 * rng.standard_normal((count, 5, 3))
    joint[..., 0] += 0.12 + 0.15 * rng.standard_normal((count, 5))  # knuckles bend alone, and begin at -20 degrees
    joint[..., 2] = joint[..., 1] * 0.8 + 0.1 * rng.standard_normal((count, 5))  # last joints follow the middle ones
    joint[:, 4] = rng.uniform(0, 0.9, (count, 3))
    return np.clip(joint, 0, 1)


def _possible(lines: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Whether fingers keep clear of each other and of the palm, (P,) bool. lines : (P, 5, 4, 3)."""
    steps = np.linspace(0, 1, 4)[1:, None]
    dense = np.concatenate([lines[:, :, i, None] * (1 - steps) + lines[:, :, i + 1, None] * steps for i in range(3)], 2)
    good = np.ones(len(lines), bool)
    for a in range(5):
        for b in range(a):
            gap = np.linalg.norm(dense[:, a, :, None] - dense[:, b, None], axis=-1).min((1, 2))
            good &= gap > APART
    knuckles = joints[[HAND_JOINT[f"{f}1"] for f in ("index", "middle", "ring", "pinky")]]
    palm = np.concatenate([joints[0] * (1 - s) + knuckles * s for s in (0.15, 0.4, 0.65, 0.9)])
    outer = dense[:, :, 3:]  # beyond the first bones
    return good & (np.linalg.norm(outer[:, :, :, None] - palm, axis=-1).min((1, 2, 3)) > OFF_PALM)


def _pinches(lines: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whether the thumb's tip meets the index finger's or the middle one's, with or without something between."""
    tips = lines[:, :, 3]
    gap = np.linalg.norm(tips[:, :2] - tips[:, 4:], axis=-1).min(1)
    return gap < rng.choice([0.022, 0.03, 0.05], len(lines))


def pose_components(joints: np.ndarray, count: int = 4000, seed: int = 0) -> dict[str, np.ndarray]:
    """MANO's `hands_mean` (45,) and `hands_components` (45, 45), rows of unit length, from sampled poses."""
    poses = sample_poses(np.random.default_rng(seed), joints, count).reshape(count, 45)
    mean = poses.mean(0)
    _, _, rows = np.linalg.svd(poses - mean, full_matrices=False)
    return {"hands_mean": mean, "hands_components": rows}
