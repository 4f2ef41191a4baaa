"""python -m lvd_live ablate: what the error hangs on. One change at a time, each network from scratch, at equal cost in CPU seconds."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lvd_live.errors import Parser, UserError
from lvd_live.lvd.backbones.fpn import FPN
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import PRESETS, Preset
from lvd_live.paths import MODELS
from lvd_live.synth.dataset import Shards
from lvd_live.train.batches import draw_batch
from lvd_live.train.cli import importance_of, read_body
from lvd_live.train.loop import DESCENT, Run, TrainingOptions, begin_at_the_mean, train

TIMED = 6  # steps, to learn what one costs


@dataclass(frozen=True)
class Change:
    """What differs from the recipe. preset: of the preset's fields; options, variation: of the training's; hidden: fields of the samples that nobody gets to see; share: of the shards."""

    preset: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    variation: dict = field(default_factory=dict)
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
class Blindfolded(Shards):
    """Shards, some of whose fields read as zeros: absent."""

    hidden: tuple[str, ...] = ()

    def rows(self, *args) -> dict[str, np.ndarray]:
        return {
            key: np.zeros_like(value) if key in self.hidden else value for key, value in super().rows(*args).items()
        }


def try_one(
    change: Change,
    preset: Preset,
    make: Callable[[Preset], LVD],
    folders: tuple[Path, Path],
    importance: torch.Tensor,
    out: Path,
    seconds: float,
) -> dict[str, str]:
    """Train from scratch for so many CPU seconds; the last rows of validation.csv by evidence."""
    options = TrainingOptions(clip=preset.clip)
    options = replace(options, **change.options, variation=replace(options.variation, **change.variation))
    preset = replace(preset, **change.preset)
    shards, held_out = (Blindfolded(folder, [], None, change.hidden) for folder in folders)
    shards.refresh()
    shards.maps = shards.maps[: max(1, round(change.share * len(shards.maps)))]
    torch.manual_seed(options.seed)
    trial = Run(make(preset), make(preset), importance, options, torch.device("cpu"), DESCENT)
    rng, size = np.random.default_rng(0), options.size_at(0)
    for i in range(2 * TIMED):
        if i == TIMED:
            began = time.process_time()
        trial.learn(draw_batch(shards, rng, options.batch, size, options.variation))
    steps = max(1, round(seconds * TIMED / (time.process_time() - began)))
    network, average = make(preset), make(preset)
    begin_at_the_mean(network, shards, [])
    shards.refresh = lambda: len(shards.maps)  # no more join
    train(
        network,
        average,
        shards,
        held_out,
        importance,
        out,
        replace(options, steps=steps, validate_every=steps),
        device=torch.device("cpu"),
        workers=[],
    )
    return results(out)


def results(out: Path) -> dict[str, str]:
    """By evidence, V2V after 6 iterations at the end of a trial; and how many samples it saw."""
    with (out / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        "samples": rows[-1]["samples"],
        **{row["conditioning"]: row["v2v_6"] for row in rows if row["step"] == rows[-1]["step"]},
    }


def main(argv: list[str] | None = None) -> int:
    """The `ablate` tool."""
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
    args = parser.parse_args(argv)
    if not (args.seconds > 0 and args.threads > 0):
        raise UserError("--seconds and --threads must be more than 0.")
    folders = (args.data, args.data.with_name(args.data.name + "-held-out"))
    if not all(any(folder.glob("*.npy")) for folder in folders):
        raise UserError(f"There are no shards in {folders[0]} and {folders[1]}; `python -m lvd_live train` makes them.")
    torch.set_num_threads(args.threads)
    body = read_body(MODELS)
    control = [torch.from_numpy(body[k].astype(np.float32)) for k in ("control", "control_columns", "control_mix")]
    preset, importance = PRESETS["live"], importance_of(body, PRESETS["live"].vertices)
    lines = [
        f"Each from scratch, {args.seconds:.0f} CPU seconds, one change at a time. V2V in mm after 6 iterations on 512 held-out people, aligned at the mean of the control vertices, by what the network is told.",
        "",
        "| change | samples | all | maps | picture |",
        "|---|---|---|---|---|",
    ]
    for name, change in CHANGES.items():
        out = args.out / name.replace(" ", "-").replace("'", "")
        found = (
            results(out)
            if (out / "validation.csv").exists()
            else try_one(change, preset, lambda p: LVD(p, *control), folders, importance, out, args.seconds)
        )
        lines.append(f"| {name} | {int(found['samples']):,} | {found['all']} | {found['maps']} | {found['picture']} |")
        (args.out / "ablations.md").write_text("\n".join(lines) + "\n")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
