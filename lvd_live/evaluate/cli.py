"""python -m lvd_live evaluate: figures on real pictures (--real) and on held-out synthetic people (--synthetic)."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

import cv2
import numpy as np

from lvd_live import render
from lvd_live.errors import Parser, UserError
from lvd_live.evaluate import hands, real, scan_registration, synthetic, uncertainty, webcam
from lvd_live.evaluate.curve import plot
from lvd_live.evaluate.fingers import measure_fingers, table
from lvd_live.evaluate.held_out import fill_held_out, open_held_out
from lvd_live.evaluate.regressor import load_regressor
from lvd_live.evaluate.report.document import markdown
from lvd_live.evaluate.report.write import write_report
from lvd_live.evaluate.scans import HeldOutScans, convergence, forward_pass, turned_copies
from lvd_live.evaluate.scans import tables as scan_tables
from lvd_live.evaluate.views import compare, open_views
from lvd_live.lift.finder import make_blazepose
from lvd_live.lift.over_time import NEXT
from lvd_live.lvd.presets import CONDITIONING, PRESETS
from lvd_live.lvd.weights import annotate
from lvd_live.paths import MODELS
from lvd_live.person.quality import CHOICES, QUALITIES, resolve
from lvd_live.scan.load import load_registrar
from lvd_live.scan.network import ScanNetwork
from lvd_live.storage.files import check_writable, write_whole
from lvd_live.synth.dataset import Shards
from lvd_live.synth.scans.samples import KINDS
from lvd_live.tracking.options import TrackerOptions
from lvd_live.tracking.tracker import Tracker

HELD_OUT, HELD_OUT_SHARDS = Path("runs/data-held-out"), range(8)
SCANS = Path("runs/scans-held-out")
WEBCAM, WEBCAM_SHARDS = Path("runs/data-webcam"), range(2)
SIZE = 192  # pixels along a crop's side in the shards


def main(argv: list[str] | None = None) -> int:
    """The `evaluate` tool."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    _check(args)
    lines: list[str] = []
    if args.scans:
        lines += _scans(args)
    if args.hands:
        lines += hands.report(args.models, args.weights, args.count)
    if args.curve:
        plot(*args.curve)
    if args.synthetic:
        lines += _synthetic(args)
    if args.webcam:
        lines += _webcam(args)
    if args.uncertainty:
        lines += _uncertainty(args)
    if args.fingers:
        lines += _fingers(args)
    if args.report:
        _report(args)
        lines.append(f"{args.report / 'report.md'}")
    else:
        lines += _real(args) if args.real else []
        lines += _views(args) if args.views else []
    sys.stdout.write("".join(line + "\n" for line in lines))
    return 0


def _fingers(args: argparse.Namespace) -> list[str]:
    return table(measure_fingers(args.models, args.fingers, Tracker.load(_options(args))))


def _parser() -> Parser:
    parser = Parser(prog="python -m lvd_live evaluate", description=__doc__)
    _add_subjects(parser)
    add = parser.add_argument
    add("--preset", choices=tuple(PRESETS), default="live")
    add("--weights", type=Path, help="a weight file instead of the preset's")
    fingers = "posed hands of so many held-out synthetic people: fingers against the truth (default: 100)"
    add("--fingers", type=int, nargs="?", const=100, metavar="PEOPLE", help=fingers)
    count = "synthetic people to measure (default 2048), or --scans and --hands of each kind (default 200)"
    add("--count", type=int, help=count)
    add(
        "--evidence",
        dest="conditioning",
        nargs="+",
        choices=CONDITIONING,
        default=CONDITIONING,
        help="what the network is told of the person finder's opinion (default: each in turn)",
    )
    add(
        "--no-cold",
        action="store_true",
        help="leave out the comparison with 8 iterations from a point (it doubles the time)",
    )
    add("--sheet", type=Path, help="write a contact sheet of the real fits (PNG)")
    add(
        "--curve",
        type=Path,
        nargs=2,
        metavar=("VALIDATION.csv", "FILE.png"),
        help="draw a training run's error against samples",
    )
    add("--models", type=Path, default=MODELS)
    add("--register", action="store_true", help="with --scans: also register the body to each, some seconds a scan")
    add("--hands", action="store_true", help="held-out synthetic scans of hands")
    return parser


