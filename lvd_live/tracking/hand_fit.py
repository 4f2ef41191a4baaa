"""Hands that move: the mesh's hands replaced by skinned ones, posed as the hand networks' landmarks say.

The forearm comes from the mesh. The landmarks are lifted to points in space (`lift.hands`), which give the wrist's
rotation and the joint angles within their limits (`body.hand_solver`). The hand's twist about the forearm is spread
over the forearm, as the radius turns about the ulna, and so is the way by which the wrist moves in the picture to where
it is seen: no crease forms at the wrist. Over the last centimetres before it the mesh passes into the skinned hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.fingers import BODY_JOINTS, LANDMARK_STARTS, WRISTS, FingerRig
from lvd_live.body.hand_anatomy import Angles, HandAnatomy, rotation, rotation_vector
from lvd_live.body.hand_solver import HandSolver
from lvd_live.body.model import BodyModel
from lvd_live.body.procrustes import nearest_rotation
from lvd_live.body.skeleton import JOINT, cross_matrix, rotation_between
from lvd_live.lift.hands import HandLifter, HandViews
from lvd_live.person.types import Hand, Person
from lvd_live.tracking.hand_filter import HandFilter

NONE, RELAXED, SEEN = 0, 1, 2  # what became of a hand: as descended, not seen and relaxed, as seen
BLEND = (-0.035, 0.005)  # metres along the forearm, from the wrist: where the mesh passes into the skinned hand
SHIFT = 0.03  # metres: the wrist moves no farther toward where it is seen; farther harmed it against real truth
BEND = 1.4  # radians that a wrist bends to any side
TWIST = 2.4  # and turns about the forearm
CARRIED = 0.6  # of the forearm's turn, by which a hand turns that nobody looks at: the mesh's forearm shakes, too
STD_SEEN = 0.015  # metres: the spread of a hand of `SURE` pixels beside its wrist's; inversely with its size
SURE = 64.0
STD_UNSEEN = 0.05
_PALM = [0, 5, 9, 13, 17]


@dataclass(frozen=True)
class FittedHands:
    """vertices : (N, 3) float32 metres, camera frame. std : (N,) float32 metres.

    pose : (30, 3) float32 axis-angle of the finger joints, relative to the parents, left hand first. states : NONE,
    RELAXED or SEEN, left and right.
    """

    vertices: np.ndarray
    std: np.ndarray
    pose: np.ndarray
    states: tuple[int, int]


class HandsFit:
    """Fits both hands of a body to frame after frame. Remembers their filtered poses."""

    def __init__(self, rig: FingerRig, body: BodyModel):
        flat = rig.flattened(body.v_template.numpy().astype(float))
        regressor = body.J_regressor.numpy().astype(float)
        self._sides = [_Side(rig, flat.vertices, flat.joints, regressor, HandAnatomy.of(flat, s), s) for s in (0, 1)]

    def reset(self) -> None:
        """Forget the last poses."""
        for side in self._sides:
            side.filter.reset()

    def __call__(
        self, vertices: np.ndarray, std: np.ndarray, person: Person, intrinsics: np.ndarray, size: float, time_ns: int
    ) -> FittedHands | None:
        """The hands of a mesh (N, 3) float32, metres, camera frame; None where nobody looks for hands.

        std : (N,) metres. intrinsics : (3, 3). size : of the person, beside the body's template. time_ns : the frame's.
        """
        if person.hands is None:
            return None
        vertices, std = vertices.copy(), std.copy()
        pose, states = np.zeros((30, 3), np.float32), [NONE, NONE]
        for side, hand in zip(self._sides, person.hands, strict=True):
            own = slice(15 * side.side, 15 * side.side + 15)
            if hand is not None and not (np.isfinite(hand.landmarks).all() and np.isfinite(hand.world).all()):
                hand = None
            pose[own], states[side.side] = side.fit(vertices, std, hand, intrinsics, size, time_ns)
        return FittedHands(vertices, std, pose, (states[0], states[1]))


class _Side:
    """One hand and its forearm; rest poses are flat, in the body frame."""

    def __init__(
        self,
        rig: FingerRig,
        rest: np.ndarray,
        joints: np.ndarray,
        regressor: np.ndarray,
        anatomy: HandAnatomy,
        side: int,
    ):
        self.side, self.anatomy, self.filter = side, anatomy, HandFilter()
        self._lifter, self._solver = HandLifter.shipped(), HandSolver(anatomy)
        self._palm_points = anatomy.points[_PALM] - anatomy.points[0]
        self._solved: tuple[np.ndarray, np.ndarray, np.ndarray, Angles] | None = None
        """What was seen last: its `Hand.world`, the forearm's way, the palm's rotation and the angles."""
        wrist, elbow = WRISTS[side], JOINT[("left_elbow", "right_elbow")[side]]
        fingers = list(range(BODY_JOINTS + 15 * side, BODY_JOINTS + 15 * side + 15))
        moved = rig.weights[:, [elbow, wrist, *fingers]]
        self.which = np.flatnonzero(moved.sum(1) > 0.5)
        weights = moved[self.which] / moved[self.which].sum(1, keepdims=True)
        self.rest = rest[self.which] - joints[wrist]
        self.chain = joints[fingers] - joints[wrist]
        self.heads = [start + k for start in LANDMARK_STARTS for k in range(3)]  # of the finger joints, as landmarks
        self.axis = joints[wrist] - joints[elbow]
        reach = float(np.linalg.norm(self.axis))
        self.axis /= reach
        along = self.rest @ self.axis  # from the wrist
        self.share = np.clip(1 + along / reach, 0, 1)
        low, high = BLEND
        t = np.clip((along - low) / (high - low), 0, 1)
        self.hand = np.flatnonzero(t > 0)
        self.skinned = (t * t * (3 - 2 * t))[self.hand, None]
        self.weights = weights[self.hand]
        self.joint_rows = regressor[[elbow, wrist]]
        own = weights[:, 0] > 0.95
        self.forearm = np.flatnonzero(own & (self.share > 0.35) & (self.share < 0.9))
        self.palm = np.flatnonzero(weights[:, 1] > 0.95)
        self.own = self.which[self.hand[self.skinned[:, 0] > 0.5]]  # whose spread is the hand's

    def fit(
        self,
        vertices: np.ndarray,
        std: np.ndarray,
        hand: Hand | None,
        intrinsics: np.ndarray,
        size: float,
        time_ns: int,
    ) -> tuple[np.ndarray, int]:
        """Changes the hand's vertices (N, 3) and std (N,) in place; the finger joints' pose (15, 3) and the state."""
        mesh = vertices[self.which].astype(float)
        elbow, wrist = self.joint_rows @ vertices
        forearm = _kabsch(self.rest[self.forearm], mesh[self.forearm])
        forearm = rotation_between(forearm @ self.axis, wrist - elbow) @ forearm  # along the joints
        if hand is None:
            seen, angles, shift = _kabsch(self.rest[self.palm], mesh[self.palm]), self.anatomy.neutral(), np.zeros(3)
        else:
            seen, angles = self._read(hand, wrist, wrist - elbow)
            shift = self._shift(hand, seen, wrist, intrinsics, size)
        local, values, shift = self.filter(forearm.T @ seen, angles.packed(), shift, time_ns, hand is not None)
        angles = Angles.unpacked(values).limited()
        twist, bend = split(local, self.axis, TWIST, BEND)
        rotations = self.anatomy.rotations(angles)
        posed = self._posed(mesh, (forearm, twist, bend, rotations), elbow, wrist, shift, size)
        vertices[self.which] = posed
        was, own = std[self.own], STD_UNSEEN if hand is None else spread_of(hand)
        std[self.own] = np.where(was > 0, np.hypot(was, np.float32(own)), was)
        return Rotation.from_matrix(rotations).as_rotvec(), RELAXED if hand is None else SEEN

    def _read(self, hand: Hand, wrist: np.ndarray, way: np.ndarray) -> tuple[np.ndarray, Angles]:
        """The palm's rotation (3, 3) and the angles. wrist : (3,) metres, way : (3,) from the elbow to the wrist, all
        camera frame. A hand that is only carried along turns with the forearm."""
        if self._solved is None or self._solved[0] is not hand.world:
            ray = rotation_between(np.array([0.0, 0.0, 1.0]), wrist)  # the network sees it as on the optical axis
            forearm = ray.T @ way / max(float(np.linalg.norm(way)), 1e-9)
            points, scale = self._lifter(HandViews.of(hand, self.side, forearm))
            palm, angles = self._solver(points[0], scale[0])
            self._solved = hand.world, way, ray @ palm, angles
        _, before, palm, angles = self._solved
        return rotation(CARRIED * rotation_vector(rotation_between(before, way))) @ palm, angles

    def _shift(
        self, hand: Hand, palm: np.ndarray, wrist: np.ndarray, intrinsics: np.ndarray, size: float
    ) -> np.ndarray:
        """How the wrist must move across the view for the palm to lie where it is seen, (3,) metres."""
        points = wrist + size * self._palm_points @ palm.T  # whatever the fingers do
        drawn = (points[:, :2] / points[:, 2:]) * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2]
        off = (hand.landmarks[_PALM, :2] - drawn).mean(0) * wrist[2] / intrinsics[[0, 1], [0, 1]]
        off = off * min(1.0, SHIFT / max(float(np.hypot(*off)), 1e-9))
        return np.array([*off, 0.0])

    def _posed(
        self,
        mesh: np.ndarray,
        pose: tuple[np.ndarray, float, np.ndarray, np.ndarray],
        elbow: np.ndarray,
        wrist: np.ndarray,
        shift: np.ndarray,
        size: float,
    ) -> np.ndarray:
        """The vertices (n, 3), camera frame: the forearm's twisted and moved, the hand's skinned, and between.

        pose : forearm (3, 3), twist about it, radians, bend (3, 3) behind that, finger joints (15, 3, 3).
        """
        forearm, twist, bend, fingers = pose
        way, arm, angle = forearm @ self.axis, mesh - elbow, twist * self.share[:, None]
        cos = np.cos(angle)
        turned = cos * arm + np.sin(angle) * (arm @ cross_matrix(way).T) + (1 - cos) * (arm @ way)[:, None] * way
        turned += elbow + shift * self.share[:, None]
        palm = forearm @ rotation(self.axis * twist) @ bend
        points, bones = self.anatomy.chain(fingers)
        T = np.zeros((17, 3, 4))
        T[0, :, :3], T[1, :, :3], T[2:, :, :3] = palm @ bend.T, palm, (palm @ bones).reshape(15, 3, 3)
        heads = points[self.heads] @ palm.T
        T[2:, :, 3] = heads - (T[2:, :, :3] @ self.chain[..., None])[..., 0]
        mixed = (self.weights @ T.reshape(17, 12)).reshape(-1, 3, 4)
        hand = (mixed[..., :3] @ self.rest[self.hand, :, None])[..., 0] + mixed[..., 3]
        hand = size * hand + wrist + shift
        turned[self.hand] += self.skinned * (hand - turned[self.hand])
        return turned


def spread_of(hand: Hand) -> float:
    """The standard deviation of a seen hand's vertices about its wrist, metres."""
    return STD_SEEN * max(1.0, SURE / hand.length) * (2 - hand.presence * hand.right_side)


def split(local: np.ndarray, axis: np.ndarray, most_twist: float, most_bend: float) -> tuple[float, np.ndarray]:
    """A wrist's rotation (3, 3) in the forearm's frame as a twist about its axis (3,) and a bend (3, 3) behind it:
    rotation(axis · twist) @ bend, both within their limits."""
    to = local @ axis
    swing = rotation_between(axis, to) if axis @ to > -0.95 else np.eye(3)
    about = swing.T @ local
    twist = float(rotation_vector(about) @ axis)
    turn = rotation(axis * twist)
    bend = rotation_vector(turn.T @ swing @ turn)
    bend *= min(1.0, most_bend / max(float(np.linalg.norm(bend)), 1e-9))
    return float(np.clip(twist, -most_twist, most_twist)), rotation(bend)


def _kabsch(rest: np.ndarray, posed: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) that brings points (n, 3) nearest to others, but for where they are."""
    return nearest_rotation((posed - posed.mean(0)).T @ (rest - rest.mean(0)))
