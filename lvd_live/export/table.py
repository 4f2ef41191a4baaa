"""Joints as a table, and the person's measurements as another beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from lvd_live.body.skeleton import JOINT_NAMES
from lvd_live.export.motion import BodyMotion
from lvd_live.storage.files import check_writable, write_whole


def measurements_path(path: Path) -> Path:
    """Where the measurements go: `take-measurements.csv` beside `take.csv`."""
    return path.with_name(f"{path.stem}-measurements{path.suffix}")


def write(motion: BodyMotion, path: Path) -> None:
    """Raises UserError when the disk is full."""
    beside = check_writable(measurements_path(path))
    coordinates = [f"{name}_{axis}" for name in JOINT_NAMES for axis in "xyz"]
    table: list[list[object]] = [["frame", "seconds", "tracked", "residual_mm", *coordinates]]
    joints, grid = motion.joints.reshape(len(motion), 72), motion.grid
    rows = zip(grid.times, grid.tracked, motion.residual_mm, joints, strict=True)
    for number, (time, tracked, residual, values) in enumerate(rows):
        coordinates = [f"{value:.6f}" for value in values]
        table.append([number, f"{time:.6f}", int(tracked), f"{residual:.1f}", *coordinates])
    measured = [[name, f"{m.cm:.1f}", f"{m.spread:.1f}", f"{m.error:.1f}"] for name, m in motion.measurements.items()]
    write_whole(path, _text(table))
    write_whole(beside, _text([["measurement", "cm", "spread_cm", "error_cm"], *measured]))


def _text(rows: Iterable[Sequence[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()
