"""Descent: move every vertex by the field until the mesh stands still."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch

from lvd_live.lvd.features import Features
from lvd_live.lvd.field import Field

P = TypeVar("P", contravariant=True)


class Diagonal(Protocol[P]):
    """A field on its diagonal: `folded_field.FoldedField` on prepared crops, or `field.Field` on any features."""

    def diagonal(self, points: torch.Tensor, prepared: P, /) -> torch.Tensor:
        """From point i to vertex i: points (B, N, 3) -> Δ (B, N, 3)."""
        ...

    def diagonal_from_point(self, point: torch.Tensor, prepared: P, /) -> torch.Tensor:
        """From one point (B, 3) to all vertices: Δ (B, N, 3)."""
        ...


@dataclass(frozen=True)
class Descent:
    """The result of a descent.

    vertices : (B, N, 3) float32, the frame of the features: of a crop, or of a volume's cube.
    steps : of each iteration the mean displacement, that frame's units; of a batch, the largest among its pictures.
    """

    vertices: torch.Tensor
    steps: tuple[float, ...]


def iterate(
    field: Diagonal[P], prepared: P, start: torch.Tensor, relaxation: float = 1.0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Learned Vertex Descent: v_i ← v_i + ω Δv_i (Eq. 2, where ω, the relaxation, is 1), without end.

    Yields after each iteration the vertices (B, N, 3), in the features' frame, and their mean displacement (B,).

    start : (B, N, 3) a mesh, or (B, 3) one point where every vertex begins; that first iteration is cheaper.
    """
    v = start
    while True:
        delta = field.diagonal_from_point(v, prepared) if v.ndim == 2 else field.diagonal(v, prepared)
        delta = relaxation * delta
        v = (v[:, None] if v.ndim == 2 else v) + delta
        yield v, delta.norm(dim=-1).mean(-1)


def descend(
    field: Diagonal[P],
    prepared: P,
    start: torch.Tensor,
    *,
    iterations: int,
    tolerance: float = 0.0,
    relaxation: float = 1.0,
    first: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Descent:
    """`iterate` from `start`, `iterations` times or until the vertices move by less than `tolerance` on average.

    first : Δ (B, N, 3) of the start, a mesh (B, N, 3), for an iteration before those of the field, which are one fewer
    then, but one at least. See `coarse`.
    """
    vertices, steps = start, []
    if first is not None:
        delta = relaxation * first(start)
        vertices, steps = start + delta, [float(delta.norm(dim=-1).mean(-1).max())]
    for moved, step in itertools.islice(
        iterate(field, prepared, vertices, relaxation), max(iterations - len(steps), 1)
    ):
        vertices = moved
        steps.append(float(step.max()))
        if steps[-1] < tolerance:
            break
    return Descent(vertices, tuple(steps))


def descend_reference(
    field: Field, evidence: Features, start: torch.Tensor, *, iterations: int, relaxation: float = 1.0
) -> torch.Tensor:
    """The paper's formula word for word: every point asks for every vertex, and the diagonal is kept.

    What `descend` is tested against. start and result (B, N, 3), crop frame.
    """
    targets = torch.arange(field.vertices, device=start.device)
    v = start
    for _ in range(iterations):
        v = v + relaxation * field(v, evidence, targets).diagonal(dim1=1, dim2=2).transpose(1, 2)
    return v
