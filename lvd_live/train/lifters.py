"""What `python -m lvd_live train --lifter` can be told: which of the lifters to train, and for how long."""

from __future__ import annotations

import argparse

import torch

from lvd_live.errors import Parser, UserError
from lvd_live.train.hand_lifter import SAMPLES, hand_options, train_hand_lifter
from lvd_live.train.lifter import LifterOptions, train_lifter
from lvd_live.train.lifter_over_time import TimeOptions, train_over_time
from lvd_live.train.processes import Processes


def add_options(parser: Parser) -> None:
    """Options that train a lifter instead of a preset's network."""
    add = parser.add_argument
    add(
        "--lifter",
        action="store_true",
        help="instead of the preset's network, the lifter of landmarks, on samples made on the way; it takes --models,"
        " --out, --start-from, --rate, --hours or --samples, --seed, --device and --threads",
    )
    add(
        "--over-time",
        action="store_true",
        help="with --lifter: not the lifter, but what steadies it over time, on sequences; --samples counts these",
    )
    add(
        "--hands",
        action="store_true",
        help="with --lifter: not the lifter, but that of the hands' landmarks, on hands that are rendered into --out",
    )
    add("--samples", type=int, help="of a lifter, without --hours (default 100 million; half a million with --hands)")


def check(args: argparse.Namespace) -> None:
    """Raise UserError for options that cannot be."""
    if args.over_time and not args.lifter:
        raise UserError("--over-time is for --lifter.")
    if args.hands and (not args.lifter or args.over_time):
        raise UserError("--hands is for --lifter, without --over-time.")
    if args.hands and (args.start_from is not None or args.rate is not None):
        raise UserError("--start-from and --rate are not for --hands.")
    if args.samples is not None and args.samples < 1:
        raise UserError("--samples must be at least 1.")


def name(args: argparse.Namespace) -> str:
    """Of the lifter that the command line asks for."""
    return "hand_lifter" if args.hands else "over_time" if args.over_time else "lifter"


def train(args: argparse.Namespace, device: torch.device, processes: Processes) -> None:
    """Train that lifter, into --out."""
    samples = args.samples or LifterOptions.samples
    if args.hands:
        if not processes.alone:
            raise UserError("The hand lifter is trained by one process: start it without torchrun.")
        hands = hand_options(args.samples or SAMPLES, args.hours, args.seed)
        train_hand_lifter(args.models, args.out, hands, device=device)
    elif args.over_time:
        sequences = TimeOptions(samples, args.hours, rate=args.rate or TimeOptions.rate, seed=args.seed)
        train_over_time(
            args.models, args.out, sequences, start_from=args.start_from, device=device, processes=processes
        )
    else:
        options = LifterOptions(samples, args.hours, rate=args.rate or LifterOptions.rate, seed=args.seed)
        train_lifter(args.models, args.out, options, start_from=args.start_from, device=device, processes=processes)
