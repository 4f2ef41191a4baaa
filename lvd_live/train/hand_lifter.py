"""Training the hand lifter: `python -m lvd_live train --lifter --hands`. Hands are rendered first, then learned from.

The loss is the likelihood of the true points (`lift.network.laplace_loss`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvd_live.lift.hand_network import HandLiftNetwork
from lvd_live.lift.hands import HandFrames, HandViews, hand_features
from lvd_live.synth.hand_looks import make_hand_looks
from lvd_live.train.lifter import CHECKPOINT, LifterOptions, LifterRun, run_to_the_end

PEOPLE = 400  # to render: half an hour of one core
SAMPLES = 500_000
LOOKS = "looks.npz"
VALIDATION = 0.1  # of the people, the last ones: not learned from
POINT, DEPTH, SPACE = 0.024, 0.04, 0.006  # noise beside the network's errors: of a hand's length twice, metres
FOREARM, LENGTH = 0.2, 0.1  # radians, and of the logarithm: how far mesh and pose are off


@dataclass(frozen=True)
class HandBatch:
    """landmarks (B, FEATURES) as of `hand_features`, truth (B, 21, 3), hand frame."""

    landmarks: torch.Tensor
    truth: torch.Tensor


class HandSamples:
    """Looks at hands (see `synth.hand_looks`), with noise. looks : those of some people."""

    def __init__(self, looks: dict[str, np.ndarray], device: torch.device, seed: int = 0):
        self.looks, self.device, self.rng = looks, device, np.random.default_rng(seed)

    def draw(self, count: int) -> HandBatch:
        """`count` of them, each with noise of its own."""
        rng = self.rng
        chosen = rng.integers(len(self.looks["side"]), size=count)
        rows = {name: values[chosen] for name, values in self.looks.items()}
        size = rows["length"][:, None]
        rows["landmarks"] = (
            rows["landmarks"] + rng.normal(0, 1, (count, 21, 3)) * (POINT, POINT, DEPTH) * size[..., None]
        )
        rows["world"] = rows["world"] + rng.normal(0, SPACE, (count, 21, 3))
        forearm = rows["forearm"] + rng.normal(0, FOREARM, (count, 3))
        rows["forearm"] = forearm / np.linalg.norm(forearm, axis=1, keepdims=True)
        rows["length"] = rows["length"] * np.exp(rng.normal(0, LENGTH, count))
        return self._batch(rows)

    def all(self) -> HandBatch:
        """All of them, as they are."""
        return self._batch(self.looks)

    def _batch(self, rows: dict[str, np.ndarray]) -> HandBatch:
        frames = HandFrames.of(rows["landmarks"], rows["side"])
        views = HandViews(**{name: rows[name] for name in HandViews.__dataclass_fields__})
        arrays = hand_features(views, frames), frames.placed(rows["truth"].astype(float)).astype(np.float32)
        return HandBatch(*(torch.from_numpy(array).to(self.device) for array in arrays))


class HandLifterRun(LifterRun):
    """See `LifterRun`."""

    def new_network(self) -> HandLiftNetwork:
        """An untrained network."""
        return HandLiftNetwork(self.options.width, self.options.blocks)

    def answers(self, network: HandLiftNetwork, batch: HandBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Points and log_scale of a batch, see `HandLiftNetwork`."""
        points, log_scale = network(batch.landmarks)
        return points, log_scale


def hand_options(samples: int = SAMPLES, hours: float | None = None, seed: int = 0) -> LifterOptions:
    """What a run does."""
    return LifterOptions(
        samples=samples,
        hours=hours,
        batch=256,
        warm_up=200,
        weight_decay=0.02,
        ema=0.999,
        width=56,
        blocks=2,
        seed=seed,
    )


def train_hand_lifter(
    models: Path, out: Path, options: LifterOptions, *, device: torch.device, people: int = PEOPLE
) -> Path:
    """Train into `out`: looks.npz (rendered unless it is there), checkpoint.pt, validation.csv, hands.safetensors (the
    averaged weights, float16); its path.

    Resumes from the checkpoint if there is one. Ctrl-C saves and is passed on. people : to render.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / LOOKS
    if not path.exists():
        part = path.with_suffix(".part.npz")
        made: dict[str, Any] = make_hand_looks(models, people, seed=options.seed)
        np.savez(part, **made)
        part.replace(path)
    with np.load(path, allow_pickle=False) as file:
        looks = {name: file[name] for name in file.files}
    everyone = np.unique(looks["person"])
    learned = ~np.isin(looks["person"], everyone[-max(1, round(VALIDATION * len(everyone))) :])
    run = HandLifterRun(options, device)
    run.resume(out / CHECKPOINT)
    samples = HandSamples({name: values[learned] for name, values in looks.items()}, device, options.seed + run.step)
    held_out = HandSamples({name: values[~learned] for name, values in looks.items()}, device).all()
    return run_to_the_end(run, lambda: samples.draw(options.batch), held_out, out / "hands.safetensors")
