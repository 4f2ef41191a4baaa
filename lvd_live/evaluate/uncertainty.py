"""Does the uncertainty tell the error? Rank correlation, reliability, and the one monotone map from U(v) to the error to expect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import isotonic_regression
from scipy.stats import spearmanr

from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import BODY_PARTS, JOINT
from lvd_live.evaluate.held_out import sights
from lvd_live.evaluate.metrics import aligned_error
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.uncertainty import SIGMA, perturbations
from lvd_live.synth.dataset import Shards

PERTURBATIONS = 8
SIGMAS = (SIGMA, 0.02, 0.1, 0.2)  # the program's own, and others to compare with, half crops
KNOTS = 32  # of the monotone map


@dataclass(frozen=True)
class Pairs:
    """What was claimed and what was true, for S held-out people: std (S, K) metres, U(v) of the control vertices; error (S, K) metres, pelvis-aligned."""

    std: np.ndarray
    error: np.ndarray

    def correlation(self) -> float:
        """Spearman's ρ over all vertices of all people."""
        return float(spearmanr(self.std, self.error, axis=None).statistic)

    def correlation_within(self) -> float:
        """Spearman's ρ over one person's vertices, mean over people: does it know which part is wrong?"""
        return float(np.mean([spearmanr(s, e).statistic for s, e in zip(self.std, self.error, strict=True)]))

    def half(self, which: int) -> Pairs:
        return Pairs(self.std[which::2], self.error[which::2])


@torch.inference_mode()
def claims_and_errors(
    runtime: Runtime,
    body: BodyModel,
    shards: Shards,
    *,
    sigma: float,
    count: int,
    conditioning: str = "all",
    iterations: int = 6,
) -> Pairs:
    """Descend on held-out people (shards opened with `upsample`) from a point, then ask for U(v) of Eq. 3 with perturbations of `sigma` half crops."""
    offsets = perturbations(PERTURBATIONS, len(runtime.network.control), sigma).to(runtime.device)
    control, pelvis = runtime.network.control.cpu(), body.J_regressor[0]
    std, error = [], []
    for sight in sights(shards, runtime.size, conditioning=conditioning, count=count):
        prepared = runtime.encode(*sight.told)
        v = runtime.descend(prepared, None, iterations=iterations).vertices
        u = runtime.uncertainty(prepared, v, offsets, torch.arange(len(control), device=runtime.device)).cpu().numpy()
        found = sight.millimetres(runtime.network.dense(v))
        std.append(u * (-sight.rows["t"][:, 2] / sight.rows["focal"])[:, None])
        error.append(aligned_error(found, sight.truth, pelvis)[:, control].numpy() / 1000)
    return Pairs(np.concatenate(std), np.concatenate(error))


def calibrate(pairs: Pairs) -> dict[str, list[float]]:
    """The monotone map from U(v) to the mean error, both in metres, as knots to interpolate between: isotonic regression over equally filled bins."""
    order = np.argsort(pairs.std, axis=None)
    bins = [(pairs.std.flat[b].mean(), pairs.error.flat[b].mean()) for b in np.array_split(order, KNOTS)]
    std, error = np.array(bins).T
    return {"std": np.round(std, 6).tolist(), "error": np.round(isotonic_regression(error).x, 6).tolist()}


def plot_reliability(pairs: Pairs, calibration: dict[str, list[float]], out: Path) -> None:
    """The calibrated claim against the error, in mm, for people whom the calibration has not seen, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    expected = np.interp(pairs.std, calibration["std"], calibration["error"]) * 1000
    order = np.argsort(expected, axis=None)
    bins = np.array(
        [
            (
                expected.flat[b].mean(),
                *(1000 * np.percentile(pairs.error.flat[b], (25, 50, 75))),
                1000 * pairs.error.flat[b].mean(),
            )
            for b in np.array_split(order, 20)
        ]
    ).T
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(bins[0], bins[1], bins[3], alpha=0.2, label="middle half of the vertices")
    axes.plot(bins[0], bins[4], "o-", markersize=3, label="mean error")
    axes.plot([0, bins[0].max()], [0, bins[0].max()], "k:", label="right")
    axes.set(xlabel="expected error, mm", ylabel="error, mm", xlim=(0, None), ylim=(0, None))
    axes.legend()
    FigureCanvasAgg(figure).print_png(str(out))


def report(
    runtime: Runtime, body: BodyModel, shards: Shards, *, sigmas: tuple[float, ...], count: int
) -> tuple[list[str], Pairs]:
    """Tables as lines of Markdown, and the pairs of the first sigma."""
    lines = ["| σ, half crops | ρ over all vertices | ρ within one person |", "|---|---|---|"]
    measured = [claims_and_errors(runtime, body, shards, sigma=sigma, count=count) for sigma in sigmas]
    for sigma, pairs in zip(sigmas, measured, strict=True):
        lines.append(f"| {sigma:g} | {pairs.correlation():.3f} | {pairs.correlation_within():.3f} |")
    pairs, part = measured[0], body.part_labels.numpy()[runtime.network.control.cpu().numpy()]
    lines += ["", "| body part | U(v), mm | error, mm | ρ of the part's mean over people |", "|---|---|---|---|"]
    parts = [(name, np.isin(part, [JOINT[j] for j in joints])) for name, joints in BODY_PARTS.items()]
    for name, chosen in sorted(parts, key=lambda p: -pairs.std[:, p[1]].mean()):
        u, e = pairs.std[:, chosen].mean(1), pairs.error[:, chosen].mean(1)
        lines.append(f"| {name} | {1000 * u.mean():.1f} | {1000 * e.mean():.0f} | {spearmanr(u, e).statistic:.2f} |")
    return lines, pairs
