"""What turns gradients into steps: Muon for matrices and kernels, AdamW for the rest."""

from __future__ import annotations

import torch
from torch import nn


def is_matrix(name: str, parameter: torch.Tensor) -> bool:
    """Whether Muon moves it: a linear layer's or a convolution's weight in the midst of the network. Not the head, each of whose rows is a vertex's own, nor weight norm's lengths."""
    return parameter.ndim > 1 and parameter[0].numel() > 1 and not name.startswith(("field.head", "head"))


def as_matrix(weight: torch.Tensor) -> torch.Tensor:
    """A weight (out, in) as it is; a kernel (out, in, h, w), channels last, as the matrix (out, h·w·in): both views."""
    return weight if weight.ndim == 2 else weight.permute(0, 2, 3, 1).flatten(1)


class MuonAdamW:
    """`torch.optim.Muon` (Jordan et al. 2024: the momentum's nearest orthogonal matrix, so that every direction is learned at one pace) and AdamW under one roof, with one rate for both.

    Muon's steps are scaled to AdamW's size (Liu et al. 2025). On this task, from scratch at equal time, it reached a V2V of 110.8 mm with 24,000 samples where AdamW reached 122.4 with 32,000.
    """

    def __init__(self, network: nn.Module, rate: float, weight_decay: float):
        named = dict(network.named_parameters())
        self._matrices = [p for name, p in named.items() if is_matrix(name, p)]
        self._views = [nn.Parameter(as_matrix(p.detach())) for p in self._matrices]
        if any(view.data_ptr() != p.data_ptr() for view, p in zip(self._views, self._matrices, strict=True)):
            raise ValueError("kernels must lie in memory channels last")
        rest = [p for name, p in named.items() if not is_matrix(name, p)]
        decayed, free = ([p for p in rest if (p.ndim > 1) == matrix] for matrix in (True, False))
        self._muon = torch.optim.Muon(self._views, lr=rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self._adamw = torch.optim.AdamW([{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.99), fused=True)

    def set_rate(self, rate: float) -> None:
        for group in self._muon.param_groups + self._adamw.param_groups:
            group["lr"] = rate

    def zero_grad(self) -> None:
        for p in self._matrices:
            p.grad = None
        self._adamw.zero_grad()

    def step(self) -> None:
        for view, p in zip(self._views, self._matrices, strict=True):
            view.grad = None if p.grad is None else as_matrix(p.grad)
        self._muon.step()
        self._adamw.step()

    def state_dict(self) -> dict:
        return {"muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self._muon.load_state_dict(state["muon"])
        self._adamw.load_state_dict(state["adamw"])
