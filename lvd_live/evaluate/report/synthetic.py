"""The report's sections on held-out synthetic people: accuracy, convergence, robustness, uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvd_live.body.skeleton import BODY_PARTS
from lvd_live.evaluate import robustness, uncertainty
from lvd_live.evaluate.experiments import accuracy, milliseconds_per_iteration
from lvd_live.evaluate.held_out import eval_batches
from lvd_live.evaluate.methods import ITERATIONS, by_descent
from lvd_live.evaluate.real import mean
from lvd_live.evaluate.report.document import Cell, Report
from lvd_live.evaluate.report.subject import Subject, contenders
from lvd_live.evaluate.synthetic import YAWS, mean_body_error
from lvd_live.lvd.uncertainty import SIGMA
from lvd_live.synth.motion import PoseBank

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEAREST, SURFACE = "V2V to the nearest (paper's Table 1)", "V2S to the nearest (paper's Table 1)"
PARTS = 200  # people for the error by body part
RELIABILITY = 512  # people at most for the uncertainty


def report_accuracy(report: Report, subject: Subject) -> dict[str, float]:
    """Errors of every contender. Returns V2S, mm, by the contender's name."""
    report.say(
        "## Accuracy",
        "Pelvis-aligned, mm. V2V by namesake: each vertex from the same vertex of the truth, after 6 iterations from "
        "the crop's centre, by yaw, over all, and over those who are seen whole. To the nearest: from each vertex to "
        "the nearest true vertex and to the true surface, whichever part of the body that is: what the paper's Table 1 "
        "measures (V2V 39.1, V2S 37.9 there), and not to be compared with distances by namesake. told: all = landmarks "
        "and feature maps, maps = feature maps alone, picture = picture and mask. On the outline: as it is shown, "
        "limbs brought onto the mask's outline; the others are descent alone. True landmarks: with noise in the "
        "picture and in depth, in half crops, instead of the finder's.",
    )
    body, v2s = subject.tracker.body, {}
    rows: list[tuple[Cell, ...]] = []
    curves: list[tuple[Cell, ...]] = []
    for contender in contenders(subject):
        fits = accuracy(contender.method, body, contender.people(subject.shards, subject.count))
        v2v, v2s[contender.name] = fits.converged, mean(fits.v2s)
        groups = (*(fits.yaw == yaw for yaw in YAWS), v2v > 0, fits.whole, ~fits.whole)
        means = [mean(v2v[chosen]) for chosen in groups]
        rows.append((contender.name, *means, float(np.median(v2v)), mean(fits.nearest), v2s[contender.name]))
        if fits.v2v.shape[1] > 1:
            curves.append((contender.name, *map(float, fits.v2v.mean(0))))
    nothing = mean_body_error(body, subject.shards, subject.count)
    columns = [*(f"{yaw}°" for yaw in YAWS), "V2V by namesake", "seen whole", "hidden in part", "median"]
    report.table("accuracy", ("method", *columns, NEAREST, SURFACE), rows)
    report.say(f"The mean body in its T-pose, facing the camera: {nothing:.1f} mm.")
    report.table("iterations", ("method", *map(str, range(1, ITERATIONS + 1))), curves)
    return v2s


def report_convergence(report: Report, subject: Subject) -> None:
    """Error by body part after each iteration, and the time that it takes."""
    runtime, body = subject.tracker.runtime, subject.tracker.body
    features, step = milliseconds_per_iteration(runtime, subject.shards)
    fits = accuracy(by_descent(runtime), body, eval_batches(subject.shards, runtime.size, count=PARTS))
    by_part = dict(zip(BODY_PARTS, fits.parts.mean(0), strict=True))
    report.say(
        "## Convergence",
        f"{PARTS} people; features take {features:.1f} ms a picture, an iteration {step:.1f} ms ({runtime.provider}).",
    )
    times = [features + i * step for i in range(1, ITERATIONS + 1)]
    header = ("body part, mm", *(f"{i} ({ms:.0f} ms)" for i, ms in enumerate(times, 1)))
    report.table("parts", header, [(part, *map(float, errors)) for part, errors in by_part.items()])

    def draw(axes: Axes) -> None:
        for part, errors in by_part.items():
            axes.plot(times, errors, marker="o", markersize=3, label=part)
        axes.set(xlabel="ms since the picture", ylabel="V2V, mm", ylim=(0, None))
        axes.legend(fontsize=6)

    report.plot("parts", "Error by body part against time; a mark is an iteration", draw)


def report_robustness(report: Report, subject: Subject) -> None:
    """The spread over random starts, and the error with wrong masks."""
    runtime, body = subject.tracker.runtime, subject.tracker.body
    motion = PoseBank.load(subject.models / "synth" / "poses.npz", held_out=True)
    spread = robustness.start_spread(runtime, body, motion, subject.shards)
    report.say(
        "## Robustness",
        f"σ of the converged vertices over {robustness.STARTS} random start poses of each of {robustness.STARTED} "
        "people (the paper: 1.2 mm):",
    )
    report.table("starts", ("iterations", "σ, mm"), list(spread.items()))
    errors = robustness.robustness_to_mask(runtime, body, subject.shards)
    report.say("Error against mask noise (blotches in which the mask says the opposite):")
    report.table("mask", ("wrong share of the crop", "V2V, mm"), list(errors.items()))


def report_uncertainty(report: Report, subject: Subject) -> None:
    """Correlation, error by body part, and reliability: calibrated on one half of the people, drawn for the other."""
    runtime, body, count = subject.tracker.runtime, subject.tracker.body, min(subject.count, RELIABILITY)
    lines, pairs = uncertainty.report(runtime, body, subject.shards, sigmas=(SIGMA,), count=count)
    calibration = uncertainty.calibrate(pairs.half(0))
    uncertainty.plot_reliability(pairs.half(1), calibration, report.folder / "reliability.png")
    report.say("## Uncertainty", *lines)
    report.say("![Expected against true error](reliability.png)")
