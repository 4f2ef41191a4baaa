"""The training loop: one file, one sitting."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from lvd_live.errors import UserError
from lvd_live.lift.lifter import Lifter
from lvd_live.lvd.network import LVD
from lvd_live.lvd.runtime.onednn import has_bfloat16
from lvd_live.synth.dataset import Shards
from lvd_live.train.batches import draw_batch
from lvd_live.train.optimiser import MuonAdamW
from lvd_live.train.options import TrainingOptions
from lvd_live.train.tables import append_row
from lvd_live.train.task import N, Task

log = logging.getLogger(__name__)

LOG_EVERY = 50  # steps


def train(
    network: N,
    average_network: N,
    shards: Shards,
    held_out: Shards,
    importance: torch.Tensor,
    out: Path,
    options: TrainingOptions,
    *,
    task: Task[N],
    device: torch.device,
    workers: Sequence[BaseProcess],
    lifter: Lifter | None = None,
) -> None:
    """Train `network` for `task`. Resumes from the checkpoint if there is one; Ctrl-C saves and is passed on.

    average_network : of the same shape; is left holding the averaged weights.
    shards : to learn from. Waits only for the first ones; those that `workers` make later join as they come.
    importance : (K,), what each vertex counts, mean 1. lifter : see `draw_batch`.
    out : a folder for checkpoint.pt (everything, to go on from), options.json, losses.csv and validation.csv.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "options.json").write_text(json.dumps(asdict(options), indent=1))
    run = Run(network, average_network, importance, options, device, task)
    run.resume(out / "checkpoint.pt")
    wait_for_shards(shards, workers)
    drawer, recent = Drawer(run, shards, lifter), []
    total = options.steps if options.hours is None else None
    bar = tqdm(initial=run.step, total=total, unit="step", smoothing=0.02, mininterval=5)
    try:
        while run.progress < 1:
            recent.append(run.learn(drawer.next()))
            bar.update()
            if run.step % LOG_EVERY == 0:
                shards.refresh()
                first, second = np.mean(recent, 0)
                recent.clear()
                bar.set_postfix_str(f"loss {first:.4f} + {second:.4f}, {len(shards.maps)} shards")
                run.note_losses(out / "losses.csv", first, second, len(shards.maps))
            if run.step % options.validate_every == 0:
                run.validate(held_out, out / "validation.csv", bar.write)
            if run.step % options.save_every == 0:
                run.save(out / "checkpoint.pt")
        if run.step % options.validate_every:
            run.validate(held_out, out / "validation.csv", bar.write)
    finally:
        run.save(out / "checkpoint.pt")
        drawer.close()
        bar.close()
    average_network.load_state_dict(run.average.state)


class Drawer:
    """Draws a run's batches in other threads while earlier ones are learned from.

    What batch number i holds depends on the seed, i, the shards and the crops' size at the time, not on the threads.
    """

    def __init__(self, run: Run, shards: Shards, lifter: Lifter | None):
        self._run, self._shards, self._lifter = run, shards, lifter
        drawers = run.options.drawers
        self._pool, self._ahead = ThreadPoolExecutor(drawers), 2 * drawers
        self._coming = deque(self._draw(run.step + i) for i in range(self._ahead))

    def next(self) -> Any:
        """The batch of the run's step, once it is drawn."""
        batch = self._coming.popleft().result()
        self._coming.append(self._draw(self._run.step + self._ahead))
        return batch

    def close(self) -> None:
        """Forget what has not been drawn yet."""
        self._pool.shutdown(cancel_futures=True)

    def _draw(self, number: int) -> Future[Any]:
        options, draw = self._run.options, self._run.task.draw
        rng, size = np.random.default_rng((options.seed, number)), options.size_at(self._run.progress)
        if draw is not None:
            return self._pool.submit(draw, self._shards, rng, options.batch, size)
        return self._pool.submit(draw_batch, self._shards, rng, options.batch, size, options.variation, self._lifter)


