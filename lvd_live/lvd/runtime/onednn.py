"""Layers for one CPU: weights packed once for oneDNN's kernels, ReLU and addition fused into the layer before them.

The same numbers as the layers they replace, up to rounding. Plain PyTorch packs a convolution's weights anew at every
call, and multiplies float32 matrices by a library that uses half of an AMD processor's vector width.
"""

from __future__ import annotations

import platform

import torch
import torch.nn.functional as F
from torch import nn

from lvd_live.lvd.backbones.fpn import Block
from lvd_live.lvd.backbones.hourglass import AbsorbedHourglass, NormReLU

mkldnn = torch.ops.mkldnn


def available(device: torch.device) -> bool:
    """Whether `pack` works here: an x86 CPU and a PyTorch with oneDNN."""
    return device.type == "cpu" and platform.machine() in ("x86_64", "AMD64") and torch.backends.mkldnn.is_available()


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not available(device) or not torch.cpu.get_capabilities().get("avx512_bf16", False):
        return False
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()  # not where ONEDNN_MAX_CPU_ISA keeps oneDNN from it


class Conv(nn.Module):
    """ReLU(convolution(x) + plus), ReLU and addition where asked for; the result overwrites `plus`.

    x : (B, C, H, W), channels last. The weights are packed for the first input's size; others work as well.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool):
        super().__init__()
        self.geometry = list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups
        self.bias = None if conv.bias is None else conv.bias.detach()
        self.relu = relu
        self.weight: torch.Tensor | None = conv.weight.detach()  # None once it is packed
        self.packed: torch.Tensor | None = None

    def forward(self, x: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        if self.packed is None:
            self.packed = mkldnn._reorder_convolution_weight(self.weight, *self.geometry, list(x.shape))
            self.weight = None
        layer = self.packed, self.bias, *self.geometry
        if plus is None:
            return mkldnn._convolution_pointwise(x, *layer, "relu" if self.relu else "none", [], "")
        return mkldnn._convolution_pointwise_.binary(plus, x, *layer, "add", 1.0, "relu" if self.relu else None, [], "")


class Linear(nn.Module):
    """ReLU(W x + b), ReLU where asked for. x (n, in) in the weights' dtype."""

    def __init__(self, linear: nn.Linear, relu: bool):
        super().__init__()
        self.packed = mkldnn._reorder_linear_weight(linear.weight.detach())
        self.bias, self.relu = linear.bias.detach(), relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return mkldnn._linear_pointwise(x, self.packed, self.bias, "relu" if self.relu else "none", [], "")


class Norm(nn.Module):
    """A `hourglass.NormReLU`. A bfloat16 below zero is so as an integer, too, which takes a sixth of the time."""

    def __init__(self, norm: NormReLU):
        super().__init__()
        self.groups, self.eps = norm.num_groups, norm.eps
        self.weight, self.bias = norm.weight.detach(), norm.bias.detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.group_norm(x, self.groups, self.weight, self.bias, self.eps)
        (y.view(torch.int16) if y.dtype == torch.bfloat16 else y).clamp_(min=0)
        return y


class PackedBlock(nn.Module):
    """An `fpn.Block` whose addition and last ReLU are fused into its second convolution."""

    def __init__(self, block: Block):
        super().__init__()
        second = block.second[0]
        assert isinstance(second, nn.Conv2d)
        self.first, self.second = pack(block.first), Conv(second, relu=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x), plus=x)


def pack(module: nn.Module) -> nn.Module:
    """`module`, its batch norm folded before, with every layer inside it that can be packed replaced."""
    if isinstance(module, Block):
        return PackedBlock(module)
    if isinstance(module, NormReLU):
        return Norm(module)
    if isinstance(module, nn.Conv2d):
        return Conv(module, relu=False)
    if isinstance(module, nn.Linear):
        return Linear(module, relu=False)
    for name, child in module.named_children():
        setattr(module, name, pack(child))
    if isinstance(module, AbsorbedHourglass):
        module.lazy = True  # a CPU gains by every pixel that is not computed
    if isinstance(module, nn.Sequential):
        return nn.Sequential(*_fuse_relu([layer for layer in module if not isinstance(layer, nn.Identity)]))
    return module


def _fuse_relu(layers: list[nn.Module]) -> list[nn.Module]:
    """Layers, of which those that are packed take in the ReLU that follows them."""
    out: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.ReLU) and out and isinstance(out[-1], Conv | Linear):
            out[-1].relu = True
        else:
            out.append(layer)
    return out
