"""The training loop: one file, one sitting."""

from __future__ import annotations

import csv
import json
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from lvd_live.errors import UserError
from lvd_live.evaluate.descent import validate_descent
from lvd_live.lift.lifter import Lifter
from lvd_live.lvd.network import LVD, network_input
from lvd_live.lvd.runtime.onednn import has_bfloat16
from lvd_live.synth.dataset import Shards
from lvd_live.train.batches import Batch, Variation, draw_batch
from lvd_live.train.loss import LossOptions, descent_loss
from lvd_live.train.optimiser import MuonAdamW

log = logging.getLogger(__name__)

LOG_EVERY = 50  # steps


@dataclass(frozen=True)
class TrainingOptions:
    """What a run does. steps, or hours if given: a run of so many hours' time, whatever the machine, with the whole schedule in it.

    sizes: (share of the run, crop pixels) stages, small first: a small crop costs a fraction and teaches most of the pose.
    """

    steps: int = 12_000
    hours: float | None = None
    batch: int = 16
    rate: float = 2e-3
    warm_up: int = 200
    weight_decay: float = 0.02
    ema: float = 0.999
    sizes: tuple[tuple[float, int], ...] = ((1.0, 128),)
    drawers: int = 1  # threads that draw batches
    validate_every: int = 1_000
    save_every: int = 500
    seed: int = 0
    clip: float = 0.288
    loss: LossOptions = field(default_factory=LossOptions)
    variation: Variation = field(default_factory=Variation)

    def size_at(self, progress: float) -> int:
        """The crop's side in pixels, progress 0..1 through the run."""
        return next((size for share, size in self.sizes if progress < share), self.sizes[-1][1])

    def rate_at(self, step: int, progress: float) -> float:
        """Linear warm-up, then half a cosine down to a hundredth."""
        return (
            self.rate
            * min(1.0, (step + 1) / self.warm_up)
            * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
        )


@dataclass(frozen=True)
class Task:
    """What is learned. loss(network, batch, importance, options): two terms, which are added. validate(network, held_out, crop pixels): by what the network is told, V2V in mm per iteration."""

    loss: Callable[[nn.Module, Batch, torch.Tensor, TrainingOptions], tuple[torch.Tensor, torch.Tensor]]
    validate: Callable[[nn.Module, Shards, int], dict[str, list[float]]]


def learn_to_descend(
    network: LVD, batch: Batch, importance: torch.Tensor, options: TrainingOptions
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two terms of `descent_loss`, weighted."""
    seen = network.encode(network_input(batch.picture, batch.mask), batch.landmarks, batch.maps)
    everyone, own = descent_loss(network.field, seen, batch.vertices, importance, options.clip, options.loss)
    return everyone, options.loss.own_weight * own


DESCENT = Task(learn_to_descend, validate_descent)


class Average:
    """An exponential moving average of a network's parameters and buffers, with a short memory at first."""

    def __init__(self, network: LVD, decay: float):
        self.decay, self.count = decay, 0
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: LVD) -> None:
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        for key, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)


