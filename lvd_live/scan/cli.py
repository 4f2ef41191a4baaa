"""python -m lvd_live register SCAN --to FIT: the body in a 3D scan or point cloud, as a mesh or as SMPL's parameters.

A folder, or several scans, go into another folder: register DIR --out DIR.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
from tqdm import tqdm

from lvd_live.body.hand_rig import SIDES
from lvd_live.errors import Parser, UserError
from lvd_live.scan.folder import TABLE, Job, find_scans, register_all
from lvd_live.scan.frame import UNITS, UPS
from lvd_live.scan.hands import HandRegistrar
from lvd_live.scan.output import FORMATS, lines, write_registration
from lvd_live.scan.picture import sheet
from lvd_live.scan.reading import SUFFIXES, read_scan
from lvd_live.scan.registration import MODELS, Registrar
from lvd_live.scan.starts import Told
from lvd_live.storage.files import check_writable, write_whole


def main(argv: Sequence[str] | None = None) -> int:
    """The `register` tool. Returns 0; 1 where a fit does not explain its scan; 130 after Ctrl-C. Raises UserError."""
    args = _parser().parse_args(argv)
    told = Told(args.unit, args.up, args.yaw, True if args.partial else None)
    if args.out is not None:
        return _folder(args, told)
    if len(args.scans) > 1 or args.same_person or args.sequence:
        raise UserError("Several scans go into a folder: name it by --out.")
    return _one(args, told)


def _one(args: argparse.Namespace, told: Told) -> int:
    if args.to is None and args.picture is None:
        raise UserError("Where is the fit to go? Name a file by --to, or a picture by --picture.")
    if args.to is not None:
        check_writable(args.to, FORMATS)
    if args.picture is not None:
        check_writable(args.picture, (".png", ".jpg"))
    scan = read_scan(args.scans[0])
    fit = _registrar(args)(scan, told, model=args.model)
    sys.stderr.write("".join(f"{line}\n" for line in lines(fit)))
    if not fit.explained and not args.force:
        raise UserError(
            "The fit does not explain the scan: too much of it lies far from the body. Is there one person in it? "
            "--force writes the fit all the same.",
            exit_code=1,
        )
    if args.to is not None:
        write_registration(fit, args.to, {"scan": args.scans[0].name})
        sys.stdout.write(f"{args.to}\n")
    if args.picture is not None:
        _, data = cv2.imencode(args.picture.suffix.lower(), sheet(fit)[..., ::-1])
        write_whole(args.picture, data.tobytes())
        sys.stdout.write(f"{args.picture}\n")
    return 0


def _folder(args: argparse.Namespace, told: Told) -> int:
    if args.to is not None or args.picture is not None:
        raise UserError("--to and --picture are for one scan; --out DIR takes the fits of all.")
    scans = find_scans(args.scans[0]) if len(args.scans) == 1 and args.scans[0].is_dir() else args.scans
    for scan in scans:
        if not scan.is_file():
            raise UserError(f"There is no scan {scan}.")
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to {args.out}: {error.strerror or error}.") from error
    suffix = f".{args.format}" if args.format != "npz" else None
    job = Job(told, args.model, args.sequence, args.same_person, suffix, str(args.body or ""))
    registrar = _registrar(args)
    with tqdm(total=len(scans), unit="scan", file=sys.stderr, disable=not sys.stderr.isatty()) as bar:
        rows = register_all(scans, args.out, registrar, job, bar.update)
    problems = [row for row in rows if row.get("problem")]
    for row in problems:
        sys.stderr.write(f"{row['scan']}: {row['problem']}\n")
    sys.stdout.write(f"{len(rows) - len(problems)} of {len(rows)} scans: {args.out / TABLE}\n")
    return 1 if problems and not args.force else 0


def _registrar(args: argparse.Namespace) -> Registrar | HandRegistrar:
    if args.hand:
        return HandRegistrar.load(args.body, args.weights, None if args.hand == "found" else args.hand)
    from lvd_live.scan.load import load_registrar

    return load_registrar(args.body, args.weights)


def _parser() -> Parser:
    parser = Parser(prog="python -m lvd_live register", description=__doc__)
    add = parser.add_argument
    add("scans", metavar="SCAN", nargs="+", type=Path, help=f"a scan ({', '.join(SUFFIXES)}), or a folder of them")
    add("--to", metavar="FILE", type=Path, help=f"the fit: {', '.join(FORMATS)}")
    add("--picture", metavar="FILE.png", type=Path, help="a sheet: scan, fit and distance from four sides")
    add("--out", metavar="DIR", type=Path, help="register all scans into this folder; goes on where it was stopped")
    add(
        "--format", choices=("npz", "obj", "ply", "glb"), default="npz", help="with --out: meshes beside the .npz files"
    )
    add(
        "--model",
        choices=MODELS,
        default="smpl+d",
        help="the skinned body, or with displacements (default: %(default)s)",
    )
    add("--body", metavar="FILE", type=Path, help="a body file in SMPL's layout (default: the bundled body)")
    add(
        "--hand",
        nargs="?",
        choices=(*SIDES, "found"),
        const="found",
        help="the scan is of a hand, alone or with an object in it: which one (default: found)",
    )
    add("--weights", metavar="FILE", type=Path, help="a network for scans (default: the bundled one)")
    add("--partial", action="store_true", help="the scan shows one side (default: found)")
    add("--same-person", action="store_true", help="with --out: all scans are of one person and share the shape")
    add("--sequence", action="store_true", help="with --out: each fit starts where the last one ended")
    add("--unit", choices=tuple(UNITS), help="the scan's unit (default: found)")
    add("--up", choices=tuple(UPS), metavar="AXIS", help=f"the scan's vertical: {', '.join(UPS)} (default: found)")
    add("--yaw", metavar="DEGREES", type=float, help="where the person faces, about the vertical (default: found)")
    add("--force", action="store_true", help="write a fit that does not explain its scan, and return 0")
    return parser
