"""Lifting through a video: each frame's landmarks with what the frames around it say, see `over_time`."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from lvd_live.lift.lifter import Cameras, Lifter, inputs_of
from lvd_live.lift.over_time import FARTHER, NEAR
from lvd_live.lift.plain import differences, neighbours

REMEMBERED = FARTHER[-1] * (1 + NEAR)  # seconds
MOST = 256  # frames


@dataclass(frozen=True)
class _Answer:
    """Of one frame: its time, s; (33, 3) its points, box frame; its box's half size, as a ray."""

    seconds: float
    points: np.ndarray
    half: float


class SteadyLifter:
    """Lifts one person frame after frame, and remembers the last second. `reset` forgets. lifter : the shipped one, or
    one without `over_time`, which lifts each frame on its own."""

    def __init__(self, lifter: Lifter):
        self.lifter = lifter
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        self._past: deque[_Answer] = deque(maxlen=MOST)

    def __call__(
        self, landmarks: np.ndarray, inside: np.ndarray, cameras: Cameras, seconds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lift the first of N frames; the others follow it, as many as are known, N ≥ 1.

        landmarks (N, 33, 4), inside (N, 33), cameras : see `Lifter.lift`. seconds : (N,) float64, rising.
        Returns points (33, 3) and scale (33, 2) float32, see `Lifter.lift`.
        """
        if self.lifter.through_time is None:
            points, scale, _ = self.lifter.lift(landmarks[:1], inside[:1], _first(cameras))
            return points[0], scale[0]
        found, camera, middle, half = inputs_of(landmarks, inside, cameras)
        features, answers, log_scale = self.lifter.symmetric(found, camera)
        rays, past = half / cameras.focal, self._before(float(seconds[0]))
        times = np.array([*(one.seconds for one in past), *seconds]) - seconds[0]
        which, apart, there = neighbours(times.astype(np.float32), len(past))
        known = np.concatenate([*(one.points[None] for one in past), answers])
        halves = np.array([*(one.half for one in past), *rays], np.float32)
        moved = differences(known[which], halves[which], answers[0], halves[len(past)])
        better, surer = self.lifter.through_time(features[0], answers[0], log_scale[0], moved, apart, there)
        self._past.append(_Answer(float(seconds[0]), answers[0], float(rays[0])))
        lifted = better * half[0]
        lifted[:, :2] += middle[0]
        return lifted, np.exp(surer) * half[0]

    def _before(self, now: float) -> list[_Answer]:
        """What is remembered of the last second; nothing where time went backward."""
        if self._past and self._past[-1].seconds >= now:
            self.reset()
        while self._past and now - self._past[0].seconds > REMEMBERED:
            self._past.popleft()
        return list(self._past)


def _first(cameras: Cameras) -> Cameras:
    return Cameras(cameras.focal[:1], cameras.principal[:1], cameras.known[:1])
