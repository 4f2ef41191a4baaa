"""How near the machine's limits a stage comes: its FLOP and bytes, and what the machine can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lvd_live.bench.reference import timed
from lvd_live.lvd.runtime import onednn

SIDE = 2048  # of the matrices multiplied
COPIED = 1 << 28  # bytes


@dataclass(frozen=True)
class Ceilings:
    """Measured: GFLOP/s of a large matrix product by precision, GB/s of a large copy (read and written)."""

    gflops: dict[str, float]
    gbytes: float


def best(call: Callable[[], object], device: str, count: int = 5) -> float:
    """Milliseconds, the least of a few."""
    return min(timed(call, device) for _ in range(count))


@torch.inference_mode()
def ceilings(device: str) -> Ceilings:
    """Measure the device's."""
    gflops = {}
    for precision in ("float32", "bfloat16") if onednn.has_bfloat16(torch.device(device)) else ("float32",):
        x = torch.randn(SIDE, SIDE, device=device, dtype=getattr(torch, precision))
        linear = torch.nn.Linear(SIDE, SIDE, device=device, dtype=x.dtype)
        multiply = partial(onednn.Linear(linear, relu=False) if onednn.available(x.device) else linear, x)
        multiply()
        gflops[precision] = 2 * SIDE**3 / best(multiply, device) / 1e6
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return Ceilings(gflops, 2 * COPIED / best(lambda: target.copy_(source), device) / 1e6)


class Bytes(TorchDispatchMode):
    """Counts the bytes of every operation's inputs and outputs; views move none."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if not function.is_view:
            self.total += sum(t.nbytes for t in tree_leaves((args, kwargs, out)) if isinstance(t, torch.Tensor))
        return out


@torch.no_grad()
def work(call: Callable[[], object]) -> tuple[float, float]:
    """GFLOP (of matrix products and convolutions) and GB of a call on a runtime that is not packed."""
    with FlopCounterMode(display=False) as counter:
        call()
    with Bytes() as moved:
        call()
    return counter.get_total_flops() / 1e9, moved.total / 1e9


def fraction(gflop: float, gbyte: float, ms: float, peak: float, bandwidth: float) -> float:
    """Of the roofline: the time that the slower of arithmetic and memory needs at least, over the time taken."""
    return max(gflop / peak, gbyte / bandwidth) * 1000 / ms
