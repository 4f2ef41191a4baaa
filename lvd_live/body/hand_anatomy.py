"""How a hand's joints can turn: 21 angles of a hand, their limits, and the 15 finger joints' rotations they stand for.

Fingers flex and spread at the first joint and only flex at the two others; the thumb turns freely within a cone at its
first joint and flexes at the others. Angles are zero in the flat hand (`fingers.FlatBody`), flexion toward the palm is
positive; rotations are relative to the parent joint, their axes those of the body frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lvd_live.body.fingers import BODY_JOINTS, LANDMARK_STARTS, WRISTS, FlatBody
from lvd_live.body.hand_rig import FINGERS, SIDES, palm_frame
from lvd_live.body.procrustes import nearest_rotation

LIMITS = {  # degrees: flexion, spreading (towards the thumb; the thumb's: away from the palm), of three joints
    "index": (((-20, 90), (-18, 18)), ((0, 110), (0, 0)), ((-5, 75), (0, 0))),
    "middle": (((-20, 90), (-12, 12)), ((0, 110), (0, 0)), ((-5, 75), (0, 0))),
    "ring": (((-20, 90), (-14, 10)), ((0, 110), (0, 0)), ((-5, 75), (0, 0))),
    "pinky": (((-20, 95), (-25, 12)), ((0, 105), (0, 0)), ((-5, 80), (0, 0))),
    "thumb": (((-25, 35), (-25, 45)), ((-10, 60), (-8, 8)), ((-20, 80), (0, 0))),
}
_RADIANS = np.radians([LIMITS[finger] for finger in FINGERS])  # (5, 3, 2, 2)
FLEX = _RADIANS[:4, :, 0]  # (4, 3, 2) radians, lowest and highest, of Angles.flex
THUMB_FLEX = _RADIANS[4, 1:, 0]  # (2, 2)
SPREAD = float(np.abs(_RADIANS[:4, 0, 1]).max())  # to either side, of a straight finger; a bent one cannot spread
THUMB_CONE = 0.9  # radians from the flat hand, of the thumb's first joint
NEUTRAL_FLEX = (0.35, 0.50, 0.30)
NEUTRAL_THUMB = (0.2, 0.2)
THUMB_ACROSS = 0.55  # of the direction in which a thumb flexes: toward the palm; the rest is toward the fingers
_STARTS = np.array(LANDMARK_STARTS)
_PALM, _PALM_WEIGHTS = [0, 5, 9, 13, 17], np.array([2.0, 1.5, 1.5, 1.0, 1.5])  # landmarks that lie in one plane


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
        flex = np.clip(self.flex, FLEX[..., 0], FLEX[..., 1])
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
    def _heads(self) -> np.ndarray:
        """(5, 3), the fingers' first joints about the wrist."""
        return self.points[_STARTS] - self.points[0]

    @cached_property
    def _lengths(self) -> np.ndarray:
        """(5, 3, 3), the bones as vectors, metres."""
        return np.stack([self.points[_STARTS + k + 1] - self.points[_STARTS + k] for k in range(3)], 1)

    def palm(self, points: np.ndarray) -> np.ndarray:
        """The rotation (3, 3) that leads from the body frame at rest to the frame in which a hand's points (21, 3), in
        any unit, were seen: that of its palm, by Kabsch."""
        weights = _PALM_WEIGHTS[:, None]
        rest, seen = self.points[_PALM], points[_PALM]
        rest, seen = (a - (weights * a).sum(0) / weights.sum() for a in (rest, seen))
        return nearest_rotation(seen.T @ (weights * rest))


def rotation(vectors: np.ndarray) -> np.ndarray:
    """Rodrigues' formula: rotation vectors (..., 3), radians, to rotations (..., 3, 3)."""
    if vectors.ndim == 1:  # most calls: a few floats cost less than arrays do
        return _one_rotation(*vectors.tolist())
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


def _one_rotation(x: float, y: float, z: float) -> np.ndarray:
    angle = math.sqrt(x * x + y * y + z * z)
    safe, cos = max(angle, 1e-8), math.cos(angle)
    s, c = math.sin(angle) / safe, (1 - cos) / safe**2
    cx, cy, cz = c * x, c * y, c * z
    xy, xz, yz = cx * y, cx * z, cy * z
    x, y, z, xx, yy, zz = s * x, s * y, s * z, cx * x, cy * y, cz * z
    return np.array([[cos + xx, xy - z, xz + y], [xy + z, cos + yy, yz - x], [xz - y, yz + x, cos + zz]])


def rotation_vector(R: np.ndarray) -> np.ndarray:
    """The inverse of `rotation` for one rotation (3, 3) of less than pi."""
    (a, b, c), (d, e, f), (g, h, i) = R.tolist()
    x, y, z = (h - f) / 2, (c - g) / 2, (d - b) / 2
    sine = math.sqrt(x * x + y * y + z * z)
    share = math.atan2(sine, (a + e + i - 1) / 2) / sine if sine > 1e-9 else 1.0
    return np.array([share * x, share * y, share * z])
