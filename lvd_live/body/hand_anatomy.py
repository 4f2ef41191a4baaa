"""How a hand's joints can turn: 21 angles of a hand, their limits, and the 15 finger joints' rotations they stand for.

Fingers flex and spread at the first joint and only flex at the two others; the thumb turns freely within a cone at its
first joint and flexes at the others. Angles are zero in the flat hand (`fingers.FlatBody`), flexion toward the palm is
positive; rotations are relative to the parent joint, their axes those of the body frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lvd_live.body.fingers import BODY_JOINTS, LANDMARK_STARTS, WRISTS, FlatBody
from lvd_live.body.hand_rig import SIDES, palm_frame
from lvd_live.body.procrustes import nearest_rotation
from lvd_live.body.skeleton import rotation_between

FLEX = np.array([(-0.35, 1.65), (0.0, 1.95), (0.0, 1.4)])  # radians, of a finger's three joints
SPREAD = 0.40  # radians to either side, of a straight finger; a bent one cannot spread
THUMB_CONE = 0.9  # radians from the flat hand, of the thumb's first joint
THUMB_FLEX = np.array([(-0.1, 1.1), (0.0, 1.4)])  # of its two others
NEUTRAL_FLEX = (0.35, 0.50, 0.30)
NEUTRAL_THUMB = (0.2, 0.2)
THUMB_ACROSS = 0.55  # of the direction in which a thumb flexes: toward the palm; the rest is toward the fingers
_STARTS = np.array(LANDMARK_STARTS)


class Angles(NamedTuple):
    """A hand's 21 angles, radians.

    flex : (4, 3) of index, middle, pinky and ring, from the knuckle on. spread : (4,) about the axis out of the back of
    the hand. thumb : (3,) rotation vector of its first joint. thumb_flex : (2,) of its others.
    """

    flex: np.ndarray
    spread: np.ndarray
    thumb: np.ndarray
    thumb_flex: np.ndarray

    def packed(self) -> np.ndarray:
        """(21,)."""
        return np.concatenate([self.flex.ravel(), self.spread, self.thumb, self.thumb_flex])

    @classmethod
    def unpacked(cls, values: np.ndarray) -> Angles:
        """From (21,)."""
        return cls(values[:12].reshape(4, 3), values[12:16], values[16:19], values[19:21])

    def limited(self) -> Angles:
        """Brought within what a hand can do."""
        flex = np.clip(self.flex, FLEX[:, 0], FLEX[:, 1])
        room = SPREAD * np.clip(np.cos(flex[:, 0]), 0, 1)
        cone = min(1.0, THUMB_CONE / max(float(np.linalg.norm(self.thumb)), 1e-9))
        return Angles(
            flex,
            np.clip(self.spread, -room, room),
            self.thumb * cone,
            np.clip(self.thumb_flex, THUMB_FLEX[:, 0], THUMB_FLEX[:, 1]),
        )


@dataclass(frozen=True)
class HandAnatomy:
    """One hand at rest, flat; body frame, metres.

    points : (21, 3) in MediaPipe's order: wrist, then thumb, index, middle, ring, pinky, from the palm to the tip.
    out : (3,) unit, out of the back of the hand.
    bones : (5, 3, 3) unit directions of each finger's bones. axes : (5, 3, 3) unit, what they flex about.
    side : 0 left, 1 right.
    """

    points: np.ndarray
    out: np.ndarray
    bones: np.ndarray
    axes: np.ndarray
    side: int

    @classmethod
    def of(cls, flat: FlatBody, side: int) -> HandAnatomy:
        """The left (0) or right (1) hand of a body."""
        first = BODY_JOINTS + 15 * side
        own = np.concatenate([flat.joints[[WRISTS[side]]], flat.joints[first : first + 15]])
        tips = flat.tips[5 * side : 5 * side + 5]
        frame = palm_frame(own, SIDES[side])
        out, forward = frame[1], frame[2]
        points = np.empty((21, 3))
        points[0] = own[0]
        for finger, start in enumerate(LANDMARK_STARTS):
            points[start : start + 3] = own[1 + 3 * finger : 4 + 3 * finger]
            points[start + 3] = tips[finger]
        chains = np.stack([points[start : start + 4] for start in LANDMARK_STARTS])
        bones = np.diff(chains, axis=1)
        bones /= np.linalg.norm(bones, axis=2, keepdims=True)
        toward = np.tile(-out, (5, 1))
        toward[4] = -THUMB_ACROSS * out - np.sqrt(1 - THUMB_ACROSS**2) * forward
        axes = np.cross(bones, toward[:, None])
        axes /= np.linalg.norm(axes, axis=2, keepdims=True)
        return cls(points, out, bones, axes, side)

    def neutral(self) -> Angles:
        """A hand that does nothing."""
        return Angles(np.tile(NEUTRAL_FLEX, (4, 1)), np.zeros(4), 0.15 * self.axes[4, 0], np.array(NEUTRAL_THUMB))

    def rotations(self, angles: Angles) -> np.ndarray:
        """(15, 3, 3), relative to the parents, in the order of `hand_rig`."""
        vectors = np.empty((20, 3))
        vectors[:12] = (self.axes[:4] * angles.flex[..., None]).reshape(12, 3)
        vectors[12] = angles.thumb
        vectors[13:15] = self.axes[4, 1:] * angles.thumb_flex[:, None]
        vectors[15:19] = self.out * angles.spread[:, None]
        vectors[19] = 0
        turns = rotation(vectors)
        turns[0:12:3] = turns[15:19] @ turns[0:12:3]
        return turns[:15]

    def posed(self, angles: Angles) -> np.ndarray:
        """The 21 points (21, 3) of the hand with these angles, the wrist at the origin and not turned."""
        return self.chain(self.rotations(angles))[0]

    def chain(self, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The points (21, 3) of `posed`, and each bone's rotation (5, 3, 3, 3), from joint rotations (15, 3, 3)."""
        local, points = local.reshape(5, 3, 3, 3), np.zeros((21, 3))
        at, turned = self._heads, np.empty((5, 3, 3, 3))
        points[_STARTS] = at
        for k in range(3):
            turned[:, k] = local[:, 0] if k == 0 else turned[:, k - 1] @ local[:, k]
            at = at + (turned[:, k] @ self._lengths[:, k, :, None])[..., 0]
            points[_STARTS + k + 1] = at
        return points, turned

    @cached_property
    def _toward(self) -> np.ndarray:
        """(5, 3, 3), where each bone's end goes as it flexes."""
        return np.cross(self.axes, self.bones)

    @cached_property
    def _aside(self) -> np.ndarray:
        """(4, 3), where each finger goes as it spreads."""
        return np.cross(self.out, self.bones[:4, 0])

    @cached_property
    def _heads(self) -> np.ndarray:
        """(5, 3), the fingers' first joints about the wrist."""
        return self.points[_STARTS] - self.points[0]

    @cached_property
    def _lengths(self) -> np.ndarray:
        """(5, 3, 3), the bones as vectors, metres."""
        return np.stack([self.points[_STARTS + k + 1] - self.points[_STARTS + k] for k in range(3)], 1)

    def fit(self, points: np.ndarray) -> tuple[np.ndarray, Angles]:
        """The wrist's rotation (3, 3) and the angles of a hand whose points (21, 3) were seen, in any unit.

        The rotation leads from the body frame at rest to the frame of `points`. Closed form: the palm by Kabsch, then
        each bone's direction in its parent's frame gives its angles, which are brought within their limits before the
        next bone is looked at.
        """
        palm = [0, 5, 9, 13, 17]
        weights = np.array([2.0, 1.5, 1.5, 1.0, 1.5])[:, None]
        rest, seen = self.points[palm], points[palm]
        rest, seen = (a - (weights * a).sum(0) / weights.sum() for a in (rest, seen))
        wrist = nearest_rotation(seen.T @ (weights * rest))
        chains = np.stack([points[start : start + 4] for start in LANDMARK_STARTS])
        seen_bones = np.diff(chains, axis=1) @ wrist  # in the frame of the rest pose
        seen_bones /= np.maximum(np.linalg.norm(seen_bones, axis=2, keepdims=True), 1e-9)
        flex, spread = self._fingers(seen_bones[:4])
        thumb, thumb_flex = self._thumb(seen_bones[4])
        return wrist, Angles(flex, spread, thumb, thumb_flex).limited()

    def _fingers(self, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flexion (4, 3) and spread (4,) of the fingers' bones (4, 3, 3), unit, the palm not turned."""
        bones, palmward = self.bones[:4], -self.out
        flex, turned = np.empty((4, 3)), np.empty((4, 3, 3))
        first, level = seen[:, 0], seen[:, 0] - (seen[:, 0] @ palmward)[:, None] * palmward
        ahead = (level * bones[:, 0]).sum(1)
        flex[:, 0] = np.clip(np.arctan2(first @ palmward, ahead), *FLEX[0])
        aside = (level * self._aside).sum(1)
        room = SPREAD * np.clip(np.cos(flex[:, 0]), 0, 1)
        spread = np.clip(np.arctan2(aside, np.maximum(ahead, 0.2)), -room, room)
        turned = rotation(self.out * spread[:, None]) @ rotation(self.axes[:4, 0] * flex[:, 0, None])
        for k in (1, 2):
            local = np.einsum("fba,fb->fa", turned, seen[:, k])
            flex[:, k] = np.arctan2((local * self._toward[:4, k]).sum(1), (local * bones[:, k]).sum(1))
            flex[:, k] = np.where(flex[:, k] < -2.0, np.pi, flex[:, k])  # a fist, not a bend backward
            flex[:, k] = np.clip(flex[:, k], *FLEX[k])
            turned = turned @ rotation(self.axes[:4, k] * flex[:, k, None])
        return flex, spread

    def _thumb(self, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first joint's rotation vector (3,) and the others' flexion (2,), from the bones (3, 3), unit."""
        bones, axes = self.bones[4], self.axes[4]
        swing = rotation_between(bones[0], seen[0]) if bones[0] @ seen[0] > -0.9 else np.eye(3)
        bend = seen[2] - seen[0] * (seen[2] @ seen[0])  # which way it flexes tells how it is rolled
        expected = swing @ self._toward[4, 0]
        roll = np.arctan2(np.cross(expected, bend) @ seen[0], expected @ bend)
        sure = np.clip((np.linalg.norm(bend) - 0.2) / 0.4, 0, 1)
        turned = rotation(seen[0] * float(np.clip(roll, -0.6, 0.6) * sure)) @ swing
        thumb = rotation_vector(turned)
        thumb *= min(1.0, THUMB_CONE / max(float(np.linalg.norm(thumb)), 1e-9))
        turned, flex = rotation(thumb), np.empty(2)
        for k in (1, 2):
            local = turned.T @ seen[k]
            flex[k - 1] = np.arctan2(local @ self._toward[4, k], local @ bones[k])
            flex[k - 1] = np.clip(flex[k - 1], *THUMB_FLEX[k - 1])
            turned = turned @ rotation(axes[k] * flex[k - 1])
        return thumb, flex


def rotation(vectors: np.ndarray) -> np.ndarray:
    """Rodrigues' formula: rotation vectors (..., 3), radians, to rotations (..., 3, 3)."""
    angle = np.sqrt((vectors * vectors).sum(-1))[..., None, None]
    safe = np.maximum(angle, 1e-8)
    s, c = np.sin(angle) / safe, (1 - np.cos(angle)) / safe**2
    out = c * (vectors[..., :, None] * vectors[..., None, :])
    diagonal = np.cos(angle[..., 0])
    x, y, z = (s[..., 0, 0] * vectors[..., i] for i in range(3))
    out[..., 0, 1] -= z
    out[..., 1, 0] += z
    out[..., 0, 2] += y
    out[..., 2, 0] -= y
    out[..., 1, 2] -= x
    out[..., 2, 1] += x
    for i in range(3):
        out[..., i, i] += diagonal[..., 0]
    return out


def rotation_vector(R: np.ndarray) -> np.ndarray:
    """The inverse of `rotation` for one rotation (3, 3) of less than pi."""
    axis = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    sine = float(np.linalg.norm(axis))
    angle = np.arctan2(sine, (np.trace(R) - 1) / 2)
    return axis * (angle / sine if sine > 1e-9 else 1.0)
