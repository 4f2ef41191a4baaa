"""Which part of every batch a process learns from, where several train one network."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Share:
    """The `rank`-th of `count` equal parts. Random numbers of a whole batch are drawn alike in every process."""

    rank: int = 0
    count: int = 1

    def of(self, whole: torch.Tensor) -> torch.Tensor:
        """Its part (B, …) of `whole` (count · B, …)."""
        return whole.unflatten(0, (self.count, -1))[self.rank]


ALONE = Share()
