"""The live backbone: a small residual encoder and a pyramid that brings what it saw back to stride 4."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def conv(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm (folded into it at run time), ReLU."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)
    )


CONTEXT_STAGE = 2  # works at stride 16


class Pointwise(nn.Conv2d):
    """A 1×1 convolution, and what is to be added to it (and may be overwritten)."""

    def forward(self, x: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        y = super().forward(x)
        return y if plus is None else y + plus


def pointwise(weight: torch.Tensor, bias: torch.Tensor) -> Pointwise:
    """From its weight (D, C) and bias (D,)."""
    conv = Pointwise(weight.shape[1], len(weight), 1)
    conv.weight, conv.bias = nn.Parameter(weight[..., None, None]), nn.Parameter(bias)
    return conv


def then(conv: nn.Conv2d, weight: torch.Tensor) -> Pointwise:
    """A 1×1 convolution and a linear map (D, C) after it, as one."""
    return pointwise(weight @ conv.weight.detach().flatten(1), weight @ conv.bias.detach())


class Block(nn.Module):
    """Two 3×3 convolutions and the input, added."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = conv(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.second(self.first(x)))


class FPN(nn.Module):
    """Picture (B, C, S, S), S a multiple of 32, evidence maps (B, E, S/4, S/4) and context maps (B, X, S/16, S/16), either of which may be None -> features (B, width, S/4, S/4) and a vector about the whole (B, whole)."""

    stride = 4

    def __init__(
        self,
        c_in: int = 4,
        conditioning: int = 0,
        context: int = 0,
        width: int = 96,
        whole: int = 256,
        widths: tuple[int, ...] = (64, 96, 160, 256),
        blocks: tuple[int, ...] = (1, 1, 2, 2),
    ):
        super().__init__()
        self.channels, self.whole, self.conditioning_channels, self.context_channels = (
            width,
            whole,
            conditioning,
            context,
        )
        self.stem = nn.Sequential(conv(c_in, 32, stride=2), conv(32, widths[0], stride=2))
        self.merge = conv(widths[0] + conditioning, widths[0], 1)
        self.shrinks = nn.ModuleList(
            conv(widths[i - 1], c, stride=2) if i else nn.Identity() for i, c in enumerate(widths)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(c) for _ in range(n))) for c, n in zip(widths, blocks, strict=True)
        )
        self.context = nn.Conv2d(context, widths[CONTEXT_STAGE], 1) if context else None
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in widths)
        self.smooth = nn.ModuleList(conv(width, width) for _ in widths[:-1])
        self.summary = nn.Sequential(nn.Linear(widths[-1], whole), nn.ReLU(inplace=True))
        self.out = nn.Conv2d(width, width, 1)

    def forward(
        self, picture: torch.Tensor, conditioning: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.stem(picture)
        if self.conditioning_channels:
            if conditioning is None:
                conditioning = x.new_zeros(len(x), self.conditioning_channels, *x.shape[-2:])
            x = torch.cat([x, conditioning.to(x.dtype)], 1)
        x = self.merge(x)
        levels = []
        for i, (shrink, stage) in enumerate(zip(self.shrinks, self.stages, strict=True)):
            x = shrink(x)
            if i == CONTEXT_STAGE and self.context is not None:
                x = x + self.context(
                    x.new_zeros(len(x), self.context_channels, *x.shape[-2:])
                    if context is None
                    else context.to(x.dtype)
                )
            x = stage(x)
            levels.append(x)
        y = self.laterals[-1](levels[-1])
        for level, lateral, smooth in zip(
            levels[-2::-1], list(self.laterals)[-2::-1], list(self.smooth)[::-1], strict=True
        ):
            y = smooth(lateral(level) + F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False))
        return self.out(y), self.summary(levels[-1].mean((2, 3)))

    def absorb(self, weight: torch.Tensor) -> FPN:
        """Changed so that it gives weight · features, weight (D, width): its last layer is linear."""
        self.out = then(self.out, weight)
        return self
