"""What a backbone makes of a crop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


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
