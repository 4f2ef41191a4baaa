"""python -m lvd_live train: make synthetic people, train on them while they are being made, write weights."""

from __future__ import annotations

import argparse
import logging
import signal
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from lvd_live.body.control import vertex_areas
from lvd_live.body.model import BodyModel
from lvd_live.errors import Parser, UserError
from lvd_live.lift.lifter import Lifter
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import PRESETS
from lvd_live.paths import MODELS
from lvd_live.synth.dataset import Shards, make_shards, start_workers
from lvd_live.train.baseline import REGRESSION, Regressor
from lvd_live.train.lifter import LifterOptions, train_lifter
from lvd_live.train.loop import DESCENT, TrainingOptions, begin_at_the_mean, train

HELD_OUT_SHARDS = 4


def read_body(models: Path) -> dict[str, np.ndarray]:
    """What training needs of the body file: v_template, f and the control arrays. UserError if it is not there."""
    try:
        with np.load(models / "body" / "lvd_body.npz", allow_pickle=False) as file:
            return {k: file[k] for k in ("v_template", "f", "part_labels", "control", "control_columns", "control_mix")}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        raise UserError(
            f"{models} does not hold the body that training needs (body/lvd_body.npz); restore it from the repository or bake it."
        ) from None


def network_for(preset: str, body: dict[str, np.ndarray]) -> LVD:
    """A fresh network for the body file's arrays."""
    p = PRESETS[preset]
    if p.vertices == len(body["v_template"]):
        return LVD(p)
    return LVD(
        p, *(torch.from_numpy(body[k].astype(np.float32)) for k in ("control", "control_columns", "control_mix"))
    )


def baseline_for(models: Path, body: dict[str, np.ndarray]) -> Regressor:
    """A fresh baseline for the body file's arrays."""
    return Regressor(
        BodyModel.load(models / "body" / "lvd_body.npz"),
        *(
            torch.from_numpy(body[k].astype(t))
            for k, t in (("control", np.int64), ("control_columns", np.int64), ("control_mix", np.float32))
        ),
    )


def importance_of(body: dict[str, np.ndarray], served: int) -> torch.Tensor:
    """What each of the `served` vertices counts in the loss, (K,) float32, mean 1: half by the surface it stands for, half by the body's vertices that it brings along, between a fifth and five times the mean.

    By surface alone hands, feet and head make a fifth of the loss, by vertices alone more than half: so they neither vanish nor rule.
    """
    area = vertex_areas(body["v_template"].astype(np.float64), body["f"])
    count = np.ones_like(area)
    if served < len(area):
        nearest = np.take_along_axis(body["control_columns"].astype(int), body["control_mix"].argmax(1)[:, None], 1)[
            :, 0
        ]
        area, count = (np.bincount(nearest, share, minlength=served) for share in (area, count))
    importance = np.clip((area / area.mean() + count / count.mean()) / 2, 0.2, 5.0)
    return torch.from_numpy(importance / importance.mean()).float()


