"""The learning curve: error on held-out people against samples seen."""

from __future__ import annotations

import csv
from pathlib import Path

from lvd_live.errors import UserError
from lvd_live.evaluate.plots import check_matplotlib, new_figure, save_png
from lvd_live.lvd.presets import CONDITIONING

LABELS = {"all": "landmarks and feature maps", "maps": "feature maps", "picture": "picture and mask alone"}


def plot(table: Path, out: Path, iteration: int = 6) -> None:
    """Draw V2V in mm after `iteration` iterations from a point, a line for each conditioning, as a PNG.

    table : a run's validation.csv, see `train.loop`.
    Raises UserError where that cannot be read, or without matplotlib.
    """
    check_matplotlib("Drawing the curve")
    try:
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        series = {conditioning: _points(rows, conditioning, f"v2v_{iteration}") for conditioning in CONDITIONING}
    except (OSError, KeyError, ValueError, UnicodeDecodeError):
        raise UserError(f"{table} is not the validation.csv of a training run.") from None
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    for conditioning, points in series.items():
        if points:
            samples, errors = zip(*points, strict=True)
            axes.plot(samples, errors, marker="o", markersize=3, label=LABELS[conditioning])
    axes.set(xlabel="samples seen", ylabel=f"V2V after {iteration} iterations, mm", xscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    save_png(figure, out)


def _points(rows: list[dict[str, str]], conditioning: str, column: str) -> list[tuple[int, float]]:
    """(samples, value of the column) of the rows with that conditioning."""
    return [(int(row["samples"]), float(row[column])) for row in rows if row["conditioning"] == conditioning]
