"""The hands of a person who was found: 21 landmarks each, by MediaPipe's hand networks on onnxruntime.

Where a hand is, and whether it is the left or the right one, the pose says. A hand that is not known yet is looked for
in a square that lies along the forearm: `hand_recrop` tells where in it the hand lies, `hand_landmarks` looks there. A
hand that was seen is followed from picture to picture: its own landmarks say where to look next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lvd_live.person import affine
from lvd_live.person.onnx import open_network
from lvd_live.person.roi import Roi
from lvd_live.person.types import Hand, Person, PersonFinder

MIN_PRESENCE = 0.5  # below it there is no hand
OTHER_HAND = 0.1  # probability that the network gives to the pose's side, below which it sees the other hand
SURE_OF_SIDE = 0.5  # and below which it takes the palm for the back: half of such hands lie 70 degrees from the truth
SMALLEST = 24.0  # pixels: shorter hands show no fingers
WAIT, WAIT_BOTH = 15, 5  # pictures between two searches for one hand: half a second of most cameras; with time to spare
EVERY, EVERY_STILL = 2, 3  # pictures from one look at a followed hand to the next; of one that moves as the arm does
STILL = 0.05  # of a hand's length: how far its landmarks may lie from where they were carried to, to be still
HAND_LENGTH = 0.19  # metres, of the pose's average person
MIN_VISIBILITY = 0.3  # of the wrist, by the pose
STRAY = 1.2  # of a hand's length: a hand followed that lies so far from the pose's is another one
_WRISTS, _ELBOWS, _PINKIES, _INDICES = (15, 16), (13, 14), (17, 18), (19, 20)  # of the pose, left and right
_SEARCHED, _SEEN = 256, 224  # pixels, the networks' sides
_DEPTH = 0.4  # of a pixel: the landmark network's unit of depth, `normalize_z` of MediaPipe's graph
_FRAME = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]  # landmarks that the next region is laid around
_RECROP, _LANDMARKS = "hand_recrop.onnx", "hand_landmarks.onnx"


class Raw(NamedTuple):
    """What the landmark network says of a square: points (21, 3) in its pixels, presence, probability of a right hand,
    world (21, 3) metres, along its axes."""

    points: np.ndarray
    presence: float
    right: float
    world: np.ndarray


@dataclass
class _Followed:
    """What is known of one hand.

    roi : where to look next, if the arm stays where it was: elbow and wrist (2, 2), picture pixels. wait : pictures
    until it may be searched for. rest : pictures until it is looked at again. word : see `HandFinder.words`.
    """

    hand: Hand | None = None
    roi: Roi | None = None
    arm: np.ndarray | None = None
    wait: int = 0
    rest: int = 0
    word: str = "not seen"


class HandFinder:
    """Finds and follows both hands.

    models_dir : folder with hand_landmarks.onnx and hand_recrop.onnx. both : look at both hands in every picture; else
    at each in every second, or third where it is still, and at one a picture at most: in between, its landmarks are
    carried along by the pose's wrist.
    Raises UserError where a network's file is missing or damaged.
    """

    def __init__(self, models_dir: str | Path, providers: str = "auto", threads: int = 1, *, both: bool = False):
        folder = Path(models_dir)
        self._recrop = open_network(folder / _RECROP, providers=providers, threads=threads)
        self._landmarks = open_network(folder / _LANDMARKS, providers=providers, threads=threads)
        self.both = both
        self.reset()

    def reset(self) -> None:
        """Forget both hands."""
        self._followed = (_Followed(), _Followed())
        self._turn = 0

    @property
    def words(self) -> tuple[str, str]:
        """What is the matter with the left and the right hand: "seen", "not seen", "unsure" (there, but not
        clear which way it is turned), "too small" or "hidden"."""
        return self._followed[0].word, self._followed[1].word

    def find(self, picture: np.ndarray, person: Person) -> tuple[Hand | None, Hand | None]:
        """The hands of a person in a picture (H, W, 3) uint8 RGB, left and right; None for one that is not seen."""
        if person.is_new:
            self.reset()
        length = HAND_LENGTH * pixels_per_metre(person)
        asks = [side for side in (0, 1) if self._may_look(side, person, length)]
        if not self.both:
            asks = [side for side in asks if self._followed[side].rest == 0]
            if len(asks) == 2:
                asks = [self._turn]
                self._turn = 1 - self._turn
        for side in (0, 1):
            followed, wrist = self._followed[side], person.landmarks[_WRISTS[side], :2]
            if side in asks:
                self._look(followed, picture, person, side, length)
            elif followed.hand is not None:
                followed.hand = carried(followed.hand, wrist)
            followed.wait, followed.rest = max(followed.wait - 1, 0), max(followed.rest - 1, 0)
        return self._followed[0].hand, self._followed[1].hand

    def _may_look(self, side: int, person: Person, length: float) -> bool:
        """Whether a hand is worth a look at it; one that is not is forgotten."""
        followed, visibility = self._followed[side], person.landmarks[_WRISTS[side], 2]
        if length < SMALLEST or visibility < MIN_VISIBILITY:
            followed.hand, followed.roi, followed.rest = None, None, 0
            followed.word = "too small" if length < SMALLEST else "hidden"
            return False
        return followed.roi is not None or followed.wait == 0

    def _look(self, followed: _Followed, picture: np.ndarray, person: Person, side: int, length: float) -> None:
        """Follow a hand, or search for it. One that is there, but turned in a way that the network doubts, is followed
        and not given away."""
        hand = None
        arm = person.landmarks[[_ELBOWS[side], _WRISTS[side]], :2]
        if followed.roi is not None and followed.arm is not None:
            hand = self._seen_in(picture, with_arm(followed.roi, followed.arm, arm), person, side, length)
        if hand is None and followed.wait == 0:
            followed.wait = WAIT_BOTH if self.both else WAIT
            roi = self._searched(picture, search_region(person.landmarks, side, length))
            hand = self._seen_in(picture, roi, person, side, length)
            if hand is not None:  # the second look is from where the hand itself says it is
                hand = self._seen_in(picture, region_of(hand.landmarks), person, side, length) or hand
        followed.roi, followed.arm = (None, None) if hand is None else (region_of(hand.landmarks), arm.copy())
        sure = hand is not None and hand.right_side >= SURE_OF_SIDE
        followed.rest = 0 if hand is None else EVERY_STILL if _is_still(followed.hand, hand) else EVERY
        followed.hand = hand if sure else None
        followed.word = "seen" if sure else "not seen" if hand is None else "unsure"

    def _searched(self, picture: np.ndarray, region: Roi) -> Roi:
        """Where in a square the hand lies."""
        pixels = affine.resample(picture, region.T_grid_from_picture(_SEARCHED), _SEARCHED)
        (points,) = self._recrop.run(None, {"input_1": pixels[None].astype(np.float32) / 255})
        centre, below = affine.apply(region.T_picture_from_grid(_SEARCHED), points.reshape(2, 2) - 0.5)
        down = below - centre
        return _along(centre - 0.2 * down, -down, 2 * float(np.hypot(*down)))  # a tenth of the side toward the fingers

    def _seen_in(self, picture: np.ndarray, roi: Roi, person: Person, side: int, length: float) -> Hand | None:
        """The hand in a square of the picture, None where there is none, or the other one."""
        wrist = person.landmarks[_WRISTS[side], :2].copy()
        hand = self.hand_in(picture, roi, side, length, wrist)
        return None if hand is None or np.hypot(*(hand.landmarks[0, :2] - wrist)) > STRAY * length else hand

    def hand_in(self, picture: np.ndarray, roi: Roi, side: int, length: float, wrist: np.ndarray) -> Hand | None:
        """The left (0) or right (1) hand in a square of the picture, None where the network sees none, or the other
        one. length, wrist : see `Hand`."""
        raw = self.look(affine.resample(picture, roi.T_grid_from_picture(_SEEN), _SEEN))
        probability = raw.right if side else 1 - raw.right
        if raw.presence < MIN_PRESENCE or probability < OTHER_HAND:
            return None
        points = raw.points.copy()
        points[:, :2] = affine.apply(roi.T_picture_from_grid(_SEEN), points[:, :2] - 0.5)
        points[:, 2] *= roi.size / _SEEN / _DEPTH
        return Hand(points, _turned(raw.world, roi.rotation), raw.presence, probability, length, wrist)

    def look(self, pixels: np.ndarray) -> Raw:
        """One pass of the landmark network over a square (224, 224, 3) uint8 RGB, the fingers upward."""
        points, presence, right, world = self._landmarks.run(None, {"input_1": pixels[None].astype(np.float32) / 255})
        return Raw(points.reshape(21, 3), float(presence[0, 0]), float(right[0, 0]), world.reshape(21, 3))


class WithHands:
    """A PersonFinder that finds the person's hands, too, while it is `on`."""

    def __init__(self, finder: PersonFinder, hands: HandFinder):
        self.finder, self.hands, self.on = finder, hands, True

    def __getattr__(self, name: str) -> object:
        return getattr(self.finder, name)

    def find(self, picture: np.ndarray) -> Person | None:
        """See `PersonFinder`."""
        return self.add_hands(picture, self.finder.find(picture))

    def add_hands(self, picture: np.ndarray, person: Person | None) -> Person | None:
        """Whom `finder` found in the picture, with hands; picture after picture. May be called in another thread."""
        if person is None or not self.on:
            self.hands.reset()
            return person
        return replace(person, hands=self.hands.find(picture, person), hand_words=self.hands.words)

    def reset(self) -> None:
        """See `PersonFinder`."""
        self.finder.reset()
        self.hands.reset()


