"""Training the lifter over time on top of a trained lifter: `python -m lvd_live train --lifter --over-time`."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch

from lvd_live.lift.lifter import read_network
from lvd_live.lift.network import LiftNetwork, laplace_loss, symmetric
from lvd_live.lift.over_time import BEFORE, NEIGHBOURS, TimeNetwork, differences, neighbours
from lvd_live.train.lift_noise import Noise, ObservedErrors
from lvd_live.train.lift_sequences import LiftSequences, SequenceBatch
from lvd_live.train.lifter import (
    APART,
    CHECKPOINT,
    VALIDATION_SEED,
    LifterOptions,
    LifterRun,
    run_to_the_end,
)
from lvd_live.train.processes import Processes

VALIDATION = 256  # held-out sequences
CAUSAL = 0.5  # share of the sequences that see the past alone
FORGOTTEN = 0.3  # share of the sequences with frames left out
POOL, AGAIN = 24, 2  # batches in memory; steps for each new one: drawing takes longer than learning


@dataclass(frozen=True)
class TimeOptions(LifterOptions):
    """As `LifterOptions`; batch : sequences."""

    batch: int = 96
    rate: float = 1e-3
    warm_up: int = 200
    ema: float = 0.998
    width: int = 128
    blocks: int = 2


class TimeRun(LifterRun):
    """A run on top of `trunk`, which stays as it is. noise : draws who sees whom."""

    def __init__(
        self,
        options: TimeOptions,
        trunk: LiftNetwork,
        noise: Noise,
        device: torch.device,
        processes: Processes | None = None,
    ):
        self.trunk, self._noise, self._sizes = trunk.to(device), noise, options
        super().__init__(options, device, processes)

    def new_network(self) -> TimeNetwork:
        """See `LifterRun`."""
        o = self._sizes
        return TimeNetwork(self.trunk.width, o.width, o.blocks)

    def answers(
        self, network: TimeNetwork, batch: SequenceBatch, sides: str | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Points (B·T, 33, 3) and log_scale (B·T, 33, 2). sides : what frames see, "one" (themselves), "past", "both";
        None: some the past, some both, of some a part."""
        B, T = batch.times.shape
        features, points, log_scale = self.single(batch)
        which, apart, there = neighbours(batch.times)
        there = there & self._seen(B, T, sides)
        mine = points.unflatten(0, (B, T))
        rows = torch.arange(B, device=self.device)[:, None, None]
        half = batch.camera[..., 2]  # of the boxes, in one unit for a sequence
        moved = differences(mine[rows, which], half[rows, which], mine, half)
        points, log_scale = network(features, points, log_scale, *(x.flatten(0, 1) for x in (moved, apart, there)))
        return points, log_scale

    def single(self, batch: SequenceBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The single-frame lifter's, computed once."""
        if batch.lifted is None:
            with torch.no_grad():
                batch.lifted = symmetric(self.trunk, batch.landmarks.flatten(0, 1), batch.camera.flatten(0, 1))
        return batch.lifted

    def _seen(self, B: int, T: int, sides: str | None) -> torch.Tensor:
        """(B, T, NEIGHBOURS) bool."""
        later = torch.arange(NEIGHBOURS, device=self.device) >= BEFORE
        if sides is not None:
            return (later <= (sides == "both")) & (sides != "one") & torch.ones(B, T, 1, dtype=torch.bool)
        uniform = self._noise.uniform
        kept = (uniform(B, T, NEIGHBOURS) >= 0.4 * uniform(B, T, 1)) | (uniform(B, T, 1) >= FORGOTTEN)
        return kept & (~later | (uniform(B, T, 1) >= CAUSAL))

    def loss(self, points: torch.Tensor, log_scale: torch.Tensor, batch: SequenceBatch) -> torch.Tensor:
        """See `laplace_loss`."""
        return laplace_loss(points, log_scale, batch.truth.flatten(0, 1))

    @torch.no_grad()
    def validate(self, batch: SequenceBatch) -> dict[str, float]:
        """Of the averaged network, in the middle half of the sequences, from one frame, the past, and both sides: mean
        errors in the picture and in depth, and the median change of the error from frame to frame, thousandths of a box
        unit; the loss with the past."""
        B, T = batch.times.shape
        out = {}
        for sides in ("one", "past", "both"):
            points, log_scale = self.answers(self.average, batch, sides)
            if sides == "past":
                out["loss"] = float(self.loss(points, log_scale, batch))
            wrong = (points.unflatten(0, (B, T)) - batch.truth)[:, T // 4 : -T // 4]
            out[f"{sides} xy"] = 1000 * float(wrong[..., :2].norm(dim=-1).mean())
            out[f"{sides} depth"] = 1000 * float(wrong[..., 2].abs().mean())
            out[f"{sides} shake"] = 1000 * float((wrong[:, 1:] - wrong[:, :-1]).norm(dim=-1).median())
        return out


def train_over_time(
    models: Path,
    out: Path,
    options: TimeOptions,
    *,
    start_from: Path | None = None,
    device: torch.device,
    processes: Processes | None = None,
) -> Path:
    """Train what steadies models/lift/lifter.safetensors; otherwise as `train_lifter`. The weights are
    over_time.safetensors in `out`; its path."""
    processes = processes or Processes()
    out.mkdir(parents=True, exist_ok=True)
    observed = ObservedErrors.load(models / "synth" / "landmark_errors.npz", device)
    trunk = read_network(models / "lift" / "lifter.safetensors", LiftNetwork)
    run = TimeRun(options, trunk, Noise(None, seed=options.seed, device=device), device, processes)
    run.resume(out / CHECKPOINT, start_from)

    def make(seed: int, held_out: bool) -> LiftSequences:
        return LiftSequences(models, Noise(observed, seed=seed, device=device), held_out=held_out, seed=seed)

    samples = make(options.seed + run.step + APART * processes.share.rank, held_out=False)
    held_out = make(VALIDATION_SEED, held_out=True).draw_sequences(VALIDATION) if processes.first else None
    pool: list[SequenceBatch] = []

    def draw() -> SequenceBatch:
        nonlocal pool
        if len(pool) < POOL or run.step % AGAIN == 0:
            pool = [*pool[-POOL + 1 :], samples.draw_sequences(options.batch)]
        return random.choice(pool)

    return run_to_the_end(run, draw, held_out, out / "over_time.safetensors")
