"""Back to front: a finder that takes the left for the right, found out and put right over time.

From one picture to the next a finder may exchange all left and right landmarks, for a frame or for seconds, and be as
sure of itself as ever: the landmarks jump while the mask stands still, and exchanged they would have moved on smoothly.
Two states, the finder's sides are right or exchanged, and a forward filter over them:

    p(z_t) ∝ p(opinion_t | z_t) Σ_z' p(z_t | z') p(motion_t | z_t, z') p(z')

A change is rare, but where it makes the motion much smoother it is what happened. Motion
says nothing of the first frame, and nothing where left and right lie on each other (a profile): an opinion of each
frame on its own, such as a lifter's likelihood of both readings, adds up over time and corrects a wrong start.

A body read back to front has its depth inverted: of somebody whose sides are exchanged nothing is said of depth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from lvd_live.person import affine
from lvd_live.person.sides import COUNTERPART, exchanged, without_depth
from lvd_live.person.types import Person

Opinion = Callable[[Person, tuple[int, int]], float]
"""Of a person in a picture of width × height pixels: log-likelihood of it as it is, less that with sides exchanged."""

Doubts = Callable[[np.ndarray, tuple[int, int]], tuple[float, float]]
"""Of landmarks (33, 3), picture pixels and visibility: how unsure a lifter is (mean log scale) of them as they are, and
with sides exchanged, in a picture of width × height pixels."""

BEGINS, ENDS = 1 / 300, 1 / 40  # of the frames: the finder exchanges the sides; it no longer does
FIRST = 0.97  # probability that a first frame's sides are right
STILL = 0.004  # of the region's side: by how much the landmarks of somebody who stands still miss what is expected
MISSED = 0.015  # the same of somebody of whom nothing is known yet
MOVED = 0.1  # and where the mask has nothing in common with the last one
FORGETS = 0.1  # of what is known of that, each frame
TAIL = 4.0  # how fast a motion becomes unlikely beyond: (1 + miss²/usual²)^-TAIL
SMOOTHEST = 14.0  # nats: what motion says at most
SAYS = 5.0, 0.5  # nats: what an opinion says at most of a first frame, and of one more
ALIKE = 0.25  # what an opinion of one more frame counts: those of consecutive frames are much the same
NATS = 6.0  # log-likelihood for a difference of one in the lifter's mean log scale: 4 of 1,039 real frames err
SUREST = 9.0  # log odds at most, so that a later opinion still counts
LIMBS = slice(11, 33)  # of the landmarks
DAMPED = 0.5  # of the last motion goes on


class Sides:
    """Reads the sides of one person in picture after picture. `reset` forgets; a new person (`is_new`) does, too.

    opinion: of each frame on its own, or None. exchanged: whether the last person's sides are not as the finder said.
    """

    def __init__(self, opinion: Opinion | None = None):
        self.opinion = opinion
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        self._last: Person | None = None  # as the finder said it
        self._before: np.ndarray | None = None  # (33, 2): the same of the frame before, in the picture
        self._odds = 0.0  # log p(right) / p(exchanged)
        self._usual = MISSED  # by how much the landmarks miss what is expected
        self.exchanged = False

    def __call__(self, person: Person, size: tuple[int, int]) -> Person:
        """The person of the next picture, as the finder said it, with left and right as they most probably are, and the
        doubt about it; size: of the picture, pixels. It is new where it does not go on from the last one: a wrong
        reading was corrected.
        """
        opinion = 0.0 if self.opinion is None else self.opinion(person, size)
        if person.is_new or self._last is None:
            self.reset()
            change = 0.0
            odds = math.log(FIRST / (1 - FIRST)) + min(max(opinion, -SAYS[0]), SAYS[0])
        else:
            change = self._change(person, self._last)
            odds = forward(self._odds, change) + min(max(ALIKE * opinion, -SAYS[1]), SAYS[1])
        self._odds = min(max(odds, -SUREST), SUREST)
        reading = self._odds < 0
        corrected = self._last is not None and reading != self.exchanged and change <= 0
        self._before = None if self._last is None else self._last.landmarks[:, :2]
        self._last, self.exchanged = person, reading
        read = without_depth(exchanged(person)) if reading else person
        doubt = 1 / (1 + math.exp(abs(self._odds)))
        return replace(read, doubt=doubt, is_new=person.is_new or corrected, corrected=corrected)

    def _change(self, person: Person, last: Person) -> float:
        """Log-likelihood of the motion since the last picture with the finder's sides changed, less without."""
        same, other = misses(person, last, self._before)
        usual = self._usual + MOVED * (1 - overlap(person, last))
        self._usual = max(STILL, self._usual + FORGETS * (min(same, other) - self._usual))
        return min(TAIL * math.log((usual**2 + same**2) / (usual**2 + other**2)), SMOOTHEST)


def opinion_of(doubts: Doubts) -> Opinion:
    """A lifter's opinion: it is surer of the right reading."""

    def opinion(person: Person, size: tuple[int, int]) -> float:
        as_it_is, other = doubts(person.landmarks, size)
        return NATS * (other - as_it_is)

    return opinion


def forward(odds: float, change: float) -> float:
    """Log odds after a frame whose motion says `change`: log-likelihood of it with the sides changed, less without."""
    right, likelier = 1 / (1 + math.exp(-odds)), math.exp(change)
    exchanged = 1 - right
    return math.log(
        (right * (1 - BEGINS) + exchanged * ENDS * likelier) / (exchanged * (1 - ENDS) + right * BEGINS * likelier)
    )


def misses(person: Person, last: Person, before: np.ndarray | None) -> tuple[float, float]:
    """How far, of the region's side, the landmarks are on average from where those of `last` let them be expected (and
    those of the frame before it, (33, 2) picture pixels): as they are, and with sides exchanged.
    """
    here, there = person.landmarks[LIMBS, :2], last.landmarks[LIMBS, :2]
    crossed = person.landmarks[list(COUNTERPART), :2][LIMBS]
    expected = [there] if before is None else [there, there + DAMPED * (there - before[LIMBS])]
    size = region_size(person)
    same, other = (min(distance(points, e) for e in expected) / size for points in (here, crossed))
    return same, other


def distance(points: np.ndarray, others: np.ndarray) -> float:
    """The mean distance of points (n, 2) from others (n, 2)."""
    return float(np.linalg.norm(points - others, axis=1).mean())


def region_size(person: Person) -> float:
    """The side of the square that the finder looked at, or of the mask's grid, picture pixels."""
    return len(person.mask) / math.sqrt(abs(float(np.linalg.det(person.T_mask_from_picture[:, :2]))))


def overlap(person: Person, last: Person) -> float:
    """Intersection over union of two pictures' masks, on the first one's grid; 1 where both are empty."""
    T = affine.compose(person.T_mask_from_picture, affine.invert(last.T_mask_from_picture))
    then = cv2.warpAffine(last.mask, T, person.mask.shape[::-1], flags=cv2.INTER_LINEAR) > 0.5
    now = person.mask > 0.5
    union = np.count_nonzero(now | then)
    return np.count_nonzero(now & then) / union if union else 1.0
