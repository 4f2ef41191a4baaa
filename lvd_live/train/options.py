"""The options of a training run."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field
from typing import Any

from lvd_live.lvd.presets import CLIP
from lvd_live.train.batches import Variation
from lvd_live.train.loss import LossOptions
from lvd_live.train.share import ALONE, Share


@dataclass(frozen=True)
class TrainingOptions:
    """What a run does.

    steps : how many. hours : if given, the run takes that long instead, on whatever machine, with the whole schedule in
        it.
    batch : samples a step, of each process. rate : the learning rate at its highest. warm_up : steps until then.
    weight_decay.
    ema : decay of the averaged weights.
    sizes : stages (share of the run at which it ends, crop pixels), small first: a small crop costs a fraction and
        teaches most of the pose.
    drawers : threads that draw batches.
    validate_every, save_every : steps.
    clip : crop units, of the displacements that are learned, see `loss.clipped_displacement`.
    share : of every step's samples, this process's, see `processes`.
    """

    steps: int = 12_000
    hours: float | None = None
    batch: int = 16
    rate: float = 2e-3
    warm_up: int = 200
    weight_decay: float = 0.02
    ema: float = 0.999
    sizes: tuple[tuple[float, int], ...] = ((1.0, 128),)
    drawers: int = 1
    validate_every: int = 1_000
    save_every: int = 500
    seed: int = 0
    clip: float = CLIP
    share: Share = ALONE
    loss: LossOptions = field(default_factory=LossOptions)
    variation: Variation = field(default_factory=Variation)

    @classmethod
    def asked(cls, args: argparse.Namespace, sizes: tuple[tuple[float, int], ...], **more: Any) -> TrainingOptions:
        """Those that a command line asks for, see `train.cli`. more : fields that it has no options for."""
        names = ("steps", "hours", "batch", "rate", "drawers", "validate_every", "seed")
        return cls(sizes=sizes, **{name: getattr(args, name) for name in names}, **more)

    def size_at(self, progress: float) -> int:
        """The crop's side in pixels. progress : 0..1 through the run."""
        return next((size for share, size in self.sizes if progress < share), self.sizes[-1][1])

    def rate_at(self, step: int, progress: float) -> float:
        """The learning rate: a linear warm-up times half a cosine down to a hundredth."""
        warmth = min(1.0, (step + 1) / self.warm_up)
        return self.rate * warmth * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
