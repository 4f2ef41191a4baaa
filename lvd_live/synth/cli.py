"""python -m lvd_live synth: make shards of synthetic people or scans, or a contact sheet of them to look at."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from lvd_live.errors import Parser, UserError
from lvd_live.paths import MODELS
from lvd_live.storage.files import check_writable
from lvd_live.synth.dataset import POSES, ShardMaker, make_shards, start_workers
from lvd_live.synth.misread import report
from lvd_live.synth.scans import sheet
from lvd_live.synth.scans.samples import ScanSamples
from lvd_live.synth.scans.scanner import Scanner
from lvd_live.synth.scans.surfaces import POINTS, SurfaceMaker, make_surfaces


def contact_sheet(arrays: dict[str, np.ndarray], columns: int = 8) -> np.ndarray:
    """Samples side by side, each with its labels drawn on it: uint8 RGB.

    Drawn are the mask's edge (green), every fourth control vertex (yellow), the finder's landmarks (red) and the true
    ones (blue). arrays : a shard's, see `dataset`.
    """
    tiles = []
    for i in range(len(arrays["picture"])):
        picture = arrays["picture"][i].copy()
        edge = cv2.Laplacian((arrays["mask"][i] > 127).astype(np.uint8) * 255, cv2.CV_8U)
        picture[edge > 0] = (0, 255, 0)
        _draw_points(picture, arrays["vertices"][i][::4], (255, 255, 0), 0)
        _draw_points(picture, arrays["truth"][i], (0, 0, 255), 1)
        _draw_points(picture, arrays["landmarks"][i], (255, 0, 0), 1)
        tiles.append(picture)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def _draw_points(picture: np.ndarray, points: np.ndarray, colour: tuple[int, int, int], radius: int) -> None:
    """Draw points (n, 2 or more) of the crop frame into a picture (S, S, 3) uint8."""
    pixels = (points[:, :2].astype(np.float32) * [1, -1] + 1) * len(picture) / 2 - 0.5
    for x, y in pixels.round().astype(int):
        cv2.circle(picture, (int(x), int(y)), radius, colour, -1)


def _sheet_of_pictures(args: argparse.Namespace) -> np.ndarray:
    """Two pictures of each of --people people."""
    arrays = ShardMaker(args.models, args.size, seed=args.seed).make(0, identities=args.people)
    chosen = np.arange(args.people).repeat(2) * POSES + np.tile([0, POSES // 2], args.people)
    return contact_sheet({k: v[chosen] for k, v in arrays.items()})


def _sheet_of_scans(args: argparse.Namespace) -> np.ndarray:
    """Two scans of each of --people people, each from two sides."""
    arrays = SurfaceMaker(args.models, seed=args.seed).make(0, people=args.people)
    twice = [{k: v[i // 2] for k, v in arrays.items()} for i in range(2 * args.people)]
    return sheet.contact_sheet(ScanSamples(args.models).of(twice, np.random.default_rng(args.seed), Scanner()))


def _what_to_make(args: argparse.Namespace) -> tuple[int, Callable[..., None]]:
    """A sample's size, and the function that makes shards."""
    if args.scans:
        return POINTS, partial(make_surfaces, held_out=args.held_out)
    return args.size, partial(make_shards, held_out=True, plain=False) if args.held_out else make_shards


def main(argv: list[str] | None = None) -> int:
    """The `synth` tool."""
    parser = Parser(prog="python -m lvd_live synth", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for shards; those already there are kept")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of --people people instead (PNG)")
    parser.add_argument("--people", type=int, default=8, help="people on the sheet, two pictures of each")
    parser.add_argument(
        "--misread", type=Path, metavar="DIR", help="say how often BlazePose misreads a folder's people"
    )
    parser.add_argument("--held-out", action="store_true", help="people that training never gets, for evaluations")
    parser.add_argument("--scans", action="store_true", help="scans instead of pictures: shards of 64 people to scan")
    parser.add_argument("--shards", type=int, help="default 240, of --scans 24")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--size", type=int, default=192, help="pixels along a crop's side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=Path, default=MODELS)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args.shards = (24 if args.scans else 240) if args.shards is None else args.shards
    if args.people < 1 or args.shards < 1 or args.workers < 1 or args.size < 32:
        raise UserError("--people, --shards and --workers must be at least 1, --size at least 32.")
    if args.misread:
        sys.stdout.write("\n".join(report(args.misread)) + "\n")
    elif args.sheet:
        check_writable(args.sheet, (".png",))
        tiles = _sheet_of_scans(args) if args.scans else _sheet_of_pictures(args)
        if not cv2.imwrite(str(args.sheet), tiles[..., ::-1]):
            raise UserError(f"Cannot write {args.sheet}.")
        sys.stdout.write(f"{args.sheet}\n")
    elif args.out:
        size, make = _what_to_make(args)
        workers = start_workers(args.out, args.models, size, args.shards, args.workers, seed=args.seed, make=make)
        for worker in workers:
            worker.join()
        if any(worker.exitcode for worker in workers):
            raise UserError("A worker stopped before its shards were made; what it said is above.", exit_code=1)
    else:
        raise UserError("Say what to make: --out DIR for shards, --sheet FILE.png or --misread DIR.")
    return 0
