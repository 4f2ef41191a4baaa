"""Averaged weights, which are the ones that are used."""

from __future__ import annotations

import torch
from torch import nn


class Average:
    """An exponential moving average of a network's parameters and buffers, with a short memory at first."""

    def __init__(self, network: nn.Module, decay: float):
        self.decay, self.count = decay, 0
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network as it is now."""
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        for key, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)
