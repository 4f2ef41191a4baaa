"""Backbones for volumes: from voxels to features at several scales."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from lvd_live.lvd.volume.features import VolumeFeatures

GROUP = 8  # channels, at least, that group norm treats as one


class Pyramid(nn.Module):
    """From a volume (B, 1, S, S, S) to `VolumeFeatures`.

    channels : C, of an aligned feature. whole : G, length of the vector about the whole; 0 for none.
    multiple : what S must be a multiple of.
    """

    channels: int
    whole: int = 0
    multiple: int

    def forward(self, volume: torch.Tensor) -> VolumeFeatures:
        raise NotImplementedError


class Conv(nn.Conv3d):
    """A 3×3×3 convolution, in float32 on volumes that are smaller than its kernel.

    There oneDNN's bfloat16 gives a wrong gradient of the kernel: 160 channels on 2³ voxels, PyTorch 2.13.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1):
        super().__init__(c_in, c_out, 3, stride, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] >= 3:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def conv(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    """3×3×3 convolution and group norm."""
    layer = Conv(c_in, c_out, stride)
    return nn.Sequential(layer, nn.GroupNorm(max(1, c_out // GROUP // 2), c_out))


class Block(nn.Module):
    """A residual block: ReLU(x + two 3×3×3 convolutions of x)."""

    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = conv(channels, channels), conv(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class ScanPyramid(Pyramid):
    """For a CPU: 2×2×2 voxels become channels, then a residual encoder and a top-down path; S a multiple of 16.

    Features at S/2 (the stem's), S/4, S/8 and S/16, S being the volume's side in voxels.

    stem : channels at S/2. widths, blocks : of the encoder's stages at S/4, S/8 and S/16. width : of the top-down path.
    whole : G.
    """

    multiple = 16

    def __init__(
        self,
        stem: int = 16,
        widths: tuple[int, ...] = (48, 96, 160),
        blocks: tuple[int, ...] = (1, 2, 2),
        width: int = 48,
        whole: int = 128,
    ):
        super().__init__()
        self.channels, self.whole = stem + width * len(widths), whole
        self.stem = conv(8, stem)
        inputs = (stem, *widths)
        self.shrinks = nn.ModuleList(conv(inputs[i], c, stride=2) for i, c in enumerate(widths))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(c) for _ in range(n))) for c, n in zip(widths, blocks, strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv3d(c, width, 1) for c in widths)
        self.smooth = nn.ModuleList(conv(width, width) for _ in widths[:-1])
        self.summary = nn.Linear(widths[-1], whole)

    def forward(self, volume: torch.Tensor) -> VolumeFeatures:
        x = F.relu(self.stem(space_to_channels(volume)))
        stem, levels = x, []
        for shrink, stage in zip(self.shrinks, self.stages, strict=True):
            x = stage(F.relu(shrink(x)))
            levels.append(x)
        whole = F.relu(self.summary(x.mean((2, 3, 4))))
        y = self.laterals[-1](levels[-1])
        path = [y]
        finer = zip(levels[-2::-1], list(self.laterals)[-2::-1], list(self.smooth)[::-1], strict=True)
        for level, lateral, smooth in finer:
            y = F.relu(smooth(lateral(level) + F.interpolate(y, scale_factor=2, mode="nearest")))
            path.append(y)
        return VolumeFeatures((stem, *path[::-1]), whole)


def space_to_channels(volume: torch.Tensor) -> torch.Tensor:
    """Volumes (B, C, S, S, S) as (B, 8·C, S/2, S/2, S/2), channels last in memory: 2×2×2 voxels become channels."""
    B, C, S = volume.shape[:3]
    H = S // 2
    cells = volume.view(B, C, H, 2, H, 2, H, 2).permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(B, H, H, H, 8 * C)
    return cells.permute(0, 4, 1, 2, 3)


class PaperPyramid(Pyramid):
    """The paper's volumetric backbone (§4.1; IF-Net's idea): 128³ voxels, eight levels, no vector about the whole.

    Pairs of 3×3×3 convolutions with weight norm and ReLU at 64³ (the first with stride 2), 32³, 16³, 8³, 4³, 2³ and 1³,
    with maxima of 2×2×2 between them; the aligned feature is the volume's own value and each pair's output.
    """

    multiple = 128
    widths = (32, 64, 96, 128, 128, 128, 128)

    def __init__(self) -> None:
        super().__init__()
        self.channels = 1 + sum(self.widths)
        inputs = (1, *self.widths)
        self.pairs = nn.ModuleList(
            nn.Sequential(
                weight_norm(nn.Conv3d(c_in, c_out, 3, stride=1 if i else 2, padding=1)),
                nn.ReLU(),
                weight_norm(nn.Conv3d(c_out, c_out, 3, padding=1)),
                nn.ReLU(),
            )
            for i, (c_in, c_out) in enumerate(zip(inputs, self.widths, strict=False))
        )

    def forward(self, volume: torch.Tensor) -> VolumeFeatures:
        levels, x = [volume], volume
        for i, pair in enumerate(self.pairs):
            x = pair(F.max_pool3d(x, 2) if i else x)
            levels.append(x)
        return VolumeFeatures(tuple(levels))


class HandPyramid(ScanPyramid):
    """A smaller `ScanPyramid`: a hand's mesh has 778 vertices."""

    def __init__(self) -> None:
        super().__init__(widths=(40, 80, 144), width=40)


PYRAMIDS: dict[str, type[ScanPyramid] | type[HandPyramid] | type[PaperPyramid]] = {
    "scan": ScanPyramid,
    "hand": HandPyramid,
    "paper": PaperPyramid,
}
"""Backbones by the name that presets use."""
