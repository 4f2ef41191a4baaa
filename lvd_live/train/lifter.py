"""Training the lifter: `python -m lvd_live train --lifter`. One file, one sitting; seconds to start, resumes.

The loss is the likelihood of the true landmarks (`network.laplace_loss`); the data is made in the batch.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from lvd_live.errors import UserError
from lvd_live.lift.hand_network import HandLiftNetwork
from lvd_live.lift.lifter import read_network
from lvd_live.lift.network import LiftNetwork, laplace_loss
from lvd_live.lift.over_time import TimeNetwork
from lvd_live.lvd.runtime.onednn import has_bfloat16
from lvd_live.train.lift_noise import Noise, ObservedErrors
from lvd_live.train.lift_samples import LiftSamples
from lvd_live.train.processes import Processes
from lvd_live.train.tables import append_row

log = logging.getLogger(__name__)

VALIDATION, VALIDATION_SEED = 8_192, 99  # held-out samples, always the same
APART = 1 << 30  # between the seeds of processes that train together
CHECKPOINT, TABLE = "checkpoint.pt", "validation.csv"


@dataclass(frozen=True)
class LifterOptions:
    """What a run does. hours : its length, with the whole schedule in it, else `samples`. save_s : between saves, s."""

    samples: int = 100_000_000
    hours: float | None = None
    batch: int = 2_048
    rate: float = 1.5e-3
    warm_up: int = 500
    weight_decay: float = 0.01
    ema: float = 0.9995
    width: int = 384
    blocks: int = 4
    save_s: float = 120.0
    seed: int = 0

    def rate_at(self, step: int, progress: float) -> float:
        """Linear warm-up, then half a cosine down to a hundredth."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.rate * min(1.0, (step + 1) / self.warm_up) * (0.01 + 0.99 * cosine)


