"""python -m lvd_live evaluate: figures on real pictures (--real) and on held-out synthetic people (--synthetic)."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import cv2
import numpy as np

from lvd_live import draw
from lvd_live.errors import UserError
from lvd_live.evaluate.curve import plot
from lvd_live.paths import MODELS
from lvd_live.tracker import Tracker

HELD_OUT = range(4)


def main(argv: list[str] | None = None) -> int:
    """The `evaluate` tool."""
    parser = argparse.ArgumentParser(prog="python -m lvd_live evaluate", description=__doc__)
    parser.add_argument("--real", type=Path, metavar="DIR", help="a folder of clips and pictures with one person each")
    parser.add_argument("--synthetic", type=Path, metavar="DIR", nargs="?", const=Path("runs/data-held-out"), help="held-out synthetic people; made in DIR if they are not there")
    parser.add_argument("--preset", default="live")
    parser.add_argument("--weights", type=Path, help="a weight file instead of the preset's")
    parser.add_argument("--count", type=int, default=1024, help="synthetic people to measure")
    parser.add_argument("--no-cold", action="store_true", help="leave out the comparison with 8 iterations from a point (it doubles the time)")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of the real fits (PNG)")
    parser.add_argument("--curve", type=Path, nargs=2, metavar=("VALIDATION.csv", "FILE.png"), help="draw a training run's error against samples")
    parser.add_argument("--models", type=Path, default=MODELS)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if not (args.real or args.synthetic or args.curve):
        raise UserError("Say what to measure: --real DIR, --synthetic or --curve.")
    lines: list[str] = []
    if args.curve:
        plot(*args.curve)
    if args.synthetic:
        lines += synthetic(args)
    if args.real:
        if not args.real.is_dir():
            raise UserError(f"There is no folder {args.real} to measure on.")
        lines += real(args)
    sys.stdout.write("".join(line + "\n" for line in lines))
    return 0


def synthetic(args: argparse.Namespace) -> list[str]:
    from lvd_live.evaluate.synthetic import report
    from lvd_live.synth.dataset import Shards, make_shards

    make_shards(args.synthetic, args.models, 192, HELD_OUT, held_out=True)
    tracker = Tracker.load(args.preset, weights=args.weights)
    with np.load(args.models / "body" / "lvd_body.npz", allow_pickle=False) as body:
        shards = Shards.open(args.synthetic, (body["control_columns"].astype(int), body["control_mix"]))
    return ["## Held-out synthetic people", "", *report(tracker.runtime, tracker.body, args.models, shards, args.count), ""]


def real(args: argparse.Namespace) -> list[str]:
    from tqdm import tqdm

    from lvd_live.evaluate.real import Score, inputs, mean, score
    from lvd_live.person import BlazePoseFinder

    paths = inputs(args.real)
    if not paths:
        raise UserError(f"There are no clips or pictures in {args.real}.")
    finder = BlazePoseFinder(args.models / "blazepose")
    pictures: list[np.ndarray] = []
    lines: list[str] = []
    for given in (True, False):
        tracker = Tracker.load(args.preset, weights=args.weights, landmarks=given)
        cold = None if args.no_cold else Tracker.load(args.preset, weights=args.weights, landmarks=given, iterations=8)
        scores = [score(path, finder, tracker, cold, pictures if given else []) for path in tqdm(paths, unit="file", leave=False)]
        lines += ["", f"## Real pictures, {'with' if given else 'without'} landmark channels", "", "| file | tracked | IoU | joints, % of height | landmarks, % | iterations | mm from 8 cold |", "|---|---|---|---|---|---|---|"]
        lines += [row(s) for s in scores]
        tight, clips = [s for s in scores if s.tight], [s for s in scores if s.frames > 1]
        for title, group in (("tight clothes", tight), ("clips", clips), ("pictures", [s for s in scores if s.frames == 1]), ("all", scores)):
            if group:
                figures = {name: mean([getattr(s, name) for s in group]) for name in ("iou", "joints", "landmarks", "iterations", "from_cold")}
                lines.append(row(Score(f"**{title}** (mean of {len(group)} files)", sum(s.frames for s in group), sum(s.tracked for s in group), **figures)))
        if not tracker.landmarks and given:
            break  # the preset knows none
    if args.sheet and pictures:
        cv2.imwrite(str(args.sheet), draw.contact_sheet(pictures, columns=8)[..., ::-1])
    return lines


def row(s) -> str:
    """A Score as a line of a table."""
    return f"| {s.name} | {s.tracked}/{s.frames} | {s.iou:.3f} | {100 * s.joints:.2f} | {100 * s.landmarks:.2f} | {s.iterations:.2f} | {s.from_cold:.1f} |"
