"""The training loop: one file, one sitting."""

from __future__ import annotations

import csv
import json
import logging
import math
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from lvd_live.lvd.network import LVD, network_input
from lvd_live.synth.dataset import Shards
from lvd_live.train.batches import Batch, Variation, draw_batch
from lvd_live.train.loss import LossOptions, descent_loss
from lvd_live.evaluate.descent import validate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What a run does. steps, or hours if given: a run of so many hours' time, whatever the machine, with the whole schedule in it.

    sizes: (share of the run, crop pixels) stages, small first: a small crop costs a fraction and teaches most of the pose.
    """

    steps: int = 12_000
    hours: float | None = None
    batch: int = 16
    rate: float = 2e-3
    field_rate: float = 0.4  # of the rate
    warm_up: int = 200
    weight_decay: float = 0.02
    ema: float = 0.999
    sizes: tuple[tuple[float, int], ...] = ((0.75, 128), (1.0, 192))
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
        return self.rate * min(1.0, (step + 1) / self.warm_up) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def parameter_groups(network: LVD, options: Options) -> list[dict]:
    """AdamW's groups: weight decay on matrices alone; the field, whose outputs are millimetres, learns in smaller steps than the backbone."""
    groups = []
    for module, share in ((network.backbone, 1.0), (network.field, options.field_rate)):
        for matrices, decay in ((True, options.weight_decay), (False, 0.0)):
            groups.append({"params": [p for p in module.parameters() if (p.ndim > 1) == matrices], "weight_decay": decay, "share": share, "lr": options.rate * share})
    return groups


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


def train(network: LVD, average_network: LVD, shards: Shards, held_out: Shards, area: torch.Tensor, out: Path, options: Options, *, device: torch.device, workers: list) -> None:
    """Train `network`; write `out`/checkpoint.pt (everything, to go on from), losses.csv, validation.csv. `average_network`, of the same shape, is what is validated and shipped.

    Resumes from the checkpoint if there is one. Waits only for the first shards; those made later join as they come.
    """
    out.mkdir(parents=True, exist_ok=True)
    network.to(device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(parameter_groups(network, options), betas=(0.9, 0.99), fused=True)
    average = Average(network, options.ema)
    step, samples, hours = 0, 0, 0.0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        average.state, average.count = saved["average"], saved["average_count"]
        step, samples, hours = saved["step"], saved["samples"], saved["hours"]
        log.info("resumed at step %d", step)
    elif network.preset.clip is not None:
        begin_at_the_mean(network, shards, workers)
        average.state = {k: v.detach().clone() for k, v in network.state_dict().items()}
    (out / "options.json").write_text(json.dumps(asdict(options), indent=1))
    area = area.to(device)
    began = time.monotonic() - 3600 * hours
    losses, validations = _Table(out / "losses.csv"), _Table(out / "validation.csv")
    recent: list[tuple[float, float]] = []

    def progress() -> float:
        return step / options.steps if options.hours is None else (time.monotonic() - began) / 3600 / options.hours

    def draw(number: int) -> Future[Batch]:
        """Batch `number`, drawn by another thread while earlier ones are learned from."""
        return drawer.submit(draw_batch, shards, np.random.default_rng((options.seed, number)), options.batch, options.size_at(progress()), options.variation)

    wait_for_shards(shards, workers)
    drawer = ThreadPoolExecutor(options.drawers)
    coming = deque(draw(step + i) for i in range(2 * options.drawers))
    bar = tqdm(initial=step, total=options.steps if options.hours is None else None, unit="step", smoothing=0.02, mininterval=5)
    while (done := progress()) < 1:
        for group in optimiser.param_groups:
            group["lr"] = options.rate_at(step, done) * group["share"]
        batch = coming.popleft().result()
        coming.append(draw(step + 2 * options.drawers))
        picture = network_input(batch.picture.to(device), batch.mask.to(device))
        with torch.autocast(device.type, torch.bfloat16):
            seen = network.see(picture, batch.landmarks.to(device))
            everyone, itself = descent_loss(network.field, seen, batch.vertices.to(device), area, options.clip, options.loss)
        optimiser.zero_grad(set_to_none=True)
        (everyone + options.loss.own_weight * itself).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update(network)
        step, samples = step + 1, samples + options.batch
        recent.append((float(everyone.detach()), float(itself.detach())))
        bar.update()
        if step % 50 == 0:
            shards.refresh()
            mean = np.mean(recent, 0)
            recent.clear()
            hours = (time.monotonic() - began) / 3600
            bar.set_postfix_str(f"Eq. 5 {mean[0]:.4f}, own {mean[1]:.4f}, {len(shards.maps)} shards")
            losses.row(step=step, samples=samples, hours=round(hours, 4), everyone=mean[0], own=mean[1], rate=options.rate_at(step, done), size=options.size_at(done), shards=len(shards.maps))
        last = progress() >= 1
        if last or step % options.validate_every == 0:
            average_network.load_state_dict(average.state)
            for given in (True, False):
                per_iteration = validate(average_network.to(device), held_out, size=options.size_at(done), landmarks=given)
                validations.row(step=step, samples=samples, hours=round(hours, 4), landmarks=int(given), **{f"v2v_{i + 1}": round(v, 2) for i, v in enumerate(per_iteration)})
                bar.write(f"step {step}, {samples} samples, {'with' if given else 'without'} landmarks: V2V mm per iteration " + " ".join(f"{v:.1f}" for v in per_iteration))
        if last or step % options.save_every == 0:
            hours = (time.monotonic() - began) / 3600
            everything = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "average": average.state, "average_count": average.count, "step": step, "samples": samples, "hours": hours}
            torch.save(everything, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
    drawer.shutdown(cancel_futures=True)
    bar.close()


def wait_for_shards(shards: Shards, workers: list) -> None:
    """Take in what has been made; wait only if there is nothing at all."""
    while shards.refresh() == 0:
        if not any(w.is_alive() for w in workers):
            raise RuntimeError("there are no shards, and no worker that makes any")
        time.sleep(1)


def begin_at_the_mean(network: LVD, shards: Shards, workers: list) -> None:
    """A head that predicts depths starts from the people's mean depths."""
    wait_for_shards(shards, workers)
    mean = np.mean(shards.rows(shards.maps[0], slice(None), ("vertices",))["vertices"][..., 2], 0, np.float32)
    with torch.no_grad():
        network.field.head.bias.view(-1, 3)[:, 2] = torch.from_numpy(mean)


class _Table:
    """A CSV file that a run appends to."""

    def __init__(self, path: Path):
        self.path = path

    def row(self, **values) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, values)
            if new:
                writer.writeheader()
            writer.writerow(values)
