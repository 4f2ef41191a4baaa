"""Several processes that train one network: each learns from its share of a batch, and all step by the mean gradient.

`torchrun` starts them, on one machine or on many; NCCL carries the gradients between GPUs, Gloo between processors. The
numbers are those of one process with a batch `count` times as large, up to rounding: samples and random numbers are
drawn by their place in the whole batch, and batch norm normalises by the whole batch.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lvd_live.errors import UserError
from lvd_live.train.share import ALONE, Share

PATIENCE = timedelta(hours=1)  # while the first one makes held-out people, or validates


class Processes:
    """Those that train together; one alone sends nothing.

    share : this one's. told_to_stop : Ctrl-C was pressed, or the system wants the process to end (see
    `interruptible`).
    """

    def __init__(self, share: Share = ALONE):
        self.share, self.told_to_stop = share, False

    @classmethod
    @contextlib.contextmanager
    def joined(cls, device: torch.device) -> Iterator[Processes]:
        """Those that torchrun started with this one, as its environment variables say. Raises UserError."""
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            yield cls()
            return
        try:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        except (ValueError, RuntimeError) as error:
            why = str(error).splitlines()[0]
            raise UserError(f"The processes do not find each other ({why}): start them with torchrun.") from error
        try:
            yield cls(Share(dist.get_rank(), dist.get_world_size()))
        finally:
            dist.destroy_process_group()

    @property
    def alone(self) -> bool:
        return self.share.count == 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and tables."""
        return self.share.rank == 0

    def average_(self, tensors: Sequence[torch.Tensor]) -> None:
        """Set tensors, of one device, to their means over the processes, in place, by one message."""
        if self.alone:
            return
        sent = torch.cat([t.detach().float().flatten() for t in tensors])
        dist.all_reduce(sent)
        sent /= self.share.count
        for t, mean in zip(tensors, sent.split([t.numel() for t in tensors]), strict=True):
            t.copy_(mean.view(t.shape))

    def spread_(self, tensors: Iterable[torch.Tensor]) -> None:
        """Set tensors to those of the first process, in place."""
        if not self.alone:
            for t in tensors:
                sent = t.detach().contiguous()
                dist.broadcast(sent, 0)
                t.copy_(sent)

    def load(self, path: Path, device: torch.device) -> Any:
        """What `torch.save` wrote to a file that the first process sees, or None where there is none."""
        if self.alone:
            return torch.load(path, map_location=device, weights_only=True) if path.exists() else None
        content = bytearray(path.read_bytes() if self.first and path.exists() else b"")
        size = torch.tensor([len(content)], device=device)
        dist.broadcast(size, 0)
        if not int(size):
            return None
        sent = torch.frombuffer(content, dtype=torch.uint8) if self.first else torch.empty(int(size), dtype=torch.uint8)
        sent = sent.to(device)
        dist.broadcast(sent, 0)
        return torch.load(io.BytesIO(sent.cpu().numpy().tobytes()), map_location=device, weights_only=True)

    def wait(self) -> None:
        """Until all have come here."""
        if not self.alone:
            dist.barrier()

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """While it lasts, Ctrl-C and SIGTERM only set `told_to_stop`: each process must end after the same step, since
        the others wait for its gradient. Does nothing where there is one process alone."""
        if self.alone:
            yield
            return

        def stop(*_: object) -> None:
            self.told_to_stop = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def share_batch_norm(self, module: nn.Module) -> None:
        """Let the module's batch norms take their statistics from the whole batch. Parameters and their names stay."""
        if self.alone:
            return
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, SharedBatchNorm.of(child))
            else:
                self.share_batch_norm(child)


class _Mean(torch.autograd.Function):
    """The mean of a tensor over the processes. Each process's loss counts as much, so that gradients are means, too."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        out = x.clone()
        dist.all_reduce(out)
        return out / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        out = gradients[0].clone()
        dist.all_reduce(out)
        return out / dist.get_world_size()


class SharedBatchNorm(_BatchNorm):
    """A batch norm over the batches (B, C, ...) of all processes, equally large; in evaluation the one it replaces.

    Works on every device, unlike `nn.SyncBatchNorm`. Statistics are float32 at least; squares are taken about the
    running mean, so that no digits are lost.
    """

    @classmethod
    def of(cls, norm: _BatchNorm) -> SharedBatchNorm:
        """One that has another's parameters and buffers themselves, not copies."""
        new = cls(norm.num_features, norm.eps, norm.momentum)
        for name, value in (*norm.named_parameters(), *norm.named_buffers()):
            setattr(new, name, value)
        return new.train(norm.training)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        centre, others = self.running_mean.clone(), (0, *range(2, input.ndim))
        along = (-1, *(1 for _ in others[1:]))  # the shape in which channels meet `input`
        x = input.to(torch.promote_types(input.dtype, torch.float32)) - centre.view(along)
        mean, square = _Mean.apply(torch.stack([x.mean(others), x.square().mean(others)]))
        variance = (square - mean.square()).clamp(min=0)
        self._note(centre + mean.detach(), variance.detach(), x.numel() // x.shape[1] * dist.get_world_size())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul((self.bias - mean * scale).view(along), x, scale.view(along)).to(input.dtype)

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Any number of dimensions will do."""

    @torch.no_grad()
    def _note(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        """Move the running statistics toward a batch's (C,), of `count` values a channel."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        momentum = 0.1 if self.momentum is None else self.momentum
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), momentum)