def pixels_per_metre(person: Person) -> float:
    """How large the person is seen: the spread of the landmarks in the picture over that in space."""
    seen, world = person.landmarks[11:29], person.world[11:29, :2]
    return float(np.sqrt(seen[:, :2].var(0).sum() / max(world.var(0).sum(), 1e-6)))


def search_region(landmarks: np.ndarray, side: int, length: float) -> Roi:
    """The square in which a hand is looked for, turned along forearm and hand, fingers upward.

    landmarks : (33, 3) the pose's. side : 0 left, 1 right. length : of the hand, pixels.
    """
    wrist, elbow, pinky, index = (landmarks[i[side], :2] for i in (_WRISTS, _ELBOWS, _PINKIES, _INDICES))
    middle = (2 * index + pinky) / 3
    hand, forearm = middle - wrist, wrist - elbow
    way = hand / max(length, 1e-6) + 0.5 * forearm / max(float(np.hypot(*forearm)), 1e-6)
    side_length = 2.7 * 2 * max(float(np.hypot(*hand)), 0.4 * length)
    return _along(middle, way, side_length)


def region_of(points: np.ndarray) -> Roi:
    """The square around a hand's landmarks (21, 2 or more), picture pixels, in which it is looked for next."""
    knuckles = (points[5, :2] + points[13, :2]) / 4 + points[9, :2] / 2
    up = knuckles - points[0, :2]
    angle = math.atan2(up[1], up[0]) + math.pi / 2
    c, s = math.cos(angle), math.sin(angle)
    T = np.array([[c, s], [-s, c]])  # picture to square, both y down
    within = points[_FRAME, :2] @ T.T
    low, high = within.min(0), within.max(0)
    size = 2.0 * float((high - low).max())
    centre = ((low + high) / 2 - [0, 0.1 * (high - low)[1]]) @ T
    return Roi(float(centre[0]), float(centre[1]), max(size, 1.0), math.remainder(angle, math.tau))


