"""The uncertainty of every vertex, kept up over frames: a warm frame renews an eighth of it."""

from __future__ import annotations

import numpy as np
import torch

from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.uncertainty import perturbations
from lvd_live.tracking.solver import Solution

RENEWED = 8  # a warm frame asks every eighth vertex, in turns: all of them in eight frames


class SpreadEstimate:
    """U(v) of Eq. 3 of the vertices that descend. known : (1, K) float32 crop units, or None: not estimated."""

    def __init__(self, runtime: Runtime):
        self._runtime = runtime
        self._offsets: torch.Tensor | None = None
        self.reset()

    def reset(self) -> None:
        """Forget: the next frame asks all vertices."""
        self.known: torch.Tensor | None = None
        self._turn = 0

    def update(self, solution: Solution, count: int) -> None:
        """Renew from a frame's solution, with `count` perturbations per vertex; 0: leave the uncertainty out."""
        if solution.cold or not count:
            self.known = None
        if not count:
            return
        vertices = solution.vertices
        if solution.prepared is None:
            assert solution.targets is not None and solution.spread is not None
            targets, spread = solution.targets, solution.spread
        else:
            targets = self._choose(vertices.shape[1], vertices.device)
            offsets = self._perturbations(count, vertices)
            spread = self._runtime.uncertainty(solution.prepared, vertices, offsets, targets)
        if self.known is None:
            self.known = vertices.new_zeros(vertices.shape[:2])
        self.known[:, targets] = spread

    def _choose(self, vertices: int, device: torch.device) -> torch.Tensor:
        """Whose turn it is, (T,) int64."""
        if self.known is None:
            return torch.arange(vertices, device=device)
        targets = torch.arange(self._turn % RENEWED, vertices, RENEWED, device=device)
        self._turn += 1
        return targets

    def _perturbations(self, count: int, vertices: torch.Tensor) -> torch.Tensor:
        if self._offsets is None or self._offsets.shape[:2] != (count, vertices.shape[1]):
            self._offsets = perturbations(count, vertices.shape[1]).to(vertices.device)
        return self._offsets


def dense_mesh(
    runtime: Runtime, vertices: torch.Tensor, spread: torch.Tensor | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The body's vertices (N, 3) and their spread (N,) or None, crop frame, from those that descended, (1, K, 3) and
    (1, K)."""
    if spread is None:
        return np.ascontiguousarray(runtime.dense(vertices)[0]), None
    dense = runtime.dense(torch.cat([vertices, spread[..., None]], -1))[0]
    bounded = dense[:, 3].clip(float(spread.min()), float(spread.max()))  # mixes reach beyond what they mix
    return np.ascontiguousarray(dense[:, :3]), bounded
