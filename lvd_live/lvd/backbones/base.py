"""What a backbone must offer."""

from __future__ import annotations

import torch
from torch import nn

from lvd_live.lvd.features import LazyFeatureMap

CONTEXT_STRIDE = 16


class Backbone(nn.Module):
    """From a crop to the features that the field reads; see `backbones` about adding one.

    stride : the feature map's, pixels of the crop per cell.
    channels : C, of the feature map.
    whole : G, length of the vector about the whole picture; 0 for none.
    conditioning_channels : E, of the conditioning maps, which have the feature map's stride; 0 for none.
    context_channels : X, of the context maps at stride 16; 0 for none.
    """

    stride: int
    channels: int
    whole: int = 0
    conditioning_channels: int = 0
    context_channels: int = 0

    def forward(
        self, picture: torch.Tensor, conditioning: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor | LazyFeatureMap, torch.Tensor | None]:
        """Encode crops.

        picture : (B, 4, S, S), see `network.network_input`.
        conditioning : (B, E, S/stride, S/stride), or None, which must give what zeros give.
        context : (B, X, S/16, S/16), or None, which must give what zeros give.
        Returns features (B, C, S/stride, S/stride), and (B, G) about the whole or None.
        """
        raise NotImplementedError

    def absorb(self, weight: torch.Tensor) -> Backbone:
        """A backbone that gives weight · features instead, weight (D, C): the field's first layer moved into this one.

        For a backbone whose last layer is a 1×1 convolution, that layer becomes `then(layer, weight)`. May change
        `self`.
        """
        raise NotImplementedError


class Pointwise(nn.Conv2d):
    """A 1×1 convolution, and what is to be added to it (and may be overwritten)."""

    def forward(self, x: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        y = super().forward(x)
        return y if plus is None else y + plus


def pointwise(weight: torch.Tensor, bias: torch.Tensor) -> Pointwise:
    """A 1×1 convolution from its weight (D, C) and bias (D,)."""
    layer = Pointwise(weight.shape[1], len(weight), 1)
    layer.weight, layer.bias = nn.Parameter(weight[..., None, None]), nn.Parameter(bias)
    return layer


def weights_of(layer: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (D, C) and bias (D,) of a 1×1 convolution. Raises TypeError for any other layer, or one without a bias."""
    if not isinstance(layer, nn.Conv2d) or layer.kernel_size != (1, 1) or layer.bias is None:
        raise TypeError(f"{layer} is not a 1×1 convolution with a bias")
    return layer.weight.detach().flatten(1), layer.bias.detach()


def then(layer: nn.Module, weight: torch.Tensor) -> Pointwise:
    """A 1×1 convolution with a bias and a linear map (D, C) after it, as one convolution."""
    inner, bias = weights_of(layer)
    return pointwise(weight @ inner, weight @ bias)
