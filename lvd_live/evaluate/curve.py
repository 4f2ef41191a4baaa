"""The learning curve: error on held-out people against samples seen."""

from __future__ import annotations

import csv
from pathlib import Path

from lvd_live.errors import UserError
from lvd_live.lvd.presets import CONDITIONING

LABELS = {"all": "landmarks and feature maps", "maps": "feature maps", "picture": "picture and mask alone"}


def plot(table: Path, out: Path, iteration: int = 6) -> None:
    """Draw a run's validation.csv (see `train.loop`): V2V in mm after `iteration` iterations from a point, by what the network is told, as a PNG."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise UserError("Drawing the curve needs matplotlib: pip install -e .[train]") from None
    try:
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        series = {
            told: [(int(r["samples"]), float(r[f"v2v_{iteration}"])) for r in rows if r["conditioning"] == told]
            for told in CONDITIONING
        }
    except (OSError, KeyError, ValueError, UnicodeDecodeError):
        raise UserError(f"{table} is not the validation.csv of a training run.") from None
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for told, points in series.items():
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=LABELS[told])
    axes.set(xlabel="samples seen", ylabel=f"V2V after {iteration} iterations, mm", xscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    FigureCanvasAgg(figure).print_png(str(out))
