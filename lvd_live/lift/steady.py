"""Lifting through a video: each frame's landmarks with what the frames around it say, see `over_time`."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch

from lvd_live.lift.lifter import Cameras, Lifter, inputs_of
from lvd_live.lift.network import symmetric
from lvd_live.lift.over_time import FARTHER, NEAR, differences, neighbours

REMEMBERED = FARTHER[-1] * (1 + NEAR)  # seconds
MOST = 256  # frames


@dataclass(frozen=True)
class _Answer:
    """Of one frame: its time, s; (33, 3) its points, box frame; its box's half size, as a ray."""

    seconds: float
    points: torch.Tensor
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

    @torch.inference_mode()
    def __call__(
        self, landmarks: np.ndarray, inside: np.ndarray, cameras: Cameras, seconds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lift the first of N frames; the others follow it, as many as are known, N ≥ 1.

        landmarks (N, 33, 4), inside (N, 33), cameras : see `Lifter.lift`. seconds : (N,) float64, rising.
        Returns points (33, 3) and scale (33, 2) float32, see `Lifter.lift`.
        """
        if self.lifter.over_time is None:
            points, scale, _ = self.lifter.lift(landmarks[:1], inside[:1], _first(cameras))
            return points[0], scale[0]
        found, camera, middle, half = inputs_of(landmarks, inside, cameras)
        features, answers, log_scale = symmetric(self.lifter.network, torch.from_numpy(found), torch.from_numpy(camera))
        rays = half / cameras.focal
        past = self._before(float(seconds[0]))
        times = torch.tensor([*(one.seconds for one in past), *seconds], dtype=torch.float64) - seconds[0]
        which, apart, there = (part[0, len(past)] for part in neighbours(times.float()[None]))
        known = torch.cat([torch.stack([one.points for one in past]), answers]) if past else answers
        halves = torch.tensor([*(one.half for one in past), *rays], dtype=torch.float32)
        moved = differences(known[which], halves[which], answers[0], halves[len(past)])
        better, surer = self.lifter.over_time(
            features[:1], answers[:1], log_scale[:1], moved[None], apart[None], there[None]
        )
        self._past.append(_Answer(float(seconds[0]), answers[0], float(rays[0])))
        lifted = better[0].numpy() * half[0]
        lifted[:, :2] += middle[0]
        return lifted, np.exp(surer[0].numpy()) * half[0]

    def _before(self, now: float) -> list[_Answer]:
        """What is remembered of the last second; nothing where time went backward."""
        if self._past and self._past[-1].seconds >= now:
            self.reset()
        while self._past and now - self._past[0].seconds > REMEMBERED:
            self._past.popleft()
        return list(self._past)


def _first(cameras: Cameras) -> Cameras:
    return Cameras(cameras.focal[:1], cameras.principal[:1], cameras.known[:1])
