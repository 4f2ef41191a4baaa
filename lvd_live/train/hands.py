"""Training the network for scans of hands: `python -m lvd_live train --preset hand`. Scans are made in the batch."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from lvd_live.body.hand import HandModel
from lvd_live.lvd.descent import iterate
from lvd_live.lvd.presets import SCAN_PRESETS
from lvd_live.lvd.runtime.onednn import has_bfloat16
from lvd_live.lvd.volume.network import VolumeLVD
from lvd_live.lvd.weights import save_weights
from lvd_live.synth.hand_scans import HandScan, HandScans
from lvd_live.train.average import Average
from lvd_live.train.loss import LossOptions, descent_loss
from lvd_live.train.optimiser import MuonAdamW
from lvd_live.train.tables import append_row

log = logging.getLogger(__name__)

HAND_STAGES = "0.6:32,1:48"  # most is learned on fewer voxels
COPIES = 3  # ways in which each scan is turned and framed
POOL = 64  # scans among which a batch is drawn, so that copies of one scan seldom share a batch
VALIDATION, VALIDATION_SEED, ITERATIONS = 96, 1_000_003, 6
CHECKPOINT, TABLE = "checkpoint.pt", "validation.csv"


@dataclass(frozen=True)
class HandOptions:
    """What a run does. hours : its length, with the whole schedule in it. sizes : stages (share of the run at which it
    ends, voxels). save_s : seconds between saves and validations."""

    hours: float = 1.0
    batch: int = 12
    rate: float = 2e-3
    warm_up: int = 100
    weight_decay: float = 0.02
    ema: float = 0.996
    sizes: tuple[tuple[float, int], ...] = ((0.6, 32), (1.0, 48))
    save_s: float = 240.0
    seed: int = 0
    loss: LossOptions = field(default_factory=lambda: LossOptions(spread=(0.003, 0.2), own_spread=(0.03, 0.5)))

    def size_at(self, progress: float) -> int:
        """The volume's side in voxels. progress : 0..1 through the run."""
        return next((size for share, size in self.sizes if progress < share), self.sizes[-1][1])

    def rate_at(self, step: int, progress: float) -> float:
        """Linear warm-up, then half a cosine down to a hundredth."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.rate * min(1.0, (step + 1) / self.warm_up) * (0.01 + 0.99 * cosine)


class HandRun:
    """A run, and where it stands: step, samples, seconds, at this and at earlier sittings."""

    def __init__(self, options: HandOptions, scans: HandScans, device: torch.device):
        self.options, self.scans, self.device = options, scans, device
        torch.manual_seed(options.seed)
        self.network = VolumeLVD(SCAN_PRESETS["hand"])
        # PyTorch documents memory_format for Module.to, but its type stub leaves it out.
        self.network.to(device, memory_format=self.network.memory_format).train()  # type: ignore[call-overload]
        self.averaged = VolumeLVD(SCAN_PRESETS["hand"]).to(device).requires_grad_(False)
        self.average = Average(self.network, options.ema)
        self.optimiser = MuonAdamW(self.network, options.rate, options.weight_decay)
        self.step = self.samples = 0
        self.seconds = 0.0
        self._pool: deque[HandScan] = deque()

    @property
    def progress(self) -> float:
        """0 at the start, 1 at the end of the run."""
        return self.seconds / (3600 * self.options.hours)

    @property
    def size(self) -> int:
        """Of the volumes now, voxels."""
        return self.options.size_at(self.progress)

    def draw(self) -> list[HandScan]:
        """A batch of scans."""
        while len(self._pool) < POOL + self.options.batch:
            self._pool.extend(self.scans.draw_turned(COPIES))
        order = self.scans.rng.permutation(len(self._pool))
        self._pool = deque(self._pool[i] for i in order)
        return [self._pool.popleft() for _ in range(self.options.batch)]

    def learn(self, batch: list[HandScan]) -> tuple[float, float]:
        """One step; the loss's two terms."""
        o = self.options
        self.optimiser.set_rate(o.rate_at(self.step, self.progress))
        truth = torch.from_numpy(np.stack([scan.vertices for scan in batch])).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)):
            features = self.network.encode(self._volume(batch, self.network))
            everyone = torch.ones(truth.shape[1], device=self.device)
            clip = self.network.preset.clip or 0.36
            first, own = descent_loss(self.network.field, features, truth, everyone, clip, o.loss)
        self.optimiser.zero_grad()
        (first + o.loss.own_weight * own).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"the gradients of step {self.step} are not finite")
        self.optimiser.step()
        self.average.update(self.network)
        self.step, self.samples = self.step + 1, self.samples + len(batch)
        return float(first.detach()), float(own.detach())

    @torch.no_grad()
    def validate(self, batches: list[list[HandScan]]) -> list[float]:
        """Of the averaged network: the mean distance of vertices from the truth after each iteration, mm."""
        self.averaged.load_state_dict(self.average.state)
        self.averaged.eval()
        errors = []
        for batch in batches:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)):
                features = self.averaged.encode(self._volume(batch, self.averaged))
            truth = torch.from_numpy(np.stack([scan.vertices for scan in batch])).to(self.device)
            metre = torch.tensor([scan.metre for scan in batch], device=self.device)
            meshes = iterate(self.averaged.field, features, torch.zeros(len(batch), 3, device=self.device))
            distances = [(next(meshes)[0] - truth).norm(dim=-1).mean(1) / metre for _ in range(ITERATIONS)]
            errors.append(1000 * torch.stack(distances, 1))
        return torch.cat(errors).mean(0).tolist()

    def _volume(self, batch: list[HandScan], network: VolumeLVD) -> torch.Tensor:
        return network.voxelise([torch.from_numpy(scan.points).to(self.device) for scan in batch], self.size)

    def save(self, path: Path) -> None:
        """Everything that `resume` needs, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state,
            "average_count": self.average.count,
            "optimiser": self.optimiser.state_dict(),
            "stand": (self.step, self.samples, self.seconds),
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one."""
        if path.exists():
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.average.state, self.average.count = state["average"], state["average_count"]
            self.step, self.samples, self.seconds = state["stand"]
            log.info("going on from step %d, %d samples", self.step, self.samples)


