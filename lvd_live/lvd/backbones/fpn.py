"""The live backbone: a small residual encoder, and a feature pyramid that brings its levels back to stride 4."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from lvd_live.lvd.backbones.base import Backbone, then

CONTEXT_STAGE = 2  # the stage of stride 16


def conv(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm (folded into it at run time), ReLU."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)
    )


class Block(nn.Module):
    """A residual block: ReLU(x + two 3×3 convolutions of x)."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = conv(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.second(self.first(x)))


class FPN(Backbone):
    """Features at stride 4 and a vector about the whole picture; see `Backbone`. S is a multiple of 32.

    width : C, channels of the feature map.
    whole : G, length of the vector about the whole.
    widths, blocks : channels and residual blocks of the encoder's stages, at strides 4, 8, 16 and 32.
    """

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
        self.channels, self.whole = width, whole
        self.conditioning_channels, self.context_channels = conditioning, context
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
        levels = self._encode(self._merge(self.stem(picture), conditioning), context)
        y = self.laterals[-1](levels[-1])
        finer = zip(levels[-2::-1], list(self.laterals)[-2::-1], list(self.smooth)[::-1], strict=True)
        for level, lateral, smooth in finer:
            coarser = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            y = smooth(lateral(level) + coarser)
        return self.out(y), self.summary(levels[-1].mean((2, 3)))

    def _merge(self, x: torch.Tensor, conditioning: torch.Tensor | None) -> torch.Tensor:
        """The stem's output and the conditioning maps as one."""
        if self.conditioning_channels:
            if conditioning is None:
                conditioning = x.new_zeros(len(x), self.conditioning_channels, *x.shape[-2:])
            x = torch.cat([x, conditioning.to(x.dtype).contiguous(memory_format=torch.channels_last)], 1)
        return self.merge(x)

    def _encode(self, x: torch.Tensor, context: torch.Tensor | None) -> list[torch.Tensor]:
        """The encoder's levels, at strides 4, 8, 16 and 32."""
        levels = []
        for i, (shrink, stage) in enumerate(zip(self.shrinks, self.stages, strict=True)):
            x = shrink(x)
            if i == CONTEXT_STAGE and self.context is not None:
                if context is None:
                    context = x.new_zeros(len(x), self.context_channels, *x.shape[-2:])
                x = x + self.context(context.to(x.dtype))
            x = stage(x)
            levels.append(x)
        return levels

    def absorb(self, weight: torch.Tensor) -> FPN:
        """See `Backbone.absorb`; changes and returns `self`."""
        self.out = then(self.out, weight)
        return self