def learn_to_lift(args: argparse.Namespace, device: torch.device) -> int:
    """Train the lifter; its weights come to OUT/lifter.safetensors."""
    if args.samples < 1:
        raise UserError("--samples must be at least 1.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = LifterOptions(samples=args.samples, hours=args.hours, seed=args.seed)
    train_lifter(args.models, args.out or Path("runs") / "lifter", options, device=device)
    return 0


def main(argv: list[str] | None = None) -> int:
    """The `train` tool."""
    parser = Parser(prog="python -m lvd_live train", description=__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="live")
    parser.add_argument(
        "--baseline",
        action="store_true",
        help="instead of the preset's network, a ResNet-18 that regresses body parameters, on the same crops",
    )
    parser.add_argument(
        "--lifter",
        action="store_true",
        help="instead of the preset's network, the lifter of landmarks, on samples made on the way; it takes --models,"
        " --out, --hours or --samples, --seed, --device and --threads",
    )
    parser.add_argument(
        "--models", type=Path, default=MODELS, help="folder with the body and what synthetic people are made of"
    )
    parser.add_argument(
        "--data", type=Path, default=Path("runs/data"), help="where shards of samples are made and read"
    )
    parser.add_argument("--out", type=Path, help="where checkpoints and tables go (default runs/PRESET)")
    parser.add_argument(
        "--weights", type=Path, help="where the averaged weights are written (default OUT/PRESET.safetensors)"
    )
    parser.add_argument("--start-from", type=Path, help="weights to start from")
    parser.add_argument(
        "--shards", type=int, default=240, help="shards of 256 samples to make; those already made are kept"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that make shards; 0 when --data is complete")
    parser.add_argument("--steps", type=int, default=TrainingOptions.steps)
    parser.add_argument(
        "--hours", type=float, help="train for so long instead of --steps; the schedule follows the clock"
    )
    parser.add_argument("--samples", type=int, default=LifterOptions.samples, help="of the lifter, without --hours")
    parser.add_argument("--batch", type=int, default=TrainingOptions.batch)
    parser.add_argument("--rate", type=float, default=TrainingOptions.rate)
    parser.add_argument(
        "--sizes",
        help="SHARE:PIXELS stages, each until that share of the run, such as 0.5:128,1:192 (default: the preset's own size throughout)",
    )
    parser.add_argument("--validate-every", type=int, default=TrainingOptions.validate_every)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads for training")
    parser.add_argument(
        "--drawers", type=int, default=TrainingOptions.drawers, help="threads that draw batches: more for a fast GPU"
    )
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        stages = args.sizes or f"1:{Regressor.size if args.baseline else PRESETS[args.preset].size}"
        sizes = tuple((float(a), int(b)) for a, b in (stage.split(":") for stage in stages.split(",")))
    except ValueError:
        raise UserError(f"--sizes {args.sizes} is not a list like 0.5:128,1:192.") from None
    from lvd_live.lvd.weights import load_weights, save_weights

    try:
        device = torch.device(args.device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise UserError(f"There is no device {args.device!r} here; leave --device out to use what there is.") from None
    if args.hours is not None and not 0 < args.hours < float("inf"):
        raise UserError("--hours must be more than 0.")
    if args.lifter:
        return learn_to_lift(args, device)
    torch.manual_seed(args.seed)
    body = read_body(args.models)
    network, average = (
        baseline_for(args.models, body) if args.baseline else network_for(args.preset, body) for _ in range(2)
    )
    for name in ("steps", "batch", "shards"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} must be at least 1.")
    if any(pixels % 32 or pixels < 32 for _, pixels in sizes):
        raise UserError("--sizes must be multiples of 32 pixels.")
    if args.start_from:
        if args.baseline:
            raise UserError(
                "--start-from takes a preset's weights; the baseline goes on from the checkpoint in --out by itself."
            )
        load_weights(network, args.start_from)
    held_out = args.data.with_name(args.data.name + "-held-out")
    make_shards(held_out, args.models, 192, range(HELD_OUT_SHARDS), held_out=True)
    args.data.mkdir(parents=True, exist_ok=True)
    workers = start_workers(args.data, args.models, 192, args.shards, args.workers, seed=args.seed)
    name = "baseline" if args.baseline else args.preset
    out = args.out or Path("runs") / name
    options = replace(
        TrainingOptions(),
        steps=args.steps,
        hours=args.hours,
        batch=args.batch,
        rate=args.rate,
        sizes=sizes,
        drawers=args.drawers,
        validate_every=args.validate_every,
        seed=args.seed,
        clip=PRESETS[args.preset].clip or 0.288,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a machine that is taken away saves like Ctrl-C
    upsample = (
        None if network.columns is not None else (body["control_columns"].astype(int), body["control_mix"])
    )  # a network that serves all vertices learns from all
    shards = Shards.open(args.data, upsample)
    if isinstance(network, LVD) and not args.start_from and network.preset.clip is not None:
        begin_at_the_mean(network, shards, workers)
    train(
        network,
        average,
        shards,
        Shards.open(held_out, upsample),
        importance_of(body, len(network.control) if isinstance(network, LVD) else len(body["control"])),
        out,
        options,
        device=device,
        workers=workers,
        task=REGRESSION if args.baseline else DESCENT,
        lifter=None if args.baseline else Lifter.shipped(),
    )
    path = args.weights or out / f"{name}.safetensors"
    if args.baseline:
        save_file(average.state_dict(), path, {"preset": name})
    else:
        save_weights(average, path, {"hours": args.hours, "steps": args.steps})
    return 0
