"""python -m lvd_live train: make synthetic people, train on them while they are being made, write weights."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from lvd_live.body.hand import HandModel
from lvd_live.errors import Parser, UserError
from lvd_live.evaluate.regressor import Regressor, new_regressor
from lvd_live.lift.lifter import Lifter
from lvd_live.lvd.presets import CLIP, PRESETS, SCAN_PRESETS
from lvd_live.lvd.weights import load_weights, save_weights
from lvd_live.paths import MODELS
from lvd_live.synth.dataset import Shards, make_shards, start_workers
from lvd_live.train import lifters
from lvd_live.train.baseline import REGRESSION
from lvd_live.train.hands import HAND_STAGES, HandOptions, train_hands
from lvd_live.train.lock import only_training
from lvd_live.train.loop import begin_at_the_mean, train, wait_for_shards
from lvd_live.train.networks import importance_of, network_for, read_body, upsampling_for
from lvd_live.train.options import TrainingOptions
from lvd_live.train.processes import Processes
from lvd_live.train.scans import SCAN_BATCH, SCAN_STAGES, check_scans, train_scans
from lvd_live.train.task import DESCENT, N, Task

HELD_OUT_SHARDS = 4
STAGES = {"scan": SCAN_STAGES, "hand": HAND_STAGES}  # of --sizes, where the preset has several
SIZE = 192  # pixels along a crop's side in the shards


def main(argv: list[str] | None = None) -> int:
    """The `train` tool."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.threads:
        torch.set_num_threads(args.threads)
    _fill_in(args)
    sizes, device = _sizes(args), _device(args.device)
    _check(args, sizes)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a machine that is taken away saves like Ctrl-C
    with Processes.joined(device) as processes:
        if not processes.first:
            logging.getLogger().setLevel(logging.WARNING)
        with only_training(args.out) if processes.first else contextlib.nullcontext():
            _train(args, sizes, device, processes)
    return 0


def _train(
    args: argparse.Namespace, sizes: tuple[tuple[float, int], ...], device: torch.device, processes: Processes
) -> None:
    """Train what the command line asks for. sizes : see `TrainingOptions.sizes`."""
    if args.preset == "hand":
        if not processes.alone:
            raise UserError("Preset hand is trained by one process: start it without torchrun.")
        _train_hands(args, sizes, device)
        return
    if args.preset in SCAN_PRESETS:
        torch.manual_seed(args.seed)
        train_scans(args, sizes, device, processes)
        return
    if args.lifter:
        lifters.train(args, device, processes)
        return
    options = TrainingOptions.asked(args, sizes, clip=PRESETS[args.preset].clip or CLIP)
    torch.manual_seed(args.seed)
    if args.baseline:
        _train_baseline(args, options, device, processes)
    else:
        _train_preset(args, options, device, processes)


def _parser() -> Parser:
    many = "Over many GPUs or machines: torchrun --nproc-per-node N -m lvd_live train ...; see docs/training.md."
    parser = Parser(prog="python -m lvd_live train", description=__doc__, epilog=many)
    add = parser.add_argument
    add(
        "--preset",
        choices=sorted({*PRESETS, *SCAN_PRESETS}),
        default="live",
        help="the network; scan, paper-scan and hand learn from synthetic scans instead of pictures",
    )
    add(
        "--baseline",
        action="store_true",
        help="instead of the preset's network, a ResNet-18 that regresses body parameters, on the same crops",
    )
    lifters.add_options(parser)
    models_help = "folder with the body and what synthetic people are made of"
    add("--models", type=Path, default=MODELS, help=models_help)
    add("--data", type=Path, help="where shards are made and read (default runs/data, of scans runs/scans)")
    add("--out", type=Path, help="where checkpoints and tables go (default runs/PRESET)")
    add("--weights", type=Path, help="where the averaged weights are written (default OUT/PRESET.safetensors)")
    add("--start-from", type=Path, help="weights to start from")
    shards_help = (
        "to make: of 256 samples each (default 240), or of 64 people to scan (24); those already made are kept"
    )
    add("--shards", type=int, help=shards_help)
    workers_help = "processes that make shards (of each process under torchrun); 0 when --data is complete"
    add("--workers", type=int, default=1, help=workers_help)
    add("--steps", type=int, default=TrainingOptions.steps)
    add("--hours", type=float, help="train for so long instead of --steps; the schedule follows the clock")
    add("--batch", type=int, help="samples a step, of each process under torchrun (default 16)")
    add("--rate", type=float, help="the highest learning rate")
    add(
        "--sizes",
        help="SHARE:PIXELS (or voxels) stages, each until that share of the run, such as 0.5:128,1:192 "
        "(default: the preset's own size throughout, but 0.4:32,1:48 for scan, 0.6:32,1:48 for hand)",
    )
    add("--validate-every", type=int, default=TrainingOptions.validate_every)
    add("--seed", type=int, default=0)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--threads", type=int, help="CPU threads for training")
    drawers_help = "threads that draw batches: more for a fast GPU"
    add("--drawers", type=int, default=TrainingOptions.drawers, help=drawers_help)
    return parser