def with_arm(roi: Roi, before: np.ndarray, now: np.ndarray) -> Roi:
    """A hand's region moved with the wrist and turned with the forearm, (2, 2) elbow and wrist each."""
    old, new = before[1] - before[0], now[1] - now[0]
    turn = math.atan2(old[0] * new[1] - old[1] * new[0], old @ new) if min(np.hypot(*old), np.hypot(*new)) > 1 else 0.0
    c, s = math.cos(turn), math.sin(turn)
    dx, dy = roi.centre_x - before[1, 0], roi.centre_y - before[1, 1]
    x, y = now[1, 0] + c * dx - s * dy, now[1, 1] + s * dx + c * dy
    return Roi(float(x), float(y), roi.size, math.remainder(roi.rotation + turn, math.tau))


def carried(hand: Hand, wrist: np.ndarray) -> Hand:
    """A hand that nobody looked at in this picture: it moved as the pose's wrist (2,) did since."""
    points = hand.landmarks.copy()
    points[:, :2] += wrist - hand.pose_wrist
    return replace(hand, landmarks=points, age=hand.age + 1, pose_wrist=wrist.copy())


def _is_still(before: Hand | None, now: Hand) -> bool:
    """Whether a hand that is looked at lies where it was carried to."""
    if before is None:
        return False
    moved = now.landmarks[:, :2] - before.landmarks[:, :2] - (now.pose_wrist - before.pose_wrist)
    return bool((moved**2).sum(1).mean() < (STILL * now.length) ** 2)


def _along(centre: np.ndarray, up: np.ndarray, size: float) -> Roi:
    """A square whose upward direction is `up` (2,) in the picture."""
    angle = math.atan2(up[1], up[0]) + math.pi / 2
    return Roi(float(centre[0]), float(centre[1]), max(size, 1.0), math.remainder(angle, math.tau))


def _turned(world: np.ndarray, rotation: float) -> np.ndarray:
    """Points (21, 3) along a square's axes, along the picture's."""
    c, s = math.cos(rotation), math.sin(rotation)
    out = world.copy()
    out[:, 0], out[:, 1] = c * world[:, 0] - s * world[:, 1], s * world[:, 0] + c * world[:, 1]
    return out
