"""python -m lvd_live bench: how fast it is, stage by stage, beside the paper's network in the same run.

Rounds are interleaved: each measures every variant and the references; figures are medians.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from lvd_live.bench.contenders import Plan
from lvd_live.bench.measure import measure
from lvd_live.bench.tables import report
from lvd_live.errors import Parser, UserError
from lvd_live.paths import DEMO
from lvd_live.storage.files import check_writable
from lvd_live.threads import count_cores, limit_threads

CHECKED = "bench-check.json"


def main(argv: list[str] | None = None) -> int:
    """The `bench` tool. Raises UserError."""
    args = _parser().parse_args(argv)
    args.threads = args.threads or sorted({1, count_cores()})
    if min(args.frames, args.rounds, args.people, *args.threads) < 1:
        raise UserError("--frames, --rounds, --threads and --people must be at least 1.")
    if args.device and "cuda" in args.device and not torch.cuda.is_available():
        built = "" if torch.version.cuda else ", and this PyTorch is built without it"
        raise UserError(f"There is no CUDA device here{built}: leave --device out, or choose cpu.")
    if args.check and args.json is None:
        args.json = Path(CHECKED)
    for path in (args.json, args.scaling):
        if path is not None:
            check_writable(path)
    limit_threads(args.threads[0])
    results: Any
    if args.scaling:
        from lvd_live.bench import cores, scaling

        results = scaling.draw_scaling(args.scaling, args.video)
        return _tell(cores.report(results["cores"]), results, args.json)
    devices = args.device or ["cpu"] + ["cuda"] * torch.cuda.is_available()
    status = 0
    if args.check:
        from lvd_live.bench import check

        results = [check.run(device, args.video, args.weights) for device in devices]
        text, status = check.report(results), 0 if all(result["passed"] for result in results) else 1
    elif args.accuracy:
        from lvd_live.bench import accuracy

        text, results = accuracy.report(args.accuracy, args.weights, args.people)
    else:
        plan = Plan(args.video, args.frames, args.rounds, args.weights, args.plain, args.compiled)
        results = [r for device in devices for threads in args.threads for r in measure(device, threads, plan)]
        text = report(results, args.video.name)
    return _tell(text, results, args.json, status)


def _tell(text: str, results: Any, file: Path | None, status: int = 0) -> int:
    sys.stdout.write(text + "\n")
    if file:
        file.write_text(json.dumps(results, indent=1))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m lvd_live bench", description=__doc__)
    add = parser.add_argument
    add("--video", type=Path, default=DEMO)
    add("--frames", type=int, default=60)
    add("--rounds", type=int, default=3, help="interleaved rounds of frames, paper-size network and references")
    add(
        "--threads",
        type=int,
        nargs="+",
        help="of the CPU, ours and the references': one measurement for each number "
        "(default: 1, and as many as there are cores)",
    )
    add("--device", choices=("cpu", "cuda"), nargs="+", help="default: what is there")
    add("--weights", type=Path)
    add(
        "--no-plain",
        dest="plain",
        action="store_false",
        help="leave out the formula's N x N x 3 output (a second or more a round)",
    )
    add("--compiled", action="store_true", help="torch.compile, too: takes minutes, and needs a C++ compiler")
    add("--json", type=Path, help="also write the figures here")
    add(
        "--scaling",
        type=Path,
        metavar="FILE.png",
        help="instead: draw time against vertices, iterations, perturbations, picture size, clip length and clips; "
        "and simulate 1 to 16 cores, with what the stages take here",
    )
    add(
        "--accuracy",
        type=Path,
        metavar="DATA",
        help="instead: the plain formula's meshes and errors beside every variant's, on held-out people (shards, such "
        "as runs/data-held-out)",
    )
    add(
        "--check",
        action="store_true",
        help="instead, in minutes: whether --device gives the CPU's meshes in every precision, as a CUDA graph and in "
        f"batches, and the program end to end; the figures go to --json (default: {CHECKED})",
    )
    add("--people", type=int, default=256, help="of --accuracy")
    return parser
