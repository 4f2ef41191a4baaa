"""The report's section on body shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvd_live.body.fit import BodyFitter
from lvd_live.body.measure import NAMES
from lvd_live.evaluate.experiments import Shapes, shapes
from lvd_live.evaluate.report.document import Report
from lvd_live.evaluate.report.subject import Subject, contenders
from lvd_live.evaluate.report.synthetic import SURFACE
from lvd_live.synth.dataset import POSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHAPES = 512  # pictures
HEIGHT, WAIST = NAMES.index("height"), NAMES.index("waist")


def report_shape(report: Report, subject: Subject, v2s: dict[str, float]) -> None:
    """Measurements, and how much of the people's variety is found. v2s : mm, by the contender's name."""
    report.say(
        "## Shape",
        f"{SHAPES} pictures, measured by body parameters fitted to the converged mesh, each person at the true "
        "distance. Slope of found against true: 1 is right, 0 is always the average.",
    )
    fitter, compared = BodyFitter(subject.tracker.body), [c for c in contenders(subject) if not c.variant]
    found = {c.name: shapes(c.method, fitter, c.people(subject.shards, SHAPES)) for c in compared}
    first, total = compared[0], sum(map(len, subject.shards.maps))
    together = shapes(first.method, fitter, first.people(subject.shards, total), pictures=POSES)
    outlined = next(c for c in compared if c.name.endswith("on the outline"))
    session = shapes(outlined.method, fitter, outlined.people(subject.shards, total), pictures=POSES)
    rows = [(name, *_errors_and_slopes(s)) for name, s in found.items()]
    rows.append((f"{first.name}, {POSES} pictures of a person together", *_errors_and_slopes(together)))
    report.table("shape", ("method", *(f"{name.replace('_', ' ')}, cm (slope)" for name in NAMES)), rows)
    report.table(
        "shape_by_build",
        ("build (waist / height)", "waist found, cm", "waist true, cm"),
        _waist_by_build(found[first.name]),
    )
    report.say(
        "As the program says them (`body/estimate.py`), on the outline, the height known: R², and the share of the "
        "true lengths within the error that it states and within twice that (68 and 95 % if honest)."
    )
    said = {"one picture": found[outlined.name], f"{POSES} pictures of a person together": session}
    girths = [name for name in NAMES if name != "height"]
    report.table(
        "estimates", ("", *(n.replace("_", " ") for n in girths)), [_said(n, s, girths) for n, s in said.items()]
    )
    _report_second_component(report, found, v2s)
    report.plot("waist", "Waist, found against true", lambda axes: _draw_waists(axes, found))


def _errors_and_slopes(s: Shapes) -> list[str]:
    """By measurement: the mean error in cm, and the slope."""
    errors = np.abs(s.found - s.true).mean(0)
    return [f"{error:.1f} ({s.slope(name):.2f})" for name, error in zip(NAMES, errors, strict=True)]


def _said(title: str, s: Shapes, names: list[str]) -> tuple[str, ...]:
    """A row: how good estimates are, and how honest."""
    shares = ((s.explained(name), s.within(name), s.within(name, 2)) for name in names)
    return title, *(f"{r2:.2f} ({one:.0%}, {two:.0%})" for r2, one, two in shares)


def _waist_by_build(s: Shapes) -> list[tuple[str, float, float]]:
    """Mean waists, found and true, of the thin, middle and heavy third of the people."""
    build = s.true[:, WAIST] / s.true[:, HEIGHT]
    thirds = np.digitize(build, np.quantile(build, (1 / 3, 2 / 3)))
    return [
        (label, float(s.found[thirds == i, WAIST].mean()), float(s.true[thirds == i, WAIST].mean()))
        for i, label in enumerate(("thin", "middle", "heavy"))
    ]


def _report_second_component(report: Report, found: dict[str, Shapes], v2s: dict[str, float]) -> None:
    """The spread of the second shape component over the people: a method that always says the average has none."""
    spreads = {name: float(s.second[:, 0].std()) for name, s in found.items()}
    true = float(next(iter(found.values())).second[:, 1].std())
    report.say(f"Standard deviation of the second shape component, {true:.2f} in truth, against V2S:")
    rows = [(name, spread, v2s[name]) for name, spread in spreads.items()]
    report.table("second_component", ("method", "standard deviation", f"{SURFACE}, mm"), rows)

    def draw(axes: Axes) -> None:
        for name, spread in spreads.items():
            axes.plot(spread, v2s[name], "o", label=name)
        axes.axvline(true, color="k", linestyle=":")
        label = "standard deviation of the second shape component (dotted: true)"
        axes.set(xlabel=label, ylabel="V2S, mm", xlim=(0, None), ylim=(0, None))
        axes.legend(fontsize=6)

    report.plot("second", "Spread of the second shape component against V2S", draw)


def _draw_waists(axes: Axes, found: dict[str, Shapes]) -> None:
    for name, s in found.items():
        axes.scatter(s.true[:, WAIST], s.found[:, WAIST], s=4, alpha=0.4, label=name)
    true = next(iter(found.values())).true[:, WAIST]
    ends = [true.min(), true.max()]
    axes.plot(ends, ends, "k:")
    axes.set(xlabel="true waist, cm", ylabel="found, cm")
    axes.legend(fontsize=6)