def _train_hands(args: argparse.Namespace, sizes: tuple[tuple[float, int], ...], device: torch.device) -> None:
    """Train preset hand for --hours (1 by default): its scans are made in the batch, without shards or workers."""
    options = HandOptions(hours=args.hours or 1.0, batch=args.batch, rate=args.rate, sizes=sizes, seed=args.seed)
    hand = HandModel.load(args.models / "hand" / "right.npz")
    train_hands(hand, args.out, args.weights or args.out / "hand.safetensors", options, device)


def _fill_in(args: argparse.Namespace) -> None:
    """Give the options that were left out what they are for the preset."""
    scans = args.preset in SCAN_PRESETS
    if args.out is None:
        other = lifters.name(args) if args.lifter else "baseline" if args.baseline else args.preset
        args.out = Path("runs") / other
    if args.rate is None and not args.lifter:
        args.rate = TrainingOptions.rate
    args.data = args.data or Path("runs") / ("scans" if scans else "data")
    args.shards = (24 if scans else 240) if args.shards is None else args.shards
    args.batch = (SCAN_BATCH if scans else TrainingOptions.batch) if args.batch is None else args.batch


def _sizes(args: argparse.Namespace) -> tuple[tuple[float, int], ...]:
    """The stages of --sizes, see `TrainingOptions.sizes`."""
    if args.preset in SCAN_PRESETS:
        own = STAGES[args.preset] if args.preset in STAGES else f"1:{SCAN_PRESETS[args.preset].size}"
    else:
        own = f"1:{Regressor.size if args.baseline else PRESETS[args.preset].size}"
    stages = args.sizes or own
    try:
        return tuple((float(share), int(pixels)) for share, pixels in (s.split(":") for s in stages.split(",")))
    except ValueError:
        raise UserError(f"--sizes {args.sizes} is not a list like 0.5:128,1:192.") from None


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        if name == "cuda" and "LOCAL_RANK" in os.environ:  # torchrun's: each process has a GPU of its own
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise UserError(f"There is no device {name!r} here; leave --device out to use what there is.") from None
    return device


def _check(args: argparse.Namespace, sizes: tuple[tuple[float, int], ...]) -> None:
    """Raise UserError for options that cannot be."""
    lifters.check(args)
    if args.hours is not None and not 0 < args.hours < float("inf"):
        raise UserError("--hours must be more than 0.")
    for name in () if args.lifter else ("steps", "batch", "shards"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} must be at least 1.")
    if args.preset in SCAN_PRESETS:
        check_scans(args, sizes)
    elif any(pixels % 32 or pixels < 32 for _, pixels in sizes):
        raise UserError("--sizes must be multiples of 32 pixels.")
    if args.baseline and args.start_from:
        raise UserError(
            "--start-from takes a preset's weights; the baseline goes on from the checkpoint in --out by itself."
        )


@dataclass(frozen=True)
class _People:
    """The shards to train on, which the workers are still making, and those held out."""

    shards: Shards
    held_out: Shards
    workers: list[SpawnProcess]

    @classmethod
    def make(
        cls, args: argparse.Namespace, upsample: tuple[np.ndarray, np.ndarray] | None, processes: Processes
    ) -> _People:
        """Make the held-out people, for the first of `processes`, and start the workers. upsample : see `Shards`."""
        held_out = args.data.with_name(args.data.name + "-held-out")
        if processes.first:
            make_shards(held_out, args.models, SIZE, range(HELD_OUT_SHARDS), held_out=True)
        args.data.mkdir(parents=True, exist_ok=True)
        part = processes.share.rank, processes.share.count
        workers = start_workers(args.data, args.models, SIZE, args.shards, args.workers, seed=args.seed, part=part)
        return cls(Shards.open(args.data, upsample), Shards.open(held_out, upsample), workers)

    def teach(
        self,
        network: N,
        average: N,
        importance: torch.Tensor,
        out: Path,
        options: TrainingOptions,
        task: Task[N],
        device: torch.device,
        processes: Processes,
    ) -> None:
        """`loop.train` on them."""
        train(
            network,
            average,
            self.shards,
            self.held_out,
            importance,
            out,
            options,
            task=task,
            device=device,
            workers=self.workers,
            lifter=Lifter.shipped(),
            processes=processes,
        )


def _train_preset(
    args: argparse.Namespace, options: TrainingOptions, device: torch.device, processes: Processes
) -> None:
    body, preset = read_body(args.models), PRESETS[args.preset]
    network, average = (network_for(preset, body) for _ in range(2))
    if args.start_from:
        load_weights(network, args.start_from)
    people = _People.make(args, upsampling_for(network, body), processes)
    if not args.start_from and preset.clip is not None:
        wait_for_shards(people.shards, people.workers)
        begin_at_the_mean(network, people.shards)
    importance = importance_of(body, len(network.control))
    people.teach(network, average, importance, args.out, options, DESCENT, device, processes)
    if processes.first:
        path = args.weights or args.out / f"{args.preset}.safetensors"
        save_weights(average, path, {"hours": args.hours, "steps": args.steps})


def _train_baseline(
    args: argparse.Namespace, options: TrainingOptions, device: torch.device, processes: Processes
) -> None:
    body = read_body(args.models)
    network, average = (new_regressor(args.models) for _ in range(2))
    people, importance = _People.make(args, None, processes), importance_of(body, len(body["control"]))
    people.teach(network, average, importance, args.out, options, REGRESSION, device, processes)
    if processes.first:
        save_file(average.state_dict(), args.weights or args.out / "baseline.safetensors", {"preset": "baseline"})
