"""What the networks for pictures and for scans have in common: which of a body's vertices they serve."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def mixed(vertices: torch.Tensor, columns: torch.Tensor, mix: torch.Tensor) -> torch.Tensor:
    """Weighted sums (B, N, C) of rows of (B, K, C): which, columns (N, J) int64, and weights, mix (N, J) float32."""
    B, K, C = vertices.shape
    rows = vertices.transpose(0, 1).reshape(K, B * C)
    sums = F.embedding_bag(columns, rows, per_sample_weights=mix, mode="sum")
    return sums.unflatten(1, (B, C)).transpose(0, 1)


class MeshNetwork(nn.Module):
    """A network that moves a mesh's vertices, all of them or those that the others follow from.

    control : (K,) int64, which of the body's N vertices the head serves; None for all of the preset's.
    columns, mix : (N, 8) int64 and float32, each body vertex as a weighted sum of control vertices (`dense`); None
        where the control vertices are the body's.
    """

    control: torch.Tensor
    columns: torch.Tensor | None
    mix: torch.Tensor | None

    def __init__(
        self,
        name: str,
        vertices: int,
        control: torch.Tensor | None,
        columns: torch.Tensor | None,
        mix: torch.Tensor | None,
    ):
        super().__init__()
        if control is not None and len(control) != vertices:
            raise ValueError(f"preset {name} moves {vertices} vertices, not {len(control)}")
        self.register_buffer("control", torch.arange(vertices) if control is None else control.long())
        self.register_buffer("columns", None if columns is None else columns.long())
        self.register_buffer("mix", None if mix is None else mix.float())

    def dense(self, vertices: torch.Tensor) -> torch.Tensor:
        """The body's vertices (B, N, C) from those that the head serves (B, K, C)."""
        if self.columns is None:
            return vertices
        assert self.mix is not None
        return mixed(vertices, self.columns, self.mix)
