"""Coarse to fine: a first step that asks about few vertices, and moves all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lvd_live.body.control import choose_control
from lvd_live.lvd.mesh_network import mixed
from lvd_live.lvd.uncertainty import P, SomeTargets

NEIGHBOURS = 4


@dataclass(frozen=True)
class Coarse:
    """T vertices of N, spread over the body, and how the others move with them:

    Δv_i = Σ_k share_ik Δv_near(i, k), the shares falling with the square of the distance on the body.

    targets : (T,) int64. near : (N, NEIGHBOURS) int64, into `targets`. share : (N, NEIGHBOURS) float32, rows sum to 1.
    """

    targets: torch.Tensor
    near: torch.Tensor
    share: torch.Tensor

    @classmethod
    def of(cls, points: np.ndarray, count: int, device: torch.device) -> Coarse:
        """`count` of the vertices that the network moves; points (N, 3): where they lie on the body, metres."""
        chosen, place = choose_control(points, count), torch.from_numpy(points.astype(np.float32))
        distance, near = torch.cdist(place, place[chosen]).topk(NEIGHBOURS, largest=False)
        share = (distance + 1e-3) ** -2
        parts = torch.from_numpy(chosen), near, share / share.sum(1, keepdim=True)
        return cls(*(part.to(device) for part in parts))

    def displacement(self, field: SomeTargets[P], prepared: P, vertices: torch.Tensor) -> torch.Tensor:
        """Δ (B, N, 3) of a mesh (B, N, 3)."""
        few = field.diagonal(vertices[:, self.targets], prepared, self.targets)
        return mixed(few, self.near, self.share)
