"""python -m lvd_live evaluate: figures on real pictures (--real) and on held-out synthetic people (--synthetic)."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import cv2
import numpy as np

from lvd_live import render
from lvd_live.errors import Parser, UserError
from lvd_live.evaluate.curve import plot
from lvd_live.lvd.presets import CONDITIONING
from lvd_live.paths import MODELS
from lvd_live.storage.files import check_writable, write_whole
from lvd_live.tracking.tracker import Tracker

HELD_OUT, HELD_OUT_SHARDS = Path("runs/data-held-out"), range(8)
WEBCAM, WEBCAM_SHARDS = Path("runs/data-webcam"), range(2)
TOLD = {
    "all": "landmarks and feature maps given",
    "maps": "feature maps given, no landmarks",
    "picture": "picture and mask alone",
}


def main(argv: list[str] | None = None) -> int:
    """The `evaluate` tool."""
    parser = Parser(prog="python -m lvd_live evaluate", description=__doc__)
    parser.add_argument("--real", type=Path, metavar="DIR", help="a folder of clips and pictures with one person each")
    parser.add_argument(
        "--synthetic",
        type=Path,
        metavar="DIR",
        nargs="?",
        const=HELD_OUT,
        help="held-out synthetic people; made in DIR if they are not there",
    )
    parser.add_argument(
        "--webcam",
        type=Path,
        metavar="DIR",
        nargs="?",
        const=WEBCAM,
        help="held-out synthetic people before a webcam; made in DIR if they are not there",
    )
    parser.add_argument(
        "--uncertainty",
        type=Path,
        metavar="FILE.png",
        help="does the uncertainty tell the error on held-out synthetic people? A table, and a reliability plot into FILE",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="with --uncertainty: store the map from uncertainty to expected error in the weight file",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        nargs="?",
        const=Path("report"),
        help="the paper's experiments: report.md, tables and plots into DIR (with --real, on real pictures too)",
    )
    parser.add_argument(
        "--baseline", type=Path, metavar="FILE", help="with --report: weights from `train --baseline`, to compare with"
    )
    parser.add_argument(
        "--ablations",
        type=Path,
        metavar="FILE.md",
        help="with --report: the table that `python -m lvd_live ablate` wrote, to go into it",
    )
    parser.add_argument("--preset", default="live")
    parser.add_argument("--weights", type=Path, help="a weight file instead of the preset's")
    parser.add_argument("--count", type=int, default=2048, help="synthetic people to measure")
    parser.add_argument(
        "--evidence",
        dest="conditioning",
        nargs="+",
        choices=CONDITIONING,
        default=CONDITIONING,
        help="what the network is told of the person finder's opinion (default: each in turn)",
    )
    parser.add_argument(
        "--no-cold",
        action="store_true",
        help="leave out the comparison with 8 iterations from a point (it doubles the time)",
    )
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of the real fits (PNG)")
    parser.add_argument(
        "--curve",
        type=Path,
        nargs=2,
        metavar=("VALIDATION.csv", "FILE.png"),
        help="draw a training run's error against samples",
    )
    parser.add_argument("--models", type=Path, default=MODELS)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if not (args.report or args.real or args.synthetic or args.webcam or args.curve or args.uncertainty):
        raise UserError("Say what to measure: --report, --real DIR, --synthetic, --webcam, --uncertainty or --curve.")
    if args.count < 1:
        raise UserError("--count must be at least 1.")
    if args.sheet:
        check_writable(args.sheet, (".png",))
    if args.real and not args.real.is_dir():
        raise UserError(f"There is no folder {args.real} to measure on.")
    lines: list[str] = []
    if args.curve:
        plot(*args.curve)
    if args.synthetic:
        lines += synthetic(args)
    if args.webcam:
        lines += webcam(args)
    if args.uncertainty:
        lines += uncertainty(args)
    if args.report:
        paper_report(args)
        lines.append(f"{args.report / 'report.md'}")
    elif args.real:
        lines += real(args)
    sys.stdout.write("".join(line + "\n" for line in lines))
    return 0


def held_out(
    args: argparse.Namespace, folder: Path | None = None, indices: range = HELD_OUT_SHARDS, webcams: float | None = None
):
    """The tracker and the held-out people, made if they are not there. webcams: see `people.People`."""
    from lvd_live.synth.dataset import Shards, make_shards

    folder = folder or args.synthetic or HELD_OUT
    make_shards(folder, args.models, 192, indices, held_out=True, webcams=webcams)
    with np.load(args.models / "body" / "lvd_body.npz", allow_pickle=False) as body:
        return Tracker.load(preset=args.preset, weights=args.weights, uncertainty=0), Shards.open(
            folder, (body["control_columns"].astype(int), body["control_mix"])
        )


def synthetic(args: argparse.Namespace) -> list[str]:
    from lvd_live.evaluate.synthetic import report

    tracker, shards = held_out(args)
    return [
        "## Held-out synthetic people",
        "",
        *report(tracker.runtime, tracker.body, args.models, shards, args.count, args.conditioning),
        "",
    ]


def webcam(args: argparse.Namespace) -> list[str]:
    from lvd_live.evaluate.webcam import report

    tracker, shards = held_out(args, args.webcam, WEBCAM_SHARDS, webcams=1.0)
    return ["## Before a webcam", "", *report(tracker.runtime, tracker.body, shards, args.count, args.conditioning), ""]


def paper_report(args: argparse.Namespace) -> None:
    from lvd_live.evaluate import report

    logging.getLogger("lvd_live.evaluate").setLevel(logging.INFO)
    try:
        ablations = args.ablations.read_text() if args.ablations else ""
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{args.ablations} cannot be read as text; `python -m lvd_live ablate` writes it.") from None
    tracker, shards = held_out(args)
    baseline = None
    if args.baseline:
        from lvd_live.train.baseline import load_baseline

        network = tracker.runtime.network
        baseline = load_baseline(
            args.baseline, tracker.body, network.control.cpu(), network.columns.cpu(), network.mix.cpu()
        )
    report.write(
        args.report,
        args.preset,
        shards,
        weights=args.weights,
        baseline=baseline,
        real=args.real,
        ablations=ablations,
        models=args.models,
        count=args.count,
    )


def uncertainty(args: argparse.Namespace) -> list[str]:
    from lvd_live.evaluate.uncertainty import SIGMAS, calibrate, plot_reliability, report
    from lvd_live.lvd.weights import annotate

    tracker, shards = held_out(args)
    lines, pairs = report(tracker.runtime, tracker.body, shards, sigmas=SIGMAS, count=args.count)
    plot_reliability(pairs.half(1), calibrate(pairs.half(0)), args.uncertainty)
    if args.calibrate:
        annotate(args.weights or MODELS / "weights" / f"{args.preset}.safetensors", calibration=calibrate(pairs))
    return ["## Uncertainty", "", *lines, ""]


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
    for conditioning in args.conditioning:
        tracker = Tracker.load(preset=args.preset, weights=args.weights, conditioning=conditioning, uncertainty=0)
        cold = (
            None
            if args.no_cold
            else Tracker.load(
                preset=args.preset, weights=args.weights, conditioning=conditioning, iterations=8, uncertainty=0
            )
        )
        scores = [
            score(path, finder, tracker, cold, pictures if conditioning == args.conditioning[0] else [])
            for path in tqdm(paths, unit="file", leave=False)
        ]
        lines += [
            "",
            f"## Real pictures, {TOLD[tracker.conditioning]}",
            "",
            "| file | tracked | IoU | joints, % of height | landmarks, % | iterations | mm from 8 cold |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [row(s) for s in scores]
        tight, clips = [s for s in scores if s.tight], [s for s in scores if s.frames > 1]
        for title, group in (
            ("tight clothes", tight),
            ("clips", clips),
            ("pictures", [s for s in scores if s.frames == 1]),
            ("all", scores),
        ):
            if group:
                figures = {
                    name: mean([getattr(s, name) for s in group])
                    for name in ("iou", "joints", "landmarks", "iterations", "from_cold")
                }
                lines.append(
                    row(
                        Score(
                            f"**{title}** (mean of {len(group)} files)",
                            sum(s.frames for s in group),
                            sum(s.tracked for s in group),
                            **figures,
                        )
                    )
                )
        if tracker.conditioning != conditioning:
            break  # the preset takes none
    if args.sheet and pictures:
        write_whole(args.sheet, cv2.imencode(".png", render.contact_sheet(pictures, columns=8)[..., ::-1])[1].tobytes())
    return lines


def row(s) -> str:
    """A Score as a line of a table."""
    return f"| {s.name} | {s.tracked}/{s.frames} | {s.iou:.3f} | {100 * s.joints:.2f} | {100 * s.landmarks:.2f} | {s.iterations:.2f} | {s.from_cold:.1f} |"
