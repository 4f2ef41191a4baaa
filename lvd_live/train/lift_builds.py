"""Builds of people for the lifter's samples: more of them than the body's shapes have.

A person's proportions, and where on a person the finder sees a joint, vary more than rendered bodies tell: clothes,
build and the finder's habits add to it. A lifter that has seen only the shapes' proportions takes long trunks and short
legs for bent knees.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lvd_live.body.skeleton import JOINT
from lvd_live.train.lift_noise import Noise

PROPORTION = 0.07  # standard deviation of the logarithm of the factor on each of TOGETHER
TOGETHER = (
    ("spine1", "spine2", "spine3", "neck", "left_collar", "right_collar", "left_shoulder", "right_shoulder"),
    ("left_knee", "right_knee"),  # the thighs: joints are named by the bone's far end
    ("left_ankle", "right_ankle"),
    ("left_elbow", "right_elbow"),
    ("left_wrist", "right_wrist"),
)
WIDTH = 0.105  # likewise, of hips and shoulders, sideways
ACROSS = (("left_hip", "right_hip"), ("left_collar", "right_collar", "left_shoulder", "right_shoulder"))
SHIFT = 0.015  # metres: standard deviation along each axis of where a landmark is seen, the same on both sides in part
STEADIER = ((slice(0, 11), 0.3), (slice(17, 23), 0.5), (slice(29, 33), 0.5))  # factors: face, hands, feet


@dataclass(frozen=True)
class Builds:
    """What stays of B people while they move.

    betas : (B, 20) shape coefficients. stretch : (B, 24, 3), factors on each joint's place from its parent's, rest pose.
    shifts : (B, 33, 3) metres, of each landmark, in the rest frame of the bone that carries most of it.
    """

    betas: torch.Tensor
    stretch: torch.Tensor
    shifts: torch.Tensor

    @classmethod
    def plain(cls, betas: torch.Tensor) -> Builds:
        """As the shapes have them."""
        B = len(betas)
        return cls(betas, betas.new_ones(B, len(JOINT), 3), betas.new_zeros(B, 33, 3))

    @classmethod
    def draw(cls, betas: torch.Tensor, noise: Noise, partners: torch.Tensor) -> Builds:
        """Varied at random. partners : (33,) int64, each landmark's on the other side."""
        build, B = cls.plain(betas), len(betas)
        for names in TOGETHER:
            build.stretch[:, [JOINT[n] for n in names]] *= torch.exp(PROPORTION * noise.normal(B, 1, 1))
        for names in ACROSS:
            build.stretch[:, [JOINT[n] for n in names], 0] *= torch.exp(WIDTH * noise.normal(B, 1))
        shifts = SHIFT * noise.normal(B, 33, 3)
        shifts = (shifts + shifts[:, partners] * shifts.new_tensor([-1, 1, 1])) / 2**0.5
        for landmarks, factor in STEADIER:
            shifts[:, landmarks] *= factor
        return cls(betas, build.stretch, shifts)

    def each(self, times: int) -> Builds:
        """Every person so many times, one after another."""
        return Builds(*(x.repeat_interleave(times, 0) for x in (self.betas, self.stretch, self.shifts)))