def _add_subjects(parser: Parser) -> None:
    """Add the options that say what to measure."""

    def add_folder(name: str, help: str, const: Path | None = None) -> None:
        if const is None:
            parser.add_argument(name, type=Path, metavar="DIR", help=help)
        else:
            parser.add_argument(name, type=Path, metavar="DIR", nargs="?", const=const, help=help)

    made = "held-out synthetic people{}; made in DIR if it holds none"
    add_folder("--real", "a folder of clips and pictures with one person each")
    add_folder("--synthetic", made.format(""), HELD_OUT)
    add_folder("--scans", made.format(" as scans"), SCANS)
    add_folder("--webcam", made.format(" before a webcam"), WEBCAM)
    add_folder(
        "--views",
        "a folder of views with 3D truth (see evaluate/views.py): mm from the truth; with --report, a part of it",
    )
    parser.add_argument(
        "--quality",
        choices=CHOICES,
        default="live",
        help="with --views: how hard to look for the person (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE.json", help="with --views: also write the figures here")
    parser.add_argument(
        "--uncertainty",
        type=Path,
        metavar="FILE.png",
        help="does the uncertainty tell the error on held-out synthetic people? A table, and a plot into FILE",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="with --uncertainty: store the map from uncertainty to expected error in the weight file",
    )
    add_folder(
        "--report",
        "the paper's experiments: report.md, tables and plots into DIR (with --real, on real pictures too)",
        Path("report"),
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


def _check(args: argparse.Namespace) -> None:
    """Raise UserError for what can be seen to be wrong before anything is measured."""
    pictures = args.report, args.real, args.views, args.synthetic, args.webcam, args.uncertainty
    if not any((*pictures, args.scans, args.hands, args.fingers, args.curve)):
        what = "--report, --real DIR, --views DIR, --synthetic, --webcam, --scans, --hands, --fingers, --uncertainty"
        raise UserError(f"Say what to measure: {what} or --curve.")
    if args.count is None:
        args.count = 200 if args.scans or args.hands else 2048
    if args.count < 1 or (args.fingers or 1) < 1:
        raise UserError("--count and --fingers must be at least 1.")
    if args.sheet:
        check_writable(args.sheet, (".png",))
    if args.json:
        if not args.views or args.report:
            raise UserError("--json is for --views without --report.")
        check_writable(args.json, (".json",))
    if args.views:
        open_views(args.views)
    if args.real and not args.real.is_dir():
        raise UserError(f"There is no folder {args.real} to measure on.")


def _options(args: argparse.Namespace) -> TrackerOptions:
    return TrackerOptions(preset=args.preset, weights=args.weights, uncertainty=0)


def _held_out(args: argparse.Namespace) -> Shards:
    """The held-out people, made if they are not there."""
    folder = args.synthetic or HELD_OUT
    fill_held_out(folder, args.models, SIZE, HELD_OUT_SHARDS, keep=folder != HELD_OUT)
    return open_held_out(folder, args.models)


def _synthetic(args: argparse.Namespace) -> list[str]:
    shards, tracker = _held_out(args), Tracker.load(_options(args))
    lines = synthetic.report(tracker.runtime, tracker.body, args.models, shards, args.count, args.conditioning)
    return ["## Held-out synthetic people", "", *lines, ""]


def _scans(args: argparse.Namespace) -> list[str]:
    network = ScanNetwork.load(args.weights or args.models / "weights" / "scan.safetensors")
    methods = {"forward pass": forward_pass(network, samples=8), "4 turned copies": turned_copies(network, 4)}
    scans, lines = HeldOutScans(args.models, args.scans), ["## Held-out synthetic scans, cm"]
    for header, rows in scan_tables(methods, scans, args.count).values():
        lines += ["", *markdown(header, rows)]
    lines += ["", *markdown(*convergence(network, scans, "full", min(args.count, 64)))]
    if args.register:
        some = {kind: scans.of(kind, args.count) for kind in KINDS}
        lines += ["", *markdown(*scan_registration.table(load_registrar(None, args.weights), some))]
    return [*lines, ""]


def _webcam(args: argparse.Namespace) -> list[str]:
    fill_held_out(args.webcam, args.models, SIZE, WEBCAM_SHARDS, keep=args.webcam != WEBCAM, webcams=1.0)
    shards, tracker = open_held_out(args.webcam, args.models), Tracker.load(_options(args))
    lines = webcam.report(tracker.runtime, tracker.body, shards, args.count, args.conditioning)
    return ["## Before a webcam", "", *lines, ""]


def _uncertainty(args: argparse.Namespace) -> list[str]:
    shards, tracker = _held_out(args), Tracker.load(_options(args))
    lines, pairs = uncertainty.report(
        tracker.runtime, tracker.body, shards, sigmas=uncertainty.SIGMAS, count=args.count
    )
    uncertainty.plot_reliability(pairs.half(1), uncertainty.calibrate(pairs.half(0)), args.uncertainty)
    if args.calibrate:
        weights = args.weights or MODELS / "weights" / f"{args.preset}.safetensors"
        annotate(weights, calibration=uncertainty.calibrate(pairs))
    return ["## Uncertainty", "", *lines, ""]


def _report(args: argparse.Namespace) -> None:
    logging.getLogger("lvd_live.evaluate").setLevel(logging.INFO)
    try:
        ablations = args.ablations.read_text() if args.ablations else ""
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{args.ablations} cannot be read as text; `python -m lvd_live ablate` writes it.") from None
    shards = _held_out(args)
    regressor = load_regressor(args.baseline, args.models) if args.baseline else None
    write_report(
        args.report,
        _options(args),
        shards,
        regressor=regressor,
        real=args.real,
        views=args.views,
        ablations=ablations,
        models=args.models,
        count=args.count,
    )


def _real(args: argparse.Namespace) -> list[str]:
    paths = real.inputs(args.real)
    if not paths:
        raise UserError(f"There are no clips or pictures in {args.real}.")
    finder, lines = make_blazepose(QUALITIES["live"], args.models), []
    pictures: list[np.ndarray] = []
    for i, kind in enumerate(args.conditioning):
        tracker = Tracker.load(_options(args), conditioning=kind)
        cold = None if args.no_cold else Tracker.load(_options(args), conditioning=kind, iterations=8)
        lines += real.report(paths, finder, tracker, cold, pictures if i == 0 else [])
        if tracker.conditioning != kind:
            break  # the preset takes none
    if args.sheet and pictures:
        sheet = render.contact_sheet(pictures, columns=8)
        write_whole(args.sheet, cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    return lines


def _views(args: argparse.Namespace) -> list[str]:
    """The tables of a folder of views, as lines; also into --json."""
    quality = resolve(args.quality, live=True)
    tables = compare(
        args.views,
        args.preset,
        weights=args.weights,
        finder=make_blazepose(QUALITIES[quality], args.models),
        conditioning=args.conditioning,
        ahead=NEXT if quality == "best" else 0,
    )
    if args.json:
        figures = {name: [dict(zip(head, row, strict=True)) for row in rows] for name, (head, rows) in tables.items()}
        write_whole(args.json, json.dumps(figures, indent=1).encode())
    lines = ["## Real people with 3D truth"]
    for header, rows in tables.values():
        lines += ["", *markdown(header, rows)]
    return lines