def train_hands(hand: HandModel, out: Path, weights: Path, options: HandOptions, device: torch.device) -> None:
    """Train, and write weights at each save. Goes on from a checkpoint in `out`; Ctrl-C saves and is passed on.

    hand : a right hand, whose shapes are learned. weights : the file to write.
    """
    out.mkdir(parents=True, exist_ok=True)
    weights.parent.mkdir(parents=True, exist_ok=True)
    run = HandRun(options, HandScans(hand, options.seed), device)
    run.resume(out / CHECKPOINT)
    if run.step:  # other scans than the first sitting's
        run.scans.rng = np.random.default_rng((options.seed, run.step))
    held_out_source = HandScans(hand, VALIDATION_SEED)
    held_out = [[held_out_source.draw() for _ in range(16)] for _ in range(VALIDATION // 16)]
    began, saved, losses = time.monotonic() - run.seconds, run.seconds, []
    try:
        while run.progress < 1:
            losses.append(run.learn(run.draw()))
            run.seconds = time.monotonic() - began
            if run.seconds - saved > options.save_s or run.progress >= 1:
                saved = run.seconds
                _note(run, out, weights, losses, run.validate(held_out))
                losses.clear()
    finally:
        run.save(out / CHECKPOINT)


def _note(run: HandRun, out: Path, weights: Path, losses: list[tuple[float, float]], errors: list[float]) -> None:
    """Write weights, checkpoint and a row of the table."""
    run.save(out / CHECKPOINT)
    about = {"hours": round(run.seconds / 3600, 3), "samples": run.samples, "size": run.size}
    save_weights(run.averaged, weights, about)
    first, own = np.mean(losses, 0)
    columns = {f"v2v_{i}": round(e, 2) for i, e in enumerate(errors, 1)}
    append_row(out / TABLE, step=run.step, **about, first=first, own=own, **columns)
    found = " ".join(f"{e:.1f}" for e in errors)
    log.info("step %d, %d samples, loss %.4f %.4f: vertices %s mm", run.step, run.samples, first, own, found)
