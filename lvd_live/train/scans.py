"""Training networks for scans: `python -m lvd_live train --preset scan`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lvd_live.errors import UserError
from lvd_live.evaluate.scans import HeldOutScans, validate_scans
from lvd_live.lvd.presets import SCAN_PRESETS
from lvd_live.lvd.volume.network import VolumeLVD
from lvd_live.lvd.volume.pyramids import PYRAMIDS
from lvd_live.lvd.weights import load_weights, save_weights
from lvd_live.synth.dataset import Shards, start_workers
from lvd_live.synth.scans.samples import ScanBatch, ScanSamples
from lvd_live.synth.scans.scanner import Scanner
from lvd_live.synth.scans.surfaces import POINTS, make_surfaces
from lvd_live.train.loop import train
from lvd_live.train.loss import LossOptions, descent_loss
from lvd_live.train.networks import importance_of, read_body, scan_network_for
from lvd_live.train.options import TrainingOptions
from lvd_live.train.processes import Processes
from lvd_live.train.task import Task

SCAN_BATCH = 16
SCAN_STAGES = "0.4:32,1:48"  # poses are learned on fewer voxels in half the time
SAVE_EVERY = 100  # steps
CLIP = 0.32  # cube units, of the targets where the head does not clip: 18 % of an upright body's height
SCAN_LOSS = LossOptions(spread=(0.003, 0.2), own_spread=(0.03, 0.5))


def learn_from_scans(
    network: VolumeLVD, batch: ScanBatch, importance: torch.Tensor, options: TrainingOptions
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two terms of `descent_loss`, weighted, at the voxels of the run's stage."""
    size = batch.size or network.preset.size
    features = network.encode(network.voxelise(batch.clouds, size))
    first, own = descent_loss(network.field, features, batch.vertices, importance, options.clip, options.loss)
    return first, options.loss.own_weight * own


def scan_task(
    models: Path, network: VolumeLVD, scans: HeldOutScans, keep: Callable[[VolumeLVD], None]
) -> Task[VolumeLVD]:
    """Learning from scans of the people of shards, in poses made on the way. models : the folder with body and poses.

    scans : to validate with. keep : is given the averaged network at each validation.
    """
    samples = ScanSamples(models, vertices=network.control.cpu().numpy())

    def draw(shards: Shards, rng: np.random.Generator, count: int, size: int) -> ScanBatch:
        return replace(samples.draw(shards, rng, count, Scanner()), size=size)

    def validate(average: VolumeLVD, held_out: Shards, size: int) -> dict[str, list[float]]:
        keep(average)
        return validate_scans(average, scans, size)

    return Task(learn_from_scans, validate, draw)


def check_scans(args: argparse.Namespace, sizes: tuple[tuple[float, int], ...]) -> None:
    """Raise UserError for options that cannot be with a preset for scans."""
    multiple = PYRAMIDS[SCAN_PRESETS[args.preset].backbone].multiple
    if any(voxels % multiple or voxels < 2 * 16 for _, voxels in sizes):
        raise UserError(f"--sizes of {args.preset} must be multiples of {multiple} voxels, and 32 at least.")
    if args.baseline or args.lifter:
        raise UserError(f"--baseline and --lifter train something else than {args.preset}; choose one.")


def train_scans(
    args: argparse.Namespace, sizes: tuple[tuple[float, int], ...], device: torch.device, processes: Processes
) -> None:
    """Make people to scan, train on them while they are being made, write weights. args : see `train.cli`."""
    preset, body = SCAN_PRESETS[args.preset], read_body(args.models)
    network, average = (scan_network_for(preset, body) for _ in range(2))
    if args.start_from:
        load_weights(network, args.start_from)
    options = TrainingOptions.asked(args, sizes, save_every=SAVE_EVERY, clip=preset.clip or CLIP, loss=SCAN_LOSS)
    held_out = HeldOutScans(args.models, args.data.with_name(args.data.name + "-held-out"))
    args.data.mkdir(parents=True, exist_ok=True)
    part = processes.share.rank, processes.share.count
    workers = start_workers(
        args.data, args.models, POINTS, args.shards, args.workers, seed=args.seed, part=part, make=make_surfaces
    )
    weights = args.weights or args.out / f"{args.preset}.safetensors"
    about = {"hours": args.hours, "steps": args.steps, "size": sizes[-1][1], "stages": sizes}

    def keep(network: VolumeLVD) -> None:
        save_weights(network, weights, about)

    train(
        network,
        average,
        Shards.open(args.data),
        held_out.shards,
        importance_of(body, preset.vertices),
        args.out,
        options,
        task=scan_task(args.models, network, held_out, keep),
        device=device,
        workers=workers,
        processes=processes,
    )
    if processes.first:
        keep(average)
