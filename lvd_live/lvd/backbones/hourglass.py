"""The paper's backbone: a stack of four hourglasses with group norm (Newell et al. 2016, as in PIFu and LVD)."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import nn

from lvd_live.lvd.backbones.fpn import pointwise, then
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
    """(2n, n): n values in a row as 2n, bicubic, corners aligned."""
    identity = torch.eye(n, device=device)[None, :, :, None]
    with torch.inference_mode(False), torch.no_grad():
        return (
            F.interpolate(identity.clone(), size=(2 * n, 1), mode="bicubic", align_corners=True)[0, :, :, 0]
            .T.to(dtype)
            .contiguous()
        )


def upsample(x: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) -> (B, C, 2H, 2W): `F.interpolate`, bicubic, corners aligned, as a matrix product along each side."""
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


class StackedHourglass(nn.Module):
    """Picture (B, C, S, S) -> features (B, stacks·width, S/2, S/2): the outputs of all stacks, concatenated; no vector about the whole.

    evidence channels, if any, are maps at the same stride 2, added after the stem; it takes no context.
    """

    stride = 2

    def __init__(
        self, c_in: int = 4, conditioning: int = 0, context: int = 0, stacks: int = 4, width: int = 256, depth: int = 2
    ):
        super().__init__()
        self.channels, self.whole = stacks * width, 0
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
            x = x + self.conditioning(conditioning)
        features = []
        for i, (hourglass, tail, output) in enumerate(zip(self.hourglasses, self.tails, self.outputs, strict=True)):
            y = tail(hourglass(x))
            features.append(output(y))
            if i < len(self.back_features):
                x = x + self.back_features[i](y) + self.back_outputs[i](features[-1])
        return torch.cat(features, 1), None

    def absorb(self, weight: torch.Tensor) -> Absorbed:
        """One that gives weight · features, weight (D, stacks·width)."""
        return Absorbed(self, weight)


class Absorbed(nn.Module):
    """A stack of hourglasses and a linear map (D, stacks·width) of its features. Each stack's tail is linear after its ReLU: what leaves it, and what goes back, is one 1×1 convolution each.

    last: all that leaves, as one layer from every stack's tail (stacks·width) to D; where `deferred` is set, it is left to whoever looks at a pixel.
    """

    stride, whole = StackedHourglass.stride, 0

    def __init__(self, stacked: StackedHourglass, weight: torch.Tensor):
        super().__init__()
        self.channels, self.deferred = len(weight), False
        self.stem, self.conditioning, self.hourglasses, self.tails = (
            stacked.stem,
            stacked.conditioning,
            stacked.hourglasses,
            stacked.tails,
        )
        outputs = [
            then(output, part)
            for output, part in zip(stacked.outputs, weight.chunk(len(stacked.outputs), 1), strict=True)
        ]
        self.last = nn.Linear(weight.shape[1], len(weight))
        self.last.weight, self.last.bias = (
            nn.Parameter(torch.cat([o.weight.flatten(1) for o in outputs], 1)),
            nn.Parameter(sum(o.bias for o in outputs)),
        )
        self.backs = nn.ModuleList()
        for output, from_features, from_output in zip(stacked.outputs, stacked.back_features, stacked.back_outputs):
            through = then(output, from_output.weight.detach().flatten(1))
            merged = [
                (a + b).detach()
                for a, b in (
                    (from_features.weight, through.weight),
                    (from_features.bias + from_output.bias, through.bias),
                )
            ]
            self.backs.append(pointwise(merged[0].flatten(1), merged[1]))

    def forward(
        self, picture: torch.Tensor, conditioning: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor | LazyFeatureMap, None]:
        x = self.stem(picture)
        if self.conditioning is not None and conditioning is not None:
            x = x + self.conditioning(conditioning)
        tails = []
        for i, (hourglass, tail) in enumerate(zip(self.hourglasses, self.tails, strict=True)):
            tails.append(tail(hourglass(x)))
            if i < len(self.backs):
                x = self.backs[i](tails[-1], plus=x)
        if self.deferred:
            return LazyFeatureMap(tuple(tails), self.last), None
        return F.conv2d(torch.cat(tails, 1), self.last.weight[..., None, None], self.last.bias), None
