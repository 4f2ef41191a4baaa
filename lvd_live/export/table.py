"""Joints as a table, and the person's measurements as another beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
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
    header = [
        "frame",
        "seconds",
        "tracked",
        "residual_mm",
        *(f"{name}_{axis}" for name in JOINT_NAMES for axis in "xyz"),
    ]
    rows = zip(motion.times, motion.seen, motion.residual_mm, motion.joints.reshape(len(motion), 72), strict=True)
    table = [
        [number, f"{t:.6f}", int(seen), f"{residual:.1f}", *(f"{value:.6f}" for value in joints)]
        for number, (t, seen, residual, joints) in enumerate(rows)
    ]
    write_whole(path, _text([header, *table]))
    write_whole(
        beside,
        _text(
            [
                ["measurement", "cm", "spread_cm"],
                *([name, f"{m.cm:.1f}", f"{m.spread:.1f}"] for name, m in motion.measurements.items()),
            ]
        ),
    )


def _text(rows: Iterable[list]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()
