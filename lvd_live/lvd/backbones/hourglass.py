"""The paper's backbone: a stack of four hourglasses with group norm (Newell et al. 2016, as in PIFu and LVD)."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import nn

from lvd_live.lvd.backbones.base import Backbone, pointwise, then, weights_of
from lvd_live.lvd.features import LazyFeatureMap


class NormReLU(nn.GroupNorm):
    """ReLU(group norm(x))."""

    def __init__(self, channels: int):
        super().__init__(min(32, channels), channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(super().forward(x), inplace=True)


class Residual(nn.Module):
    """Three pre-activated 3×3 convolutions of widths o/2, o/4, o/4, concatenated, plus the input."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        widths = (c_out // 2, c_out // 4, c_out // 4)
        inputs = (c_in, *widths[:2])
        self.norms = nn.ModuleList(NormReLU(c) for c in inputs)
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in zip(inputs, widths, strict=True)
        )
        self.skip = (
            nn.Identity() if c_in == c_out else nn.Sequential(NormReLU(c_in), nn.Conv2d(c_in, c_out, 1, bias=False))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts, y = [], x
        for normalise, conv in zip(self.norms, self.convs, strict=True):
            y = conv(normalise(y))
            parts.append(y)
        return torch.cat(parts, 1).add_(self.skip(x))


@functools.lru_cache
def bicubic_matrix(n: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """(2n, n): from n values in a row to 2n, bicubic, corners aligned."""
    with torch.inference_mode(False), torch.no_grad():
        identity = torch.eye(n, device=device)[None, :, :, None]
        matrix = F.interpolate(identity, size=(2 * n, 1), mode="bicubic", align_corners=True)[0, :, :, 0].T
        return matrix.to(dtype).contiguous()


def upsample(x: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) -> (B, C, 2H, 2W) as `F.interpolate` does it, bicubic, corners aligned.

    Written as a matrix product along each side.
    """
    down, along = (bicubic_matrix(n, x.device, x.dtype) for n in x.shape[2:])
    rows = (down @ x.permute(0, 2, 3, 1).flatten(2)).unflatten(2, (x.shape[3], x.shape[1]))
    return (along @ rows).permute(0, 3, 1, 2)


class Hourglass(nn.Module):
    """One hourglass: average-pool down, residual blocks, bicubic up, `depth` times nested."""

    def __init__(self, channels: int, depth: int):
        super().__init__()
        self.across, self.down, self.up = (Residual(channels, channels) for _ in range(3))
        self.inner = Hourglass(channels, depth - 1) if depth > 1 else Residual(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.up(self.inner(self.down(F.avg_pool2d(x, 2))))
        return self.across(x).add_(upsample(y))


class StackedHourglass(Backbone):
    """Features at stride 2: the outputs of all stacks, concatenated; nothing about the whole, no context.

    conditioning : channels of the conditioning maps, which a 1×1 convolution adds to the stem's output.
    stacks, width, depth : hourglasses in a row, their channels, and how many times each is nested.
    """

    stride = 2

    def __init__(
        self, c_in: int = 4, conditioning: int = 0, context: int = 0, stacks: int = 4, width: int = 256, depth: int = 2
    ):
        super().__init__()
        self.channels, self.conditioning_channels = stacks * width, conditioning
        self.stem = nn.Sequential(
            nn.Conv2d(c_in, 64, 7, stride=2, padding=3),
            NormReLU(64),
            Residual(64, 128),
            Residual(128, 128),
            Residual(128, width),
        )
        self.conditioning = nn.Conv2d(conditioning, width, 1, bias=False) if conditioning else None
        self.hourglasses = nn.ModuleList(Hourglass(width, depth) for _ in range(stacks))
        self.tails = nn.ModuleList(
            nn.Sequential(Residual(width, width), nn.Conv2d(width, width, 1), NormReLU(width)) for _ in range(stacks)
        )
        self.outputs = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks))
        self.back_features = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks - 1))
        self.back_outputs = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks - 1))

    def forward(
        self, picture: torch.Tensor, conditioning: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, None]:
        x = self.stem(picture)
        if self.conditioning is not None and conditioning is not None:
            x = x + self.conditioning(conditioning.to(x.dtype))
        features = []
        for i, (hourglass, tail, output) in enumerate(zip(self.hourglasses, self.tails, self.outputs, strict=True)):
            y = tail(hourglass(x))
            features.append(output(y))
            if i < len(self.back_features):
                x = x + self.back_features[i](y) + self.back_outputs[i](features[-1])
        return torch.cat(features, 1), None

    def absorb(self, weight: torch.Tensor) -> AbsorbedHourglass:
        """See `Backbone.absorb`; weight (D, stacks·width). The result shares layers with `self`."""
        return AbsorbedHourglass(self, weight)


class AbsorbedHourglass(Backbone):
    """A `StackedHourglass` and a linear map (D, stacks·width) of its features.

    Each stack's tail is followed by linear layers only: its features, and what goes back into the next stack, are one
    1×1 convolution each.

    last : the features as one layer, from all stacks' tails (stacks·width) to D.
    lazy : give a `LazyFeatureMap`, whose pixels `last` makes on request.
    """

    stride = StackedHourglass.stride

    def __init__(self, stacked: StackedHourglass, weight: torch.Tensor):
        super().__init__()
        self.channels, self.conditioning_channels, self.lazy = len(weight), stacked.conditioning_channels, False
        self.stem, self.conditioning = stacked.stem, stacked.conditioning
        self.hourglasses, self.tails = stacked.hourglasses, stacked.tails
        parts = zip(stacked.outputs, weight.chunk(len(stacked.outputs), 1), strict=True)
        weights, biases = zip(*(weights_of(then(output, part)) for output, part in parts), strict=True)
        self.last = nn.Linear(weight.shape[1], len(weight))
        self.last.weight = nn.Parameter(torch.cat(weights, 1))
        self.last.bias = nn.Parameter(sum(biases[1:], biases[0]))
        self.backs = nn.ModuleList()
        for layers in zip(stacked.outputs[:-1], stacked.back_features, stacked.back_outputs, strict=True):
            (w_output, b_output), (w_features, b_features), (w_back, b_back) = map(weights_of, layers)
            self.backs.append(pointwise(w_features + w_back @ w_output, b_features + b_back + w_back @ b_output))

    def forward(
        self, picture: torch.Tensor, conditioning: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor | LazyFeatureMap, None]:
        x = self.stem(picture)
        if self.conditioning is not None and conditioning is not None:
            x = x + self.conditioning(conditioning.to(x.dtype))
        tails = []
        for i, (hourglass, tail) in enumerate(zip(self.hourglasses, self.tails, strict=True)):
            tails.append(tail(hourglass(x)))
            if i < len(self.backs):
                x = self.backs[i](tails[-1], plus=x)
        if self.lazy:
            return LazyFeatureMap(tuple(tails), self.last), None
        return F.conv2d(torch.cat(tails, 1), self.last.weight[..., None, None], self.last.bias), None
