"""Few vertices asked in place of all: a first step of descent from coarse to fine, and the uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lvd_live.body.control import choose_control
from lvd_live.lvd.mesh_network import mixed
from lvd_live.lvd.uncertainty import P, SomeTargets

FEW = 16  # every sixteenth, by farthest-point sampling
NEIGHBOURS = 4


@dataclass(frozen=True)
class Coarse:
    """T of the N vertices that descend, spread over the body, and how the others follow from what is known of these:

    q_i = Σ_k share_ik q_near(i, k), the shares falling with the square of the distance on the body.

    targets : (T,) int64. near : (N, NEIGHBOURS) int64, into `targets`. share : (N, NEIGHBOURS) float32, rows sum to 1.
    """

    targets: torch.Tensor
    near: torch.Tensor
    share: torch.Tensor

    @classmethod
    def of(cls, points: np.ndarray, device: torch.device) -> Coarse:
        """points : (N, 3), where the vertices that descend lie on the body, metres."""
        place = torch.from_numpy(points.astype(np.float32))
        targets = torch.from_numpy(choose_control(points, max(len(points) // FEW, NEIGHBOURS)))
        distance, near = torch.cdist(place, place[targets]).topk(NEIGHBOURS, largest=False)
        share = (distance + 1e-3) ** -2
        return cls(targets.to(device), near.to(device), (share / share.sum(1, keepdim=True)).to(device))

    def displacement(self, field: SomeTargets[P], prepared: P, vertices: torch.Tensor) -> torch.Tensor:
        """Δ (B, N, 3) of a mesh (B, N, 3), of which the field is asked for T."""
        return self.over_all(field.diagonal(vertices[:, self.targets], prepared, self.targets))

    def over_all(self, few: torch.Tensor) -> torch.Tensor:
        """What is known of the T vertices (B, T, C), of all: (B, N, C)."""
        return mixed(few, self.near, self.share)
