"""Does the uncertainty tell the error? Rank correlation, reliability, and a monotone map from U(v) to the error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import isotonic_regression
from scipy.stats import spearmanr

from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import BODY_PARTS, JOINT
from lvd_live.evaluate.held_out import eval_batches
from lvd_live.evaluate.metrics import aligned_error
from lvd_live.evaluate.plots import new_figure, save_png
from lvd_live.lvd.coarse import Coarse
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.uncertainty import SIGMA, perturbations
from lvd_live.synth.dataset import Shards

PERTURBATIONS = 8
SIGMAS = (SIGMA, 0.02, 0.1, 0.2)  # crop units; the program's own, and others to compare with
KNOTS = 32  # of the monotone map
BINS = 20  # of the reliability plot


@dataclass(frozen=True)
class Pairs:
    """Claimed and true errors of S held-out people.

    std : (S, K) metres, U(v) of the control vertices.
    error : (S, K) metres, pelvis-aligned.
    """

    std: np.ndarray
    error: np.ndarray

    def correlation(self) -> float:
        """Spearman's ρ over all vertices of all people."""
        return float(spearmanr(self.std, self.error, axis=None).statistic)

    def correlation_within(self) -> float:
        """Spearman's ρ over one person's vertices, mean over people: does it know which part is wrong?"""
        return float(np.mean([spearmanr(s, e).statistic for s, e in zip(self.std, self.error, strict=True)]))

    def half(self, which: int) -> Pairs:
        """Every second person, from the first (0) or the second (1) on."""
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
    """Descend on held-out people from the crop's centre, then ask for U(v) of Eq. 3, as a `Tracker` does.

    shards : opened with `upsample`. sigma : of the perturbations, crop units. count : people.
    """
    control, pelvis = runtime.network.control.cpu(), body.J_regressor[0]
    offsets = perturbations(PERTURBATIONS, len(control), sigma).to(runtime.device)
    coarse = Coarse.of(body.v_template[control].numpy(), runtime.device)
    std, error = [], []
    for batch in eval_batches(shards, runtime.size, conditioning=conditioning, count=count):
        prepared = runtime.encode(*batch.crops)
        v = runtime.descend(prepared, None, iterations=iterations).vertices
        few = runtime.uncertainty(prepared, v, offsets, coarse.targets)
        std.append(coarse.over_all(few[..., None])[..., 0].cpu().numpy() * batch.metres_per_unit[:, None])
        found = batch.millimetres(runtime.network.dense(v))
        error.append(aligned_error(found, batch.truth, pelvis)[:, control].numpy() / 1000)
    return Pairs(np.concatenate(std), np.concatenate(error))


def calibrate(pairs: Pairs) -> dict[str, list[float]]:
    """The monotone map from U(v) to the mean error as knots to interpolate between, "std" and "error", both metres.

    Isotonic regression over equally filled bins.
    """
    order = np.argsort(pairs.std, axis=None)
    bins = [(pairs.std.flat[b].mean(), pairs.error.flat[b].mean()) for b in np.array_split(order, KNOTS)]
    std, error = np.array(bins).T
    return {"std": np.round(std, 6).tolist(), "error": np.round(isotonic_regression(error).x, 6).tolist()}


def plot_reliability(pairs: Pairs, calibration: dict[str, list[float]], out: Path) -> None:
    """Draw the calibrated claim against the error, mm, as a PNG.

    pairs : of people whom the calibration has not seen. calibration : see `calibrate`.
    """
    expected = np.interp(pairs.std, calibration["std"], calibration["error"]) * 1000
    bins = np.array_split(np.argsort(expected, axis=None), BINS)
    claimed = np.array([expected.flat[b].mean() for b in bins])
    low, high = np.array([1000 * np.percentile(pairs.error.flat[b], (25, 75)) for b in bins]).T
    means = np.array([1000 * pairs.error.flat[b].mean() for b in bins])
    figure = new_figure(4.5, 4)
    axes = figure.subplots()
    axes.fill_between(claimed, low, high, alpha=0.2, label="middle half of the vertices")
    axes.plot(claimed, means, "o-", markersize=3, label="mean error")
    axes.plot([0, claimed.max()], [0, claimed.max()], "k:", label="right")
    axes.set(xlabel="expected error, mm", ylabel="error, mm", xlim=(0, None), ylim=(0, None))
    axes.legend()
    save_png(figure, out)


def report(
    runtime: Runtime, body: BodyModel, shards: Shards, *, sigmas: tuple[float, ...], count: int
) -> tuple[list[str], Pairs]:
    """Tables as lines of Markdown, and the pairs of the first sigma."""
    measured = [claims_and_errors(runtime, body, shards, sigma=sigma, count=count) for sigma in sigmas]
    lines = ["| σ, half crops | ρ over all vertices | ρ within one person |", "|---|---|---|"]
    for sigma, pairs in zip(sigmas, measured, strict=True):
        lines.append(f"| {sigma:g} | {pairs.correlation():.3f} | {pairs.correlation_within():.3f} |")
    labels = body.part_labels.numpy()[runtime.network.control.cpu().numpy()]
    return [*lines, "", *_by_part(measured[0], labels)], measured[0]


def _by_part(pairs: Pairs, labels: np.ndarray) -> list[str]:
    """A table by body part, the most uncertain first. labels : (K,), the joint that moves each control vertex most."""
    parts = [(name, np.isin(labels, [JOINT[j] for j in joints])) for name, joints in BODY_PARTS.items()]
    lines = ["| body part | U(v), mm | error, mm | ρ of the part's mean over people |", "|---|---|---|---|"]
    for name, chosen in sorted(parts, key=lambda part: -pairs.std[:, part[1]].mean()):
        u, e = pairs.std[:, chosen].mean(1), pairs.error[:, chosen].mean(1)
        lines.append(f"| {name} | {1000 * u.mean():.1f} | {1000 * e.mean():.0f} | {spearmanr(u, e).statistic:.2f} |")
    return lines
