"""The bank of poses: drawn by category, and varied. See `retarget` for how its file is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvd_live.synth.pose_variation import bent, mirrored, sitting, standing, with_posed_arms, without_heading

EVERYDAY = 0.4  # share of poses of the second file, where there is one
JITTER = 0.10  # radians
LOOSE = np.array(
    [0.3, 1, 1, 0.7, 1, 1, 0.7, 1, 1, 0.5, 0.6, 0.6, 1, 0.5, 0.5, 1, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3, 1, 1], np.float32
)
"""Factor on the jitter of each of the 24 joints."""


@dataclass(frozen=True)
class Kinds:
    """Shares of the drawn poses that are made to sit, have posed arms, are bent, or stand on straight legs."""

    seated: float = 0.12
    arms: float = 0.28
    bent: float = 0.06
    standing: float = 0.0


HELD_OUT, TO_TRAIN = Kinds(), Kinds(standing=0.12)
MOSTLY_STANDING = Kinds(
    arms=0.18, standing=0.35
)  # as people before cameras mostly are: recorded motion bends the knees


@dataclass(frozen=True)
class PoseBank:
    """Poses to draw from.

    pose : (P, 24, 3) float32 axis-angle, radians, each joint relative to its parent.
    groups : for each category the rows of `pose` that may be drawn. probability : of each category.
    kinds : what is made of those drawn.
    """

    pose: np.ndarray
    groups: tuple[np.ndarray, ...]
    probability: np.ndarray
    kinds: Kinds

    @classmethod
    def load(cls, path: Path, *, held_out: bool, everyday: Path | None = None) -> PoseBank:
        """The takes to train on, or the held-out ones.

        Categories count by the square root of the number of their poses, so that none dominates. Half of CMU's knees
        are bent by 29 degrees and more, and a network in doubt bends them, while people before a camera mostly stand:
        some of the poses to train on are therefore made to stand. The held-out ones are not, so that figures measured
        on them stay comparable.

        everyday : a second file, of which EVERYDAY of the poses are, each of its categories as often as another.
        """
        with np.load(path, allow_pickle=False) as file:
            keep = file["held_out"] == held_out
            category, pose = file["category"], file["pose"].astype(np.float32)
        groups = tuple(np.flatnonzero(keep & (category == c)) for c in np.unique(category[keep]))
        size = np.sqrt([len(g) for g in groups])
        bank = cls(pose, groups, size / size.sum(), HELD_OUT if held_out else TO_TRAIN)
        return bank if everyday is None else bank._with(everyday, held_out)

    def _with(self, path: Path, held_out: bool) -> PoseBank:
        """Poses of another file added, EVERYDAY of those drawn; stand as those to train on."""
        with np.load(path, allow_pickle=False) as file:
            keep = file["held_out"] == held_out
            category, pose = file["category"], file["pose"].astype(np.float32)
        added = [len(self.pose) + np.flatnonzero(keep & (category == c)) for c in np.unique(category[keep])]
        probability = np.concatenate([(1 - EVERYDAY) * self.probability, np.full(len(added), EVERYDAY / len(added))])
        return PoseBank(np.concatenate([self.pose, pose]), (*self.groups, *added), probability, TO_TRAIN)

    def sample(self, rng: np.random.Generator, *, upright: bool = False) -> np.ndarray:
        """One pose (24, 3) axis-angle with the heading taken out of the root.

        It is one of the bank, or sits, stands, bends or has arms as before a webcam; jittered; mirrored in half of the
        cases. upright : one of those before a webcam, sitting or with posed arms.
        """
        kinds = self.kinds
        seated, arms = kinds.seated, kinds.seated + kinds.arms  # cumulative
        bends, stands = arms + kinds.bent, arms + kinds.bent + kinds.standing
        kind = rng.random() * (arms if upright else 1)
        group = self.groups[rng.choice(len(self.groups), p=self.probability)]
        pose = self.pose[rng.choice(group)].copy()
        pose[0] = without_heading(pose[0])
        if kind < seated:
            pose = sitting(pose, rng)
        elif kind < arms:
            pose = with_posed_arms(pose, rng, calm=upright or rng.random() < 0.6)
        elif kind < bends:
            pose = bent(pose, rng)
        elif kind < stands:
            pose = standing(pose, rng)
        pose += rng.normal(0, JITTER) * rng.normal(size=(24, 1)) * rng.normal(size=(24, 3)) * LOOSE[:, None]
        if rng.random() < 0.35:
            other = self.pose[rng.choice(group)]
            pose[[12, 15]] = other[[12, 15]]
            pose[[20, 21, 22, 23]] += rng.normal(0, 0.25, (4, 3))
        return mirrored(pose) if rng.random() < 0.5 else pose