class Run(Generic[N]):
    """What a run consists of, and where it stands: step, samples, hours."""

    def __init__(
        self,
        network: N,
        average_network: N,
        importance: torch.Tensor,
        options: TrainingOptions,
        device: torch.device,
        task: Task[N],
    ):
        self.network, self.average_network, self.task = network, average_network, task
        self.options, self.device = options, device
        layout = getattr(network, "memory_format", torch.channels_last)
        # PyTorch documents memory_format for Module.to, but its type stub leaves it out.
        network.to(device, memory_format=layout).train()  # type: ignore[call-overload]
        self.importance = importance.to(device)
        self.optimiser = MuonAdamW(network, options.rate, options.weight_decay)
        self.average = Average(network, options.ema)
        self.step = self.samples = 0
        self._began = time.monotonic()

    @property
    def hours(self) -> float:
        """Since the run began, without the time between an interruption and going on."""
        return (time.monotonic() - self._began) / 3600

    @property
    def progress(self) -> float:
        """0 at the start, 1 at the end of the run."""
        return self.step / self.options.steps if self.options.hours is None else self.hours / self.options.hours

    @property
    def rate(self) -> float:
        """The learning rate now."""
        return self.options.rate_at(self.step, self.progress)

    @property
    def position(self) -> dict[str, float]:
        """Where the run stands, for a table."""
        return {"step": self.step, "samples": self.samples, "hours": round(self.hours, 4)}

    def learn(self, batch: Any) -> tuple[float, float]:
        """One step on a batch, in bfloat16 where the device multiplies that faster. The two terms of its loss."""
        self.optimiser.set_rate(self.rate)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)):
            first, second = self.task.loss(self.network, batch.to(self.device), self.importance, self.options)
        self.optimiser.zero_grad()
        (first + second).backward()
        if torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0).isfinite():
            self.optimiser.step()
            self.average.update(self.network)
        else:
            log.warning("step %d had a gradient that is not finite and was left out", self.step)
        self.step, self.samples = self.step + 1, self.samples + len(batch)
        return float(first.detach()), float(second.detach())

    def note_losses(self, table: Path, first: float, second: float, shards: int) -> None:
        """Add a row about the loss's terms to a table."""
        size = self.options.size_at(self.progress)
        append_row(table, **self.position, first=first, second=second, rate=self.rate, size=size, shards=shards)

    def validate(self, held_out: Shards, table: Path, say: Callable[[str], None]) -> None:
        """Measure the averaged network on held-out people: a row of the table, and a line, for each conditioning."""
        self.average_network.load_state_dict(self.average.state)
        self.average_network.to(self.device).eval()
        size = self.options.size_at(self.progress)
        for conditioning, v2v in self.task.validate(self.average_network, held_out, size).items():
            columns = {f"v2v_{i}": round(v, 2) for i, v in enumerate(v2v, 1)}
            append_row(table, **self.position, conditioning=conditioning, **columns)
            errors = " ".join(f"{v:.1f}" for v in v2v)
            say(f"step {self.step}, {self.samples} samples, {conditioning}: V2V mm per iteration {errors}")

    def save(self, path: Path) -> None:
        """Write everything that `resume` needs, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state,
            "average_count": self.average.count,
            "step": self.step,
            "samples": self.samples,
            "hours": self.hours,
        }
        part = path.with_suffix(".tmp")
        torch.save(state, part)
        part.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one; the options are today's. Raises UserError for another network's."""
        if not path.exists():
            return
        saved = torch.load(path, map_location=self.device, weights_only=True)
        try:
            self.network.load_state_dict(saved["network"])
            self.optimiser.load_state_dict(saved["optimiser"])
        except (KeyError, ValueError, RuntimeError):
            raise UserError(
                f"{path} is another network's or another optimiser's checkpoint: choose another --out, "
                "and take its weights with --start-from."
            ) from None
        self.average.state, self.average.count = saved["average"], saved["average_count"]
        self.step, self.samples, self._began = saved["step"], saved["samples"], time.monotonic() - 3600 * saved["hours"]
        log.info("resumed at step %d", self.step)


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


def wait_for_shards(shards: Shards, workers: Sequence[BaseProcess]) -> None:
    """Take in what has been made; wait only if there is nothing at all. Raises UserError where nobody makes any."""
    while shards.refresh() == 0:
        if not any(worker.is_alive() for worker in workers):
            message = f"There are no shards in {shards.folder}, and no worker that makes any; see --workers."
            raise UserError(message, exit_code=1)
        time.sleep(1)


def begin_at_the_mean(network: LVD, shards: Shards) -> None:
    """Let a head that predicts depths start from the mean depths of the first shard's people."""
    mean = np.mean(shards.rows(shards.maps[0], slice(None), ("vertices",))["vertices"][..., 2], 0, np.float32)
    with torch.no_grad():
        network.field.head.bias.view(-1, 3)[:, 2] = torch.from_numpy(mean)
