"""The uncertainty of every vertex, from that of a few, which ranks errors as well as that of all."""

from __future__ import annotations

import functools

import numpy as np
import torch

from lvd_live.lvd.coarse import Coarse
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.uncertainty import perturbations
from lvd_live.tracking.solver import Solution


def spread_of(runtime: Runtime, coarse: Coarse, solution: Solution, count: int) -> torch.Tensor | None:
    """U(v) of Eq. 3 of the vertices that descend, (1, K) float32 crop units, from `count` perturbations of a few of
    them; None where count is 0."""
    if not count:
        return None
    few = solution.spread
    if few is None:
        assert solution.prepared is not None, "a solution without the uncertainty says what may be asked of it"
        offsets = _offsets(count, solution.vertices.shape[1], runtime.device)
        few = runtime.uncertainty(solution.prepared, solution.vertices, offsets, coarse.targets)
    return coarse.over_all(few[..., None])[..., 0]


@functools.lru_cache(4)
def _offsets(count: int, vertices: int, device: torch.device) -> torch.Tensor:
    return perturbations(count, vertices).to(device)


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
