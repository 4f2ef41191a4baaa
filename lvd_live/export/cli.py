"""python -m lvd_live export IN --to FILE-or-DIR: take a sequence or a session to other programs."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from lvd_live.body.height import parse_height
from lvd_live.errors import Parser
from lvd_live.export import FORMATS, export
from lvd_live.export.options import SMOOTH, UNITS, UP


def make_parser() -> argparse.ArgumentParser:
    """The tool's options, named as the arguments of `export`."""
    formats = "\n".join(f"  {name:<16} {kind.title}" for name, kind in FORMATS.items())
    parser = Parser(
        prog="python -m lvd_live export",
        description=__doc__,
        epilog=f"formats:\n{formats}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", metavar="IN", type=Path, help="a sequence (.npz) or a session's folder")
    where = "the file, or the folder for one file per frame"
    add("--to", metavar="FILE-or-DIR", type=Path, required=True, help=where)
    add("--format", choices=FORMATS, help="default: by the ending of --to")
    rate = "frames a second (default: the take's own, 30 for no ordinary video)"
    add("--rate", metavar="FPS", type=float, help=rate)
    add("--up", choices=UP, help="the axis that points up (default: z for npz, else y)")
    add("--unit", choices=UNITS, help="default: m; npz and glb know no other")
    smooth = (
        "smooth over time: a low-pass without delay that halves what swings at 0.19/SECONDS Hz, and a quarter of that "
        "where it is the distance from the camera (default: %(default)s; 0: as tracked)"
    )
    add("--smooth", metavar="SECONDS", type=float, default=SMOOTH, help=smooth)
    add("--foot-lock", action="store_true", help="hold the body so that planted feet stay in place")
    level = "take the camera's tilt out, judged by how the person stands (default; not with --origin camera)"
    add("--level", action=argparse.BooleanOptionalAction, default=True, help=level)
    mesh = "the mesh as tracked, or the skinned body (default: what the format is for)"
    add("--mesh", choices=("fitted", "regularised"), help=mesh)
    origin = "on the floor under the first frame, or at the camera (default: %(default)s)"
    add("--origin", choices=("floor", "camera"), default="floor", help=origin)
    add("--body", metavar="FILE", type=Path, help="fit this body file, such as SMPL's (default: the bundled body)")
    height = "the person's height, such as 1.78 or 178cm: scales everything"
    add("--height", metavar="M", type=parse_height, help=height)
    add("--start", metavar="S", type=float, help="leave out what is before, seconds from the first frame")
    add("--end", metavar="S", type=float, help="and what is after")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0. Raises UserError."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    options = vars(make_parser().parse_args(argv))
    with tqdm(unit="frame", file=sys.stderr, dynamic_ncols=True, disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done + 1 - bar.n)

        done = export(options.pop("source"), options.pop("to"), progress=progress, **options)
    for note in done.notes:
        sys.stderr.write(f"{note}\n")
    sys.stdout.write(f"{done.frames} frames: {done.path}\n")
    return 0
