"""Layers for one CPU: weights laid out once for oneDNN's kernels, ReLU and addition done before a result leaves the registers.

The same numbers as the layers they replace, up to rounding. Plain PyTorch lays a convolution's weights out anew at every call, and multiplies float32 matrices by a library that uses half of an AMD processor's width.
"""

from __future__ import annotations

import platform

import torch
import torch.nn.functional as F
from torch import nn

from lvd_live.lvd.backbones.fpn import Block
from lvd_live.lvd.backbones.hourglass import Absorbed, NormReLU

mkldnn = torch.ops.mkldnn


def available(device: torch.device) -> bool:
    """Whether `pack` works here: an x86 CPU and a PyTorch with oneDNN."""
    return device.type == "cpu" and platform.machine() in ("x86_64", "AMD64") and torch.backends.mkldnn.is_available()


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    return (
        torch.cuda.is_bf16_supported()
        if device.type == "cuda"
        else available(device) and torch.cpu.get_capabilities().get("avx512_bf16", False)
    )


class Conv(nn.Module):
    """ReLU(convolution(x) + plus), ReLU and addition where asked for; the result overwrites `plus`. x (B, C, H, W), channels last. Weights are laid out for the first input's size; others work, too."""

    def __init__(self, conv: nn.Conv2d, relu: bool):
        super().__init__()
        self.where = list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups
        self.weight, self.bias, self.relu, self.packed = (
            conv.weight.detach(),
            None if conv.bias is None else conv.bias.detach(),
            relu,
            None,
        )

    def forward(self, x: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        if self.packed is None:
            self.packed, self.weight = mkldnn._reorder_convolution_weight(self.weight, *self.where, list(x.shape)), None
        if plus is None:
            return mkldnn._convolution_pointwise(
                x, self.packed, self.bias, *self.where, "relu" if self.relu else "none", [], ""
            )
        return mkldnn._convolution_pointwise_.binary(
            plus, x, self.packed, self.bias, *self.where, "add", 1.0, "relu" if self.relu else None, [], ""
        )


class Linear(nn.Module):
    """ReLU(W x + b), ReLU where asked for. x (n, in) in the weights' dtype."""

    def __init__(self, linear: nn.Linear, relu: bool):
        super().__init__()
        self.packed, self.bias, self.relu = (
            mkldnn._reorder_linear_weight(linear.weight.detach()),
            linear.bias.detach(),
            relu,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return mkldnn._linear_pointwise(x, self.packed, self.bias, "relu" if self.relu else "none", [], "")


class Norm(nn.Module):
    """A `hourglass.NormReLU`. What is below zero in bfloat16 is so, too, when read as an integer: a sixth of the time."""

    def __init__(self, norm: NormReLU):
        super().__init__()
        self.groups, self.weight, self.bias, self.eps = (
            norm.num_groups,
            norm.weight.detach(),
            norm.bias.detach(),
            norm.eps,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.group_norm(x, self.groups, self.weight, self.bias, self.eps)
        (y.view(torch.int16) if y.dtype == torch.bfloat16 else y).clamp_(min=0)
        return y


class PackedBlock(nn.Module):
    """A `pyramid.Block` whose addition and last ReLU belong to its second convolution."""

    def __init__(self, first: nn.Module, second: nn.Sequential):
        super().__init__()
        self.first, self.second = pack(first), Conv(second[0], relu=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x), plus=x)


def pack(module: nn.Module) -> nn.Module:
    """`module`, batch norm folded, with every layer inside it that can be packed replaced."""
    if isinstance(module, Block):
        return PackedBlock(module.first, module.second)
    if isinstance(module, NormReLU):
        return Norm(module)
    if isinstance(module, nn.Conv2d):
        return Conv(module, relu=False)
    if isinstance(module, nn.Linear):
        return Linear(module, relu=False)
    for name, child in module.named_children():
        setattr(module, name, pack(child))
    if isinstance(module, Absorbed):
        module.deferred = True  # a CPU gains by every pixel that nobody looks at
    if isinstance(module, nn.Sequential):
        return nn.Sequential(*_with_relu([layer for layer in module if not isinstance(layer, nn.Identity)]))
    return module


def _with_relu(layers: list[nn.Module]) -> list[nn.Module]:
    """Packed layers with the ReLUs that follow them taken in."""
    out: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.ReLU) and out and isinstance(out[-1], (Conv, Linear)):
            out[-1].relu = True
        else:
            out.append(layer)
    return out
