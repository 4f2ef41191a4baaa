"""Descent: move every vertex by the field until the mesh stands still."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from lvd_live.lvd.features import CropFeatures
from lvd_live.lvd.field import Field
from lvd_live.lvd.folded_field import FoldedField, PreparedCrop


@dataclass(frozen=True)
class Descent:
    """What a descent did. vertices (B, N, 3), crop frame; steps: the mean displacement of each iteration, crop units (one number a picture is not kept: the batch's largest)."""

    vertices: torch.Tensor
    steps: tuple[float, ...]


def iterate(
    field: FoldedField, prepared: PreparedCrop, start: torch.Tensor, relaxation: float = 1.0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Learned Vertex Descent: v_i ← v_i + ω Δv_i (Eq. 2, where ω, the relaxation, is 1), again and again: the vertices (B, N, 3) and their mean displacement (B,) after each iteration.

    start : (B, N, 3) a mesh, or (B, 3) one point where every vertex begins (the first iteration then costs one hidden vector).
    """
    v = start
    while True:
        delta = field.diagonal_from_point(v, prepared) if v.ndim == 2 else field.diagonal(v, prepared)
        delta = relaxation * delta
        v = (v[:, None] if v.ndim == 2 else v) + delta
        yield v, delta.norm(dim=-1).mean(-1)


def descend(
    field: FoldedField,
    prepared: PreparedCrop,
    start: torch.Tensor,
    *,
    iterations: int,
    tolerance: float = 0.0,
    relaxation: float = 1.0,
) -> Descent:
    """`iterate` from `start` until `iterations` are done, or as soon as one moves the vertices by less than `tolerance` on average."""
    steps: list[float] = []
    for v, step in itertools.islice(iterate(field, prepared, start, relaxation), iterations):
        steps.append(float(step.max()))
        if steps[-1] < tolerance:
            break
    return Descent(v, tuple(steps))


def descend_reference(
    field: Field, seen: CropFeatures, start: torch.Tensor, *, iterations: int, relaxation: float = 1.0
) -> torch.Tensor:
    """The paper's formula to the letter: every point asks for every vertex, and the diagonal is kept. start (B, N, 3). The reference that `descend` must equal."""
    everyone = torch.arange(field.vertices, device=start.device)
    v = start
    for _ in range(iterations):
        v = v + relaxation * field(v, seen, everyone).diagonal(dim1=1, dim2=2).transpose(1, 2)
    return v
