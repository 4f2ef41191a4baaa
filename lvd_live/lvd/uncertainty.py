"""Uncertainty: how far apart one step of descent leaves vertices that started around one place."""

from __future__ import annotations

import torch

from lvd_live.lvd.folded_field import FoldedField, PreparedCrop

SIGMA = (
    0.05  # half crops: of 0.02, 0.05, 0.1 and 0.2 the one whose U(v) ranks the errors of held-out synthetic people best
)


def perturbations(count: int, vertices: int, sigma: float = SIGMA) -> torch.Tensor:
    """Offsets (count, vertices, 3), half crops, normal with standard deviation sigma; always the same, so that a picture has one uncertainty. Around each vertex their mean is 0."""
    offsets = torch.randn(count, vertices, 3, generator=torch.Generator().manual_seed(0))
    return sigma * (offsets - offsets.mean(0))


def spread(
    field: FoldedField, prepared: PreparedCrop, vertices: torch.Tensor, offsets: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """U(v) of Eq. 3, half crops: the standard deviation over the ends of one step from v + offset.

    vertices (B, N, 3): where descent ended. offsets (M, N, 3): see `perturbations`. targets (T,) int64: whose uncertainty is asked. Returns (B, T) float32.
    """
    start = vertices[:, None, targets] + offsets[None, :, targets]  # (B, M, T, 3)
    end = start + field.diagonal(start.flatten(1, 2), prepared, targets).view_as(start)
    return end.var(1).sum(-1).sqrt()
