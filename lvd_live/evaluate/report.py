"""The paper's experiments as one report: report.md, its tables as CSV, its plots as PNG."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lvd_live.body.fit import BodyFitter
from lvd_live.body.measure import NAMES
from lvd_live.body.skeleton import BODY_PARTS
from lvd_live.evaluate import experiments, uncertainty
from lvd_live.evaluate.held_out import sights
from lvd_live.evaluate.real import TIGHT, inputs, mean, score
from lvd_live.evaluate.steadiness import steadiness
from lvd_live.evaluate.synthetic import YAWS, mean_body_error
from lvd_live.lvd.network import EVIDENCE
from lvd_live.paths import MODELS
from lvd_live.synth.dataset import POSES, Shards
from lvd_live.synth.motion import Motion
from lvd_live.tracker import Tracker

log = logging.getLogger(__name__)

NEAREST, SURFACE = "V2V to the nearest (paper's Table 1)", "V2S to the nearest (paper's Table 1)"
SHAPES, PARTS = 512, 200  # pictures for the measurements and for the error by body part


class Report:
    """A folder that fills up: report.md is written anew after every section, so that an interrupted run leaves what it has."""

    def __init__(self, folder: Path, title: str):
        self.folder, self.lines = folder, [f"# {title}", ""]
        self.v2s: dict[str, float] = {}  # mm, by method
        folder.mkdir(parents=True, exist_ok=True)

    def say(self, *lines: str) -> None:
        """Lines of one block; a heading stands apart."""
        self.lines += [part for line in lines for part in ((line, "") if line.startswith("#") else (line,))] + [""]
        (self.folder / "report.md").write_text("\n".join(self.lines))

    def table(self, name: str, header: tuple[str, ...], rows: list[tuple]) -> None:
        """Into the text, rounded, and into NAME.csv as it is."""
        with (self.folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        self.say(*markdown(header, rows))

    def plot(self, name: str, caption: str, draw: Callable) -> None:
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        draw(figure.subplots())
        FigureCanvasAgg(figure).print_png(str(self.folder / f"{name}.png"))
        self.say(f"![{caption}]({name}.png)")


def markdown(header: tuple[str, ...], rows: list[tuple]) -> list[str]:
    """A table as lines of Markdown, numbers rounded."""
    cells = [[f"{c:.3g}" if isinstance(c, float) and abs(c) < 10 else f"{c:.1f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header), *("| " + " | ".join(row) + " |" for row in cells)]


def write(folder: Path, preset: str, shards: Shards, *, weights: Path | None = None, baseline=None, real: Path | None = None, views: Path | None = None, ablations: str = "", models: Path = MODELS, count: int = 2048) -> None:
    """All experiments. baseline: a trained `Regressor`, or None. real: a folder of clips and pictures, views: a folder of views with 3D truth, or None. ablations: what `python -m lvd_live ablate` wrote."""
    tracker = Tracker.load(preset, weights=weights)
    report = Report(folder, f"LVD Live, preset {preset}")
    report.say(f"Weights {tracker.describe()['weights'].get('sha256', '')[:16]}. Held-out synthetic people (identities, clothes' fits and clips never trained on): {count} pictures.")
    for section in (accuracy, shape, convergence, robustness, certainty):
        log.info("%s …", section.__name__)
        section(report, tracker, shards, baseline, models, count)
    if real is not None:
        log.info("real …")
        on_real(report, preset, weights, real, models)
    if views is not None:
        log.info("views …")
        with_truth(report, preset, weights, views, models)
    if ablations:
        report.say("## What the error hangs on", *ablations.splitlines())


def methods(tracker: Tracker, baseline) -> dict[str, tuple[experiments.Method, dict]]:
    """By name: the method, and how it sees people (see `held_out.sights`)."""
    size = tracker.runtime.size
    told = EVIDENCE if tracker.runtime.network.preset.landmarks else ("picture",)
    found = {f"LVD, told {e}": (experiments.by_descent(tracker.runtime), {"size": size, "evidence": e}) for e in told}
    found[f"LVD, told {told[0]}, on the outline"] = (experiments.on_the_outline(experiments.by_descent(tracker.runtime), tracker.body), {"size": size, "evidence": told[0]})
    if told[0] == "all":
        found["LVD, told true landmarks, 2 % and 6 % noise"] = (experiments.with_true_landmarks(experiments.by_descent(tracker.runtime)), {"size": size, "evidence": "all"})
    found["LVD, first iteration alone"] = (experiments.by_descent(tracker.runtime, 1), {"size": size, "evidence": told[0]})
    if baseline is not None:
        found |= {f"ResNet-18 to parameters, told {e}": (experiments.by_regression(baseline), {"size": baseline.size, "evidence": e}) for e in ("all", "picture")}
    return found


def accuracy(report: Report, tracker: Tracker, shards: Shards, baseline, models: Path, count: int) -> None:
    report.say("## Accuracy", "Pelvis-aligned, mm. V2V by namesake: each vertex from the same vertex of the truth, after 6 iterations from the crop's centre, by yaw, over all, and over those who are seen whole. To the nearest: from each vertex to the nearest true vertex and to the true surface, whichever part of the body that is: what the paper's Table 1 measures (V2V 39.1, V2S 37.9 there), and not to be compared with distances by namesake. told: all = landmarks and feature maps, maps = feature maps alone, picture = picture and mask. On the outline: as it is shown, limbs brought onto the mask's outline; the others are descent alone. True landmarks: with noise in the picture and in depth, in half crops, instead of the finder's.")
    rows, curves = [], {}
    for name, (method, seeing) in methods(tracker, baseline).items():
        fits = experiments.accuracy(method, tracker.body, sights(shards, **seeing, count=count))
        v2v, report.v2s[name] = fits.converged, mean(fits.v2s)
        groups = [mean(v2v[chosen]) for chosen in (*(fits.yaw == y for y in YAWS), v2v > 0, fits.whole, ~fits.whole)]
        rows.append((name, *groups, float(np.median(v2v)), mean(fits.nearest), report.v2s[name]))
        if fits.v2v.shape[1] > 1:
            curves[name] = fits.v2v.mean(0)
    nothing = mean_body_error(tracker.body, shards, count)
    report.table("accuracy", ("method", *(f"{y}°" for y in YAWS), "V2V by namesake", "seen whole", "hidden in part", "median", NEAREST, SURFACE), rows)
    report.say(f"The mean body in its T-pose, facing the camera: {nothing:.1f} mm.")
    report.table("iterations", ("method", *map(str, range(1, experiments.ITERATIONS + 1))), [(name, *map(float, curve)) for name, curve in curves.items()])


def measured(shapes: experiments.Shapes) -> list[str]:
    """By measurement: the mean error in cm, and the slope."""
    return [f"{error:.1f} ({shapes.slope(name):.2f})" for name, error in zip(NAMES, np.abs(shapes.found - shapes.true).mean(0), strict=True)]


def shape(report: Report, tracker: Tracker, shards: Shards, baseline, models: Path, count: int) -> None:
    report.say("## Shape", f"{SHAPES} pictures, measured by body parameters fitted to the converged mesh, each person at the true distance. Slope of found against true: 1 is right, 0 is always the average.")
    fitter, rows, scatter = BodyFitter(tracker.body), [], {}
    for name, (method, seeing) in methods(tracker, baseline).items():
        if "first" in name or "true" in name:
            continue
        found = experiments.shapes(method, fitter, sights(shards, **seeing, count=SHAPES))
        rows.append((name, *measured(found)))
        scatter[name] = found
    name, (method, seeing) = next(iter(methods(tracker, baseline).items()))
    together = experiments.shapes(method, fitter, sights(shards, **seeing, count=sum(map(len, shards.maps))), pictures=POSES)
    rows.append((f"{name}, {POSES} pictures of a person together", *measured(together)))
    report.table("shape", ("method", *(f"{n.replace('_', ' ')}, cm (slope)" for n in NAMES)), rows)
    first = next(iter(scatter.values()))
    waist, thirds = NAMES.index("waist"), np.digitize(first.true[:, NAMES.index("waist")] / first.true[:, 0], np.quantile(first.true[:, NAMES.index("waist")] / first.true[:, 0], (1 / 3, 2 / 3)))
    report.table("shape_by_build", ("build (waist / height)", "waist found, cm", "waist true, cm"), [(label, float(first.found[thirds == i, waist].mean()), float(first.true[thirds == i, waist].mean())) for i, label in enumerate(("thin", "middle", "heavy"))])
    spreads = {name: float(s.second[:, 0].std()) for name, s in scatter.items()}
    true = float(first.second[:, 1].std())
    report.say(f"Standard deviation of the second shape component, {true:.2f} in truth, against V2S:")
    report.table("second_component", ("method", "standard deviation", f"{SURFACE}, mm"), [(name, spread, report.v2s[name]) for name, spread in spreads.items()])

    def draw_spread(axes) -> None:
        for name, spread in spreads.items():
            axes.plot(spread, report.v2s[name], "o", label=name)
        axes.axvline(true, color="k", linestyle=":")
        axes.set(xlabel="standard deviation of the second shape component (dotted: true)", ylabel="V2S, mm", xlim=(0, None), ylim=(0, None))
        axes.legend(fontsize=6)

    report.plot("second", "Spread of the second shape component against V2S", draw_spread)

    def draw(axes) -> None:
        for name, s in scatter.items():
            axes.scatter(s.true[:, waist], s.found[:, waist], s=4, alpha=0.4, label=name)
        low, high = first.true[:, waist].min(), first.true[:, waist].max()
        axes.plot([low, high], [low, high], "k:")
        axes.set(xlabel="true waist, cm", ylabel="found, cm")
        axes.legend(fontsize=6)

    report.plot("waist", "Waist, found against true", draw)


def convergence(report: Report, tracker: Tracker, shards: Shards, baseline, models: Path, count: int) -> None:
    features, step = experiments.milliseconds_per_iteration(tracker.runtime, shards)
    fits = experiments.accuracy(experiments.by_descent(tracker.runtime), tracker.body, sights(shards, tracker.runtime.size, count=PARTS))
    by_part = fits.parts.mean(0)
    report.say("## Convergence", f"{PARTS} people; features take {features:.1f} ms a picture, an iteration {step:.1f} ms ({tracker.runtime.provider}).")
    report.table("parts", ("body part, mm", *(f"{i} ({features + i * step:.0f} ms)" for i in range(1, experiments.ITERATIONS + 1))), [(part, *map(float, errors)) for part, errors in zip(BODY_PARTS, by_part, strict=True)])

    def draw(axes) -> None:
        for part, errors in zip(BODY_PARTS, by_part, strict=True):
            axes.plot(features + step * np.arange(1, experiments.ITERATIONS + 1), errors, marker="o", markersize=3, label=part)
        axes.set(xlabel="ms since the picture", ylabel="V2V, mm", ylim=(0, None))
        axes.legend(fontsize=6)

    report.plot("parts", "Error by body part against time; a mark is an iteration", draw)


def robustness(report: Report, tracker: Tracker, shards: Shards, baseline, models: Path, count: int) -> None:
    motion = Motion.load(models / "synth" / "poses.npz", held_out=True)
    spread = experiments.start_spread(tracker.runtime, tracker.body, motion, shards)
    report.say("## Robustness", f"σ of the converged vertices over {experiments.STARTS} random start poses of each of {experiments.STARTED} people (the paper: 1.2 mm):")
    report.table("starts", ("iterations", "σ, mm"), list(spread.items()))
    errors = experiments.robustness_to_mask(tracker.runtime, tracker.body, shards)
    report.say("Error against mask noise (blotches in which the mask says the opposite):")
    report.table("mask", ("wrong share of the crop", "V2V, mm"), list(errors.items()))


def certainty(report: Report, tracker: Tracker, shards: Shards, baseline, models: Path, count: int) -> None:
    lines, pairs = uncertainty.report(tracker.runtime, tracker.body, shards, sigmas=(uncertainty.SIGMA,), count=min(count, 512))
    uncertainty.plot_reliability(pairs.half(1), uncertainty.calibrate(pairs.half(0)), report.folder / "reliability.png")
    report.say("## Uncertainty", *lines)
    report.say("![Expected against true error](reliability.png)")


def on_real(report: Report, preset: str, weights: Path | None, real: Path, models: Path) -> None:
    from lvd_live.person import BlazePoseFinder

    finder, paths, rows = BlazePoseFinder(models / "blazepose"), inputs(real), []
    for evidence in EVIDENCE:
        tracker = Tracker.load(preset, weights=weights, evidence=evidence)
        scores = [score(path, finder, tracker, None, []) for path in paths]
        for title, group in ((", ".join(TIGHT), [s for s in scores if s.tight]), ("clips", [s for s in scores if s.frames > 1]), ("pictures", [s for s in scores if s.frames == 1]), ("all", scores)):
            if group:
                rows.append((evidence, title, f"{sum(s.tracked for s in group)}/{sum(s.frames for s in group)}", *(mean([getattr(s, k) for s in group]) * f for k, f in (("iou", 1), ("joints", 100), ("landmarks", 100)))))
    report.say("## Real pictures", "Silhouette against the finder's mask, the limbs' joints against its landmarks (% of the person's height in the picture); means over files. The mesh is the one that is shown: its limbs have been brought onto the outline of the mask that the IoU is measured against.")
    report.table("real", ("told", "group", "tracked", "IoU", "joints, %", "own landmarks, %"), rows)
    warm, cold = (Tracker.load(preset, weights=weights, iterations=n) for n in (None, 8))
    rows = [(path.name, way, s.vertices, s.joints, s.lag) for path in paths if path.suffix.lower() in {".mp4", ".mov", ".mkv"} for way, s in steadiness(path, finder, warm, cold).items()]
    report.say("Jitter (second difference about the pelvis) of every frame fitted from a point with 8 iterations (cold), from the last mesh (warm), and warm with the One-Euro filter low and high:")
    report.table("jitter", ("clip", "way", "vertices, mm/frame²", "joints, mm/frame²", "lag, frames"), rows)


def with_truth(report: Report, preset: str, weights: Path | None, folder: Path, models: Path) -> None:
    """Real people with 3D truth; see `views`."""
    from lvd_live.evaluate.views import compare
    from lvd_live.person import BlazePoseFinder

    report.say("## Real people with 3D truth", "The mesh's own landmarks against true joints. PA: after the similarity transform of each frame that brings them closest; root-aligned: hips on hips, scaled, not turned, which shows leaning. Camera known: the mesh placed by the true camera instead of the assumed field of view. Exchanged: frames nearer to the truth with left and right exchanged, in space (also where depth alone is inverted) and in the picture. Jitter: second difference of the joints about the hips, no filter. Means over the views.")
    for name, (header, rows) in compare(folder, preset, weights=weights, finder=BlazePoseFinder(models / "blazepose")).items():
        report.table(name, header, rows)
