"""What a backbone makes of a crop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LazyFeatureMap:
    """A map (B, D, S, S) of which a pixel is made when somebody looks at it: a person covers a fifth of the crop. parts, each (B, C_i, S, S), channels last; layer: (P, ΣC_i) -> (P, D), a pixel's parts as its feature."""

    parts: tuple[torch.Tensor, ...]
    layer: Callable[[torch.Tensor], torch.Tensor]

    @property
    def shape(self) -> torch.Size:
        """Of one of the parts."""
        return self.parts[0].shape

    def pixels(self, index: torch.Tensor) -> torch.Tensor:
        """Those of `index` (P,), counted row by row, picture by picture: (P, D)."""
        return self.layer(
            torch.cat([part.permute(0, 2, 3, 1).flatten(0, 2).index_select(0, index) for part in self.parts], 1)
        )


@dataclass(frozen=True)
class CropFeatures:
    """What is known of a crop. features (B, C, H, W), or how to make them; whole (B, G): the picture as a whole, or None; landmarks (B, L, 4: x, y, depth, confidence; crop frame), or None."""

    features: torch.Tensor | LazyFeatureMap
    whole: torch.Tensor | None = None
    landmarks: torch.Tensor | None = None
