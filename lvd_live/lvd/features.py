"""What a backbone makes of a crop, and what the field asks of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F


class Features(Protocol):
    """What the field reads: of a crop (`CropFeatures`) or of a volume (`volume.features.VolumeFeatures`).

    whole : (B, G), a vector about the whole; None where the backbone gives none.
    landmarks : (B, L, 4: x, y, depth, confidence), crop frame; None without that conditioning.
    """

    @property
    def whole(self) -> torch.Tensor | None: ...

    @property
    def landmarks(self) -> torch.Tensor | None: ...

    def at(self, points: torch.Tensor) -> torch.Tensor:
        """The aligned features (B, M, C) float32 of points (B, M, 3)."""
        ...


def sample(features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Read a feature map (B, C, H, W) at points (B, M, 2 or 3), crop frame: bilinear, zero outside.

    Returns (B, M, C) float32. The grid is never half precision, which would be off by half a pixel.
    """
    grid = points[:, None, :, :2] * points.new_tensor([1.0, -1.0])
    return F.grid_sample(features.float(), grid, align_corners=False)[:, :, 0].transpose(1, 2)


@dataclass(frozen=True)
class LazyFeatureMap:
    """A feature map (B, D, S, S) whose pixels are computed on request: a person covers a fifth of a crop.

    parts : each (B, C_i, S, S), channels last.
    layer : (P, ΣC_i) -> (P, D), a pixel's feature from its parts, concatenated.
    """

    parts: tuple[torch.Tensor, ...]
    layer: Callable[[torch.Tensor], torch.Tensor]

    @property
    def shape(self) -> torch.Size:
        """(B, C_0, S, S): that of the first part."""
        return self.parts[0].shape

    def pixels(self, index: torch.Tensor) -> torch.Tensor:
        """Features (P, D) of the pixels `index` (P,) int64, counted picture by picture and row by row."""
        rows = [part.permute(0, 2, 3, 1).flatten(0, 2) for part in self.parts]
        return self.layer(torch.cat([part.index_select(0, index) for part in rows], 1))


@dataclass(frozen=True)
class CropFeatures:
    """What is known of a batch of crops, from which the field reads.

    features : (B, C, S, S), the feature map; lazy where only `FoldedField.prepare` is to read it.
    whole : (B, G), a vector about the whole picture; None where the backbone gives none.
    landmarks : (B, L, 4: x, y, depth, confidence), crop frame; None without that conditioning.
    """

    features: torch.Tensor | LazyFeatureMap
    whole: torch.Tensor | None = None
    landmarks: torch.Tensor | None = None

    @property
    def feature_map(self) -> torch.Tensor:
        """`features` as a tensor. Raises TypeError for a lazy map."""
        if isinstance(self.features, LazyFeatureMap):
            raise TypeError("a lazy feature map is read by FoldedField.prepare alone")
        return self.features

    def at(self, points: torch.Tensor) -> torch.Tensor:
        """See `Features.at`: the projection is orthographic, along the crop frame's z."""
        return sample(self.feature_map, points)