class LifterRun:
    """A run, and where it stands: step, samples of all processes, seconds, at this and at earlier sittings.

    stopped : one of the processes was told to stop.
    """

    def __init__(self, options: LifterOptions, device: torch.device, processes: Processes | None = None):
        self.options, self.device, self.processes = options, device, processes or Processes()
        torch.manual_seed(options.seed)
        self.network = self.new_network().to(device)
        self.average = self.new_network().to(device).requires_grad_(False)
        self.average.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.AdamW(self.network.parameters(), options.rate, weight_decay=options.weight_decay)
        self.step = self.samples = 0
        self.seconds, self._began = 0.0, time.monotonic()
        self.stopped = False

    @property
    def progress(self) -> float:
        """0 at the start, 1 at the end of the run."""
        o = self.options
        return self.samples / o.samples if o.hours is None else self.seconds / (3600 * o.hours)

    def new_network(self) -> Any:
        """An untrained network."""
        return LiftNetwork(self.options.width, self.options.blocks)

    def answers(self, network: Any, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Points and log_scale of a LiftBatch, see `LiftNetwork`."""
        points, log_scale = network(batch.landmarks, batch.camera)
        return points, log_scale

    def loss(self, points: torch.Tensor, log_scale: torch.Tensor, batch: Any) -> torch.Tensor:
        """See `laplace_loss`."""
        return laplace_loss(points, log_scale, batch.truth)

    def learn(self, batch: Any) -> float:
        """One step; the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.options.rate_at(self.step, self.progress)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)):
            points, log_scale = self.answers(self.network, batch)
        loss = self.loss(points, log_scale, batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        mean_loss = self._average(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self.samples += len(batch.landmarks) * self.processes.share.count
        decay = min(self.options.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)
        return mean_loss

    def _average(self, loss: torch.Tensor) -> float:
        """Average gradients and loss over the processes, and agree with them on the time and on whether to stop."""
        together, seconds = self.processes, time.monotonic() - self._began
        if together.alone:
            self.seconds = seconds
            return float(loss)
        said = torch.stack([loss, *loss.new_tensor([seconds * together.first, together.told_to_stop])]).float()
        together.average_([*(p.grad for p in self.network.parameters() if p.grad is not None), said])
        mean_loss, seconds, stop = said.tolist()
        self.seconds, self.stopped = seconds * together.share.count, stop > 0
        return mean_loss

    @torch.no_grad()
    def validate(self, batch: Any) -> dict[str, float]:
        """Of the averaged network: the loss; mean errors in the picture and in depth, thousandths of a box unit."""
        points, log_scale = self.answers(self.average, batch)
        error = (points - batch.truth).abs()
        return {
            "loss": float(laplace_loss(points, log_scale, batch.truth)),
            "xy": 1000 * float(error[..., :2].norm(dim=-1).mean()),
            "depth": 1000 * float(error[..., 2].mean()),
        }

    def save(self, path: Path) -> None:
        """Everything that `resume` needs, whole or not at all."""
        if not self.processes.first:
            return
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "stand": (self.step, self.samples, self.seconds),
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def start_from(self, path: Path) -> None:
        """Take weights that `write_weights` wrote. Raises UserError where they are none, or of another size."""
        weights = read_network(path, type(self.network))
        if weights.shape != self.network.shape:
            raise UserError(f"{path} is a network of {weights.shape}, and one of {self.network.shape} is trained.")
        for network in (self.network, self.average):
            network.load_state_dict(weights.state_dict())

    def resume(self, path: Path, start_from: Path | None = None) -> None:
        """Go on from a checkpoint, if there is one, else from weights, if any; see `start_from`."""
        state = self.processes.load(path, self.device)
        if state is None and start_from is not None:
            self.start_from(start_from)
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.samples, self.seconds = state["stand"]
            self._began = time.monotonic() - self.seconds
            log.info("going on from step %d, %.1f million samples", self.step, self.samples / 1e6)


def train_lifter(
    models: Path,
    out: Path,
    options: LifterOptions,
    *,
    start_from: Path | None = None,
    device: torch.device,
    processes: Processes | None = None,
) -> Path:
    """Train into `out`: checkpoint.pt, validation.csv, lifter.safetensors (the averaged weights, float16); its path.

    Resumes from the checkpoint if there is one, else starts from the weights `start_from`, if any (UserError where they
    are none or of another size). Ctrl-C saves and is passed on. processes : those that train the same network, each on
    samples of its own; the first one alone validates and writes.
    """
    processes = processes or Processes()
    out.mkdir(parents=True, exist_ok=True)
    observed = ObservedErrors.load(models / "synth" / "landmark_errors.npz", device)
    run = LifterRun(options, device, processes)
    run.resume(out / CHECKPOINT, start_from)

    def make_samples(seed: int, held_out: bool) -> LiftSamples:
        return LiftSamples(models, Noise(observed, seed=seed, device=device), held_out=held_out, seed=seed)

    samples = make_samples(options.seed + run.step + APART * processes.share.rank, held_out=False)
    held_out = make_samples(VALIDATION_SEED, held_out=True).draw(VALIDATION) if processes.first else None
    return run_to_the_end(run, lambda: samples.draw(options.batch), held_out, out / "lifter.safetensors")


def run_to_the_end(run: LifterRun, draw: Callable[[], Any], held_out: Any, weights: Path) -> Path:
    """Learn from what `draw` gives until the end; writes a table, checkpoints and `weights`, whose path it returns.

    held_out : a batch to validate on, or None in processes that do not. Ctrl-C saves and is passed on.
    """
    saved, out, processes = time.monotonic(), weights.parent, run.processes
    with processes.interruptible():
        try:
            while run.progress < 1 and not run.stopped:
                run.learn(draw())
                if held_out is not None and (time.monotonic() - saved > run.options.save_s or run.progress >= 1):
                    saved = time.monotonic()
                    report(run, held_out, out / TABLE)
                    run.save(out / CHECKPOINT)
                    write_weights(run.average, weights, run.samples)
        finally:
            run.save(out / CHECKPOINT)
        processes.wait()  # torchrun ends all as soon as one has ended: not while the first one saves
    if run.stopped:
        raise KeyboardInterrupt
    return write_weights(run.average, weights, run.samples) if processes.first else weights


def write_weights(network: LiftNetwork | TimeNetwork | HandLiftNetwork, path: Path, samples: int) -> Path:
    """The weights as float16, with the network's shape in the metadata."""
    state = {name: value.detach().half().cpu().contiguous() for name, value in network.state_dict().items()}
    shape = network.shape | {"samples": samples}
    part = path.with_suffix(".part")
    save_file(state, part, {name: str(value) for name, value in shape.items()})
    part.replace(path)
    return path


def report(run: LifterRun, held_out: Any, table: Path) -> None:
    """Write a row of a validation on a held-out batch, and say it."""
    figures = run.validate(held_out)
    row = {"step": run.step, "samples": run.samples, "hours": round(run.seconds / 3600, 4)}
    row |= {name: round(value, 4) for name, value in figures.items()}
    append_row(table, **row)
    log.info("%s", ", ".join(f"{name} {value}" for name, value in row.items()))