def train(
    network: nn.Module,
    average_network: nn.Module,
    shards: Shards,
    held_out: Shards,
    importance: torch.Tensor,
    out: Path,
    options: TrainingOptions,
    *,
    device: torch.device,
    workers: list,
    task: Task = DESCENT,
    lifter: Lifter | None = None,
) -> None:
    """Train `network` for `task`, with landmarks lifted by `lifter` if there is one; write `out`/checkpoint.pt (everything, to go on from), losses.csv, validation.csv. `average_network`, of the same shape, is left holding the averaged weights.

    Resumes from the checkpoint if there is one. Waits only for the first shards; those made later join as they come. Ctrl-C saves and is passed on.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "options.json").write_text(json.dumps(asdict(options), indent=1))
    run = Run(network, average_network, importance, options, device, task)
    run.resume(out / "checkpoint.pt")
    wait_for_shards(shards, workers)
    drawer = ThreadPoolExecutor(options.drawers)

    def draw(number: int) -> Future[Batch]:
        """Batch `number`, drawn by another thread while earlier ones are learned from."""
        rng = np.random.default_rng((options.seed, number))
        size = options.size_at(run.progress)
        return drawer.submit(draw_batch, shards, rng, options.batch, size, options.variation, lifter)

    coming = deque(draw(run.step + i) for i in range(2 * options.drawers))
    recent: list[tuple[float, float]] = []
    bar = tqdm(
        initial=run.step,
        total=options.steps if options.hours is None else None,
        unit="step",
        smoothing=0.02,
        mininterval=5,
    )
    try:
        while run.progress < 1:
            batch = coming.popleft().result()
            coming.append(draw(run.step + 2 * options.drawers))
            recent.append(run.learn(batch))
            bar.update()
            if run.step % LOG_EVERY == 0:
                shards.refresh()
                first, second = np.mean(recent, 0)
                recent.clear()
                bar.set_postfix_str(f"loss {first:.4f} + {second:.4f}, {len(shards.maps)} shards")
                append(
                    out / "losses.csv",
                    **run.position,
                    first=first,
                    second=second,
                    rate=run.rate,
                    size=options.size_at(run.progress),
                    shards=len(shards.maps),
                )
            if run.step % options.validate_every == 0:
                run.validate(held_out, out / "validation.csv", bar.write)
            if run.step % options.save_every == 0:
                run.save(out / "checkpoint.pt")
        if run.step % options.validate_every:
            run.validate(held_out, out / "validation.csv", bar.write)
    finally:
        run.save(out / "checkpoint.pt")
        drawer.shutdown(cancel_futures=True)
        bar.close()
    average_network.load_state_dict(run.average.state)


class Run:
    """What a run consists of, and where it stands: step, samples, hours."""

    def __init__(
        self,
        network: nn.Module,
        average_network: nn.Module,
        importance: torch.Tensor,
        options: TrainingOptions,
        device: torch.device,
        task: Task,
    ):
        self.network, self.average_network, self.options, self.device, self.task = (
            network,
            average_network,
            options,
            device,
            task,
        )
        network.to(device, memory_format=torch.channels_last).train()
        self.importance = importance.to(device)
        self.optimiser = MuonAdamW(network, options.rate, options.weight_decay)
        self.average = Average(network, options.ema)
        self.step = self.samples = 0
        self._began = time.monotonic()

    @property
    def hours(self) -> float:
        return (time.monotonic() - self._began) / 3600

    @property
    def progress(self) -> float:
        """0 at the start, 1 at the end of the run."""
        return self.step / self.options.steps if self.options.hours is None else self.hours / self.options.hours

    @property
    def rate(self) -> float:
        return self.options.rate_at(self.step, self.progress)

    @property
    def position(self) -> dict[str, float]:
        """Where the run stands, for a table."""
        return {"step": self.step, "samples": self.samples, "hours": round(self.hours, 4)}

    def learn(self, batch: Batch) -> tuple[float, float]:
        """One step on a batch, in bfloat16 where the device multiplies that faster; the two terms of its loss."""
        self.optimiser.set_rate(self.rate)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)):
            first, second = self.task.loss(self.network, batch.to(self.device), self.importance, self.options)
        self.optimiser.zero_grad()
        (first + second).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.network)
        self.step, self.samples = self.step + 1, self.samples + len(batch.picture)
        return float(first.detach()), float(second.detach())

    def validate(self, held_out: Shards, table: Path, say: Callable[[str], None]) -> None:
        """Measure the averaged network on held-out people, by what it is told."""
        self.average_network.load_state_dict(self.average.state)
        self.average_network.to(self.device).eval()
        for conditioning, v2v in self.task.validate(
            self.average_network, held_out, self.options.size_at(self.progress)
        ).items():
            append(
                table,
                **self.position,
                conditioning=conditioning,
                **{f"v2v_{i + 1}": round(v, 2) for i, v in enumerate(v2v)},
            )
            say(
                f"step {self.step}, {self.samples} samples, told {conditioning}: V2V mm per iteration "
                + " ".join(f"{v:.1f}" for v in v2v)
            )

    def save(self, path: Path) -> None:
        """Write everything that `resume` needs, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state,
            "average_count": self.average.count,
        }
        torch.save({**state, "step": self.step, "samples": self.samples, "hours": self.hours}, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one; the options are today's."""
        if not path.exists():
            return
        saved = torch.load(path, map_location=self.device, weights_only=True)
        try:
            self.network.load_state_dict(saved["network"])
            self.optimiser.load_state_dict(saved["optimiser"])
        except (KeyError, ValueError, RuntimeError):
            raise UserError(
                f"{path} is another network's or another optimiser's checkpoint: choose another --out, and take its weights with --start-from."
            ) from None
        self.average.state, self.average.count = saved["average"], saved["average_count"]
        self.step, self.samples, self._began = saved["step"], saved["samples"], time.monotonic() - 3600 * saved["hours"]
        log.info("resumed at step %d", self.step)


def wait_for_shards(shards: Shards, workers: list) -> None:
    """Take in what has been made; wait only if there is nothing at all."""
    while shards.refresh() == 0:
        if not any(w.is_alive() for w in workers):
            raise UserError(
                f"There are no shards in {shards.folder}, and no worker that makes any; see --workers.", exit_code=1
            )
        time.sleep(1)


def begin_at_the_mean(network: LVD, shards: Shards, workers: list) -> None:
    """A head that predicts depths starts from the people's mean depths."""
    wait_for_shards(shards, workers)
    mean = np.mean(shards.rows(shards.maps[0], slice(None), ("vertices",))["vertices"][..., 2], 0, np.float32)
    with torch.no_grad():
        network.field.head.bias.view(-1, 3)[:, 2] = torch.from_numpy(mean)


def append(path: Path, **values) -> None:
    """Add a row to a CSV file, with a header if it is new."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, values)
        if new:
            writer.writeheader()
        writer.writerow(values)
