"""python -m lvd_live ablate: what the error hangs on.

One change at a time, each network from scratch, at equal cost in CPU seconds.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvd_live.errors import Parser, UserError
from lvd_live.lift.lifter import Lifter
from lvd_live.lvd.backbones.fpn import FPN
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import CLIP, PRESETS, Preset
from lvd_live.paths import MODELS
from lvd_live.synth.dataset import Shards
from lvd_live.train.batches import draw_batch
from lvd_live.train.lock import only_training
from lvd_live.train.loop import Run, begin_at_the_mean, train
from lvd_live.train.networks import importance_of, network_for, read_body
from lvd_live.train.options import TrainingOptions
from lvd_live.train.task import DESCENT

TIMED = 6  # steps, to learn what one costs
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Change:
    """What differs from the recipe.

    preset, options, variation : fields of `Preset`, `TrainingOptions` and `Variation`.
    hidden : fields of the samples that read as zeros. share : of the shards that is trained on.
    """

    preset: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    variation: Mapping[str, Any] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    share: float = 1.0


CHANGES: dict[str, Change] = {
    "as it is, at 128 pixels": Change(),
    "192 pixels": Change(options={"sizes": ((1.0, 192),)}),
    "without the finder's feature maps": Change(hidden=("fine", "coarse")),
    "without landmarks": Change(hidden=("landmarks",), variation={"no_landmarks": 1.0}),
    "an eighth of the people": Change(share=1 / 8),
    "backbone 1.5 times as wide": Change(preset={"backbone": partial(FPN, widths=(96, 144, 240, 384))}),
    "field twice as wide": Change(preset={"hidden": 512}),
    "batches of 32": Change(options={"batch": 32}),
}


@dataclass
class TrialShards(Shards):
    """Shards that stay those that they were opened with. hidden : fields that read as zeros: absent."""

    hidden: tuple[str, ...] = ()

    @classmethod
    def open_share(cls, folder: Path, hidden: tuple[str, ...], share: float = 1.0) -> TrialShards:
        """That share of the shards of a folder, and at least one."""
        maps = Shards.open(folder).maps
        return cls(folder, maps[: max(1, round(share * len(maps)))], None, hidden)

    def refresh(self) -> int:
        """How many shards there are."""
        return len(self.maps)

    def rows(
        self, shard: np.ndarray, chosen: int | slice | np.ndarray, keys: tuple[str, ...] | None = None
    ) -> dict[str, np.ndarray]:
        """As `Shards.rows`, the hidden fields zeros."""
        rows = super().rows(shard, chosen, keys)
        return {key: np.zeros_like(value) if key in self.hidden else value for key, value in rows.items()}


def try_one(
    change: Change,
    preset: Preset,
    make: Callable[[Preset], LVD],
    folders: tuple[Path, Path],
    importance: torch.Tensor,
    out: Path,
    seconds: float,
) -> dict[str, str]:
    """Train from scratch for so many CPU seconds; the trial's `results`.

    make : a fresh network of a preset. folders : of the shards to train on, and of those held out.
    """
    options = TrainingOptions(clip=preset.clip or CLIP)
    options = replace(options, **change.options, variation=replace(options.variation, **change.variation))
    preset = replace(preset, **change.preset)
    shards, held_out = (
        TrialShards.open_share(folder, change.hidden, share)
        for folder, share in zip(folders, (change.share, 1.0), strict=True)
    )
    torch.manual_seed(options.seed)
    trial = Run(make(preset), make(preset), importance, options, CPU, DESCENT)
    steps = max(1, round(seconds / seconds_per_step(trial, shards)))
    network, average = make(preset), make(preset)
    begin_at_the_mean(network, shards)
    options = replace(options, steps=steps, validate_every=steps)
    train(
        network,
        average,
        shards,
        held_out,
        importance,
        out,
        options,
        task=DESCENT,
        device=CPU,
        workers=[],
        lifter=Lifter.shipped(),
    )
    return results(out)


def seconds_per_step(trial: Run[LVD], shards: Shards) -> float:
    """CPU seconds of a training step, those of drawing its batch included, once a few have been done."""
    rng, size, began = np.random.default_rng(0), trial.options.size_at(0), 0.0
    for i in range(2 * TIMED):
        if i == TIMED:
            began = time.process_time()
        options = trial.options
        trial.learn(draw_batch(shards, rng, options.batch, size, options.variation, Lifter.shipped()))
    return (time.process_time() - began) / TIMED


def results(out: Path) -> dict[str, str]:
    """V2V, mm, after 6 iterations at the end of a trial, by conditioning; and how many "samples" it saw."""
    with (out / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = [row for row in rows if row["step"] == rows[-1]["step"]]
    return {"samples": rows[-1]["samples"], **{row["conditioning"]: row["v2v_6"] for row in last}}


def main(argv: list[str] | None = None) -> int:
    """The `ablate` tool."""
    args = _parser().parse_args(argv)
    if not (args.seconds > 0 and args.threads > 0):
        raise UserError("--seconds and --threads must be more than 0.")
    folders = (args.data, args.data.with_name(args.data.name + "-held-out"))
    if not all(any(folder.glob("*.npy")) for folder in folders):
        raise UserError(f"There are no shards in {folders[0]} and {folders[1]}; `python -m lvd_live train` makes them.")
    torch.set_num_threads(args.threads)
    body, preset = read_body(MODELS), PRESETS["live"]
    make, importance = partial(network_for, body=body), importance_of(body, preset.vertices)
    lines = [
        f"Each from scratch, {args.seconds:.0f} CPU seconds, one change at a time. V2V in mm after 6 iterations on 512 "
        "held-out people, aligned at the mean of the control vertices, by what the network is told.",
        "",
        "| change | samples | all | maps | picture |",
        "|---|---|---|---|---|",
    ]
    with only_training(args.out):
        for name, change in CHANGES.items():
            out = args.out / name.replace(" ", "-").replace("'", "")
            if (out / "validation.csv").exists():
                found = results(out)
            else:
                found = try_one(change, preset, make, folders, importance, out, args.seconds)
            lines.append(
                f"| {name} | {int(found['samples']):,} | {found['all']} | {found['maps']} | {found['picture']} |"
            )
            (args.out / "ablations.md").write_text("\n".join(lines) + "\n")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="python -m lvd_live ablate", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("runs/data"), help="shards, made by `train`; those held out lie beside them"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/ablations"),
        help="a folder per trial, and ablations.md; a trial that is there is not repeated",
    )
    parser.add_argument("--seconds", type=float, default=480, help="CPU seconds a trial")
    parser.add_argument("--threads", type=int, default=1)
    return parser
