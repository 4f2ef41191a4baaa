"""How a person finder errs, in the picture: plain noise, limbs mistaken, what it said of rendered people, and sides
exchanged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lvd_live.lift.lifter import EXCHANGED
from lvd_live.lift.network import LANDMARKS
from lvd_live.person.landmarks import HIPS

FACINGS = 8  # directions into which the observed errors are sorted
LIMBS = (
    [11, 13, 15, 17, 19, 21],
    [12, 14, 16, 18, 20, 22],
    [23, 25, 27, 29, 31],
    [24, 26, 28, 30, 32],
    [13, 15, 17, 19, 21],
    [14, 16, 18, 20, 22],
    [25, 27, 29, 31],
    [26, 28, 30, 32],
    list(range(11)),
)
MISTAKEN, FAR = 0.02, 0.25  # share of samples in which a limb is taken for another, and how far off, of the body's size
FROM_OBSERVED = 0.8  # share of samples with an observed error
SWAPPED = 0.02  # share of samples with all sides exchanged
DEPTH_ERROR = 0.15  # of the body's size, of the nearness where no error was observed
NO_DEPTH = 0.2  # share of samples in which the finder says nothing of depth


@dataclass(frozen=True)
class Seen:
    """People as the finder sees them.

    rays : (B, 33, 2). nearness : (B, 33), see `lift.network`, in the unit of the rays; all 0 where the finder says
    nothing of it. visibility : (B, 33).
    """

    rays: torch.Tensor
    nearness: torch.Tensor
    visibility: torch.Tensor


@dataclass(frozen=True)
class ObservedErrors:
    """What the finder said of S rendered people.

    error : (S, 33, 3) minus the truth, of half the longer side of the true landmarks' box: x, y (up), nearness from the
    hips' middle. visibility : (S, 33) 0..1. order : (S,) int64, people sorted by `facing_of`; ends : (FACINGS,) int64,
    where each direction ends in it.
    """

    error: torch.Tensor
    visibility: torch.Tensor
    order: torch.Tensor
    ends: torch.Tensor

    @classmethod
    def load(cls, path: Path, device: torch.device) -> ObservedErrors:
        """Read models/synth/landmark_errors.npz."""
        with np.load(path, allow_pickle=False) as file:
            facing = torch.from_numpy(file["facing"].astype(np.int64))
            error, visibility = (torch.from_numpy(file[name].astype(np.float32)) for name in ("error", "visibility"))
        ends = torch.cumsum(torch.bincount(facing, minlength=FACINGS), 0)
        return cls(*(part.to(device) for part in (error, visibility, torch.argsort(facing), ends)))

    def like(self, facing: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
        """For each person, facing (B,), one of the observed who faces the same way, (B,) int64; chance (B,) 0..1."""
        begins = torch.cat([self.ends.new_zeros(1), self.ends[:-1]])
        place = begins[facing] + (chance * (self.ends - begins)[facing]).long()
        return self.order[place.clamp(max=len(self.order) - 1)]


class Noise:
    """Draws errors. observed : None for plain noise alone."""

    def __init__(self, observed: ObservedErrors | None, *, seed: int, device: torch.device):
        self.observed = observed
        self.random = torch.Generator(device).manual_seed(seed)
        self._partners = torch.from_numpy(EXCHANGED).to(device)

    def __call__(self, rays: torch.Tensor, points: torch.Tensor, inside: torch.Tensor) -> Seen:
        """What the finder sees of people.

        rays : (B, 33, 2), points : (B, 33, 3) camera frame, the truth. inside : (B, 33) bool, whether in the picture.
        """
        B, size = len(rays), (rays.amax(1) - rays.amin(1)).amax(1)[:, None] / 2
        error, visibility = self._plain(B)
        if self.observed is not None:
            chosen = self.observed.like(facing_of(points), self.uniform(B))
            taken = self.uniform(B) < FROM_OBSERVED
            observed = self.observed.error[chosen]
            observed = torch.cat([observed[..., :2] + 0.35 * error[..., :2], self._worsened(observed[..., 2:])], -1)
            error = torch.where(taken[:, None, None], observed, error)
            visibility = torch.where(taken[:, None], self.observed.visibility[chosen], visibility)
        outside = (~inside).float()
        error = error + 0.08 * outside[..., None] * self.normal(B, LANDMARKS, 3)
        visibility = visibility * (1 - outside * (0.5 + 0.5 * self.uniform(B, LANDMARKS)))
        found = torch.cat([rays, nearness_of(points)[..., None]], -1) + error * size[..., None]
        found = self._exchange(found)
        told = (self.uniform(B, 1) >= NO_DEPTH).float()
        return Seen(found[..., :2], found[..., 2] * told, visibility)

    def _worsened(self, depth_error: torch.Tensor) -> torch.Tensor:
        """Observed errors of nearness (B, 33, 1), larger or smaller, with noise."""
        stretched = depth_error * (0.7 + 0.6 * self.uniform(len(depth_error), 1, 1))
        return stretched + 0.03 * self.normal(*depth_error.shape)

    def _exchange(self, found: torch.Tensor) -> torch.Tensor:
        """All left and right landmarks (B, 33, 3) exchanged in some samples, and the depth inverted in half of those: a
        finder that takes the back for the front."""
        exchanged = found[:, self._partners]
        inverted = torch.where(self.uniform(len(found), 1) < 0.5, -exchanged[..., 2], exchanged[..., 2])
        exchanged = torch.cat([exchanged[..., :2], inverted[..., None]], -1)
        return torch.where((self.uniform(len(found)) < SWAPPED)[:, None, None], exchanged, found)

    def _plain(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Errors (count, 33, 3) of the body's size, one level for a person, shared in part by a limb; visibility."""
        level = torch.exp(self.uniform(count) * 2.5 - 5.8)[:, None, None]  # 0.3 % to 3.7 %
        error = self.normal(count, LANDMARKS, 2) * level
        for limb in LIMBS:
            away = (self.uniform(count) < MISTAKEN).float()[:, None, None] * FAR
            error[:, limb] += (away + 0.6 * level) * self.normal(count, 1, 2)
        depth = DEPTH_ERROR * self.uniform(count, 1) * self.normal(count, LANDMARKS)
        return torch.cat([error, depth[..., None]], -1), 0.97 - 0.25 * self.uniform(count, LANDMARKS) ** 4

    def uniform(self, *shape: int) -> torch.Tensor:
        """0..1."""
        return torch.rand(*shape, generator=self.random, device=self.random.device)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal."""
        return torch.randn(*shape, generator=self.random, device=self.random.device)

    def integers(self, high: int, count: int) -> torch.Tensor:
        """`count` of 0..high − 1."""
        return torch.randint(high, (count,), generator=self.random, device=self.random.device)


def nearness_of(points: torch.Tensor) -> torch.Tensor:
    """Nearness from the hips' middle, (D − d) / D, of points (B, 33, 3), camera frame: (B, 33)."""
    hips = -points[:, HIPS, 2].mean(1, keepdim=True)
    return (hips + points[..., 2]) / hips


def facing_of(points: torch.Tensor) -> torch.Tensor:
    """Which way people are turned, one of FACINGS (B,) int64: from shoulders and hips of (B, 33, 3), camera frame."""
    left = points[:, [11, 23]].mean(1) - points[:, [12, 24]].mean(1)
    angle = torch.atan2(left[:, 2], left[:, 0])
    return ((angle / (2 * torch.pi) + 1) * FACINGS + 0.5).long() % FACINGS
