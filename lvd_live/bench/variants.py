"""The ways to run a network that are timed beside each other.

`eager` is plain PyTorch, `compiled` the same through torch.compile, the others are packed (`lvd.runtime.onednn`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lvd_live.errors import UserError
from lvd_live.lvd.network import LVD
from lvd_live.lvd.runtime import onednn
from lvd_live.lvd.runtime.runtime import Runtime

PLAIN = "eager float32"  # what the others are compared with


def variants(device: str, compiled: bool = False) -> dict[str, dict[str, Any]]:
    """Options of `build` by name. What a user gets by default, the fastest of them, is called by its engine."""
    named: dict[str, dict[str, Any]] = {PLAIN: {"engine": "float32", "pack": False}}
    if device == "cpu":
        named["onnxruntime"] = {"engine": "onnxruntime"}
    if onednn.available(torch.device(device)) or device == "cuda":
        named["float32"] = {"engine": "float32"}
    if onednn.has_bfloat16(torch.device(device)):
        named["bfloat16"] = {"engine": "bfloat16"}
    if compiled:
        named |= {
            f"compiled {name}": {"engine": name, "pack": False, "compiled": True}
            for name in ("float32", "bfloat16")
            if name in named
        }
    return named


def build(network: LVD, device: str, *, compiled: bool = False, **options: Any) -> Runtime:
    """A `Runtime`, its backbone compiled if asked for, with its weights as constants.

    Raises UserError where nothing can be compiled.
    """
    runtime = Runtime(network, device=device, **options)
    if compiled:
        import torch._inductor.config

        torch._inductor.config.freezing = True
        size = network.preset.size
        fast = torch.compile(runtime.network.backbone)
        setattr(runtime.network, "backbone", fast)  # noqa: B010 - a module in all but type
        try:
            runtime.encode(np.zeros((1, size, size, 3), np.uint8), np.zeros((1, size, size), np.uint8))
        except RuntimeError as error:  # which the compiler's errors all are
            why = str(error).splitlines()[0]
            raise UserError(
                f"torch.compile does not work here ({why}): install a C++ compiler, or leave --compiled out."
            ) from None
    return runtime
