"""Held-out synthetic scans (Table 2 on our ground): errors of the forward pass, overall and by body part."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import BODY_PARTS, JOINT
from lvd_live.lvd.descent import iterate
from lvd_live.lvd.runtime.onednn import has_bfloat16
from lvd_live.lvd.volume.network import VolumeLVD
from lvd_live.scan.network import STEPS, ScanNetwork
from lvd_live.synth.dataset import Shards
from lvd_live.synth.scans.samples import KINDS, ScanBatch, ScanSamples, held_out_scans
from lvd_live.synth.scans.surfaces import POINTS, make_surfaces

VALIDATED = ("full", "one-sided")
COUNT, ITERATIONS = 64, 8  # of each kind, in training
HELD_OUT_SHARDS = 2

Rows = tuple[tuple[str, ...], list[tuple[str | float, ...]]]
"""A table: its header and its rows."""


class HeldOutScans:
    """Scans of held-out people in held-out poses, always the same ones; all vertices of the body are their truth."""

    def __init__(self, models: Path, folder: Path):
        """models : the folder with body and poses. folder : of the people's shards, made if they are not there."""
        make_surfaces(folder, models, POINTS, range(HELD_OUT_SHARDS), held_out=True)
        self.samples, self.shards = ScanSamples(models, held_out=True), Shards.open(folder)
        self._made: dict[tuple[str, int], list[ScanBatch]] = {}

    def of(self, kind: str, count: int) -> list[ScanBatch]:
        """`count` scans of a kind of `samples.KINDS`, in batches."""
        if (kind, count) not in self._made:
            self._made[kind, count] = held_out_scans(self.samples, self.shards, kind, count)
        return self._made[kind, count]


@torch.no_grad()
def validate_scans(network: VolumeLVD, scans: HeldOutScans, size: int, count: int = COUNT) -> dict[str, list[float]]:
    """Mean V2V, mm, of all the body's vertices after each iteration from the cube's centre, not aligned, by kind.

    size : voxels. count : scans of each kind.
    """
    device, found = next(network.parameters()).device, {}
    for kind in VALIDATED:
        errors = []
        for batch in (batch.to(device) for batch in scans.of(kind, count)):
            with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
                features = network.encode(network.voxelise(batch.clouds, size))
            meshes = iterate(network.field, features, torch.zeros(len(batch), 3, device=device))
            errors.append(torch.stack([_v2v(network.dense(next(meshes)[0]), batch) for _ in range(ITERATIONS)], 1))
        found[kind] = torch.cat(errors).mean(0).tolist()
    return found


def _v2v(vertices: torch.Tensor, batch: ScanBatch) -> torch.Tensor:
    """(B,) mm: the mean distance of vertices (B, N, 3), cube frame, from the true ones."""
    return 1000 * batch.half * (vertices - batch.vertices).norm(dim=-1).mean(1)


@dataclass(frozen=True)
class Errors:
    """What a method makes of n scans, mm: the distance of each vertex (n, N) and of each joint (n, 24) from the truth.

    seconds : (n,), what each took. sigma : (n, N), the method's own uncertainty, mm, or None.
    """

    vertex: np.ndarray
    joint: np.ndarray
    seconds: np.ndarray
    sigma: np.ndarray | None = None


Method = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
"""From a cloud (P, 3), cube frame, to the body's vertices (N, 3) and their uncertainty (N,) or None, cube frame."""


def forward_pass(network: ScanNetwork, steps: int = STEPS, samples: int = 0) -> Method:
    """One descent from the cube's centre. samples : M of Eq. 3, see `ScanNetwork.descend`."""

    def fit(cloud: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        ended = network.descend([cloud], steps=steps, samples=samples)
        return ended.vertices[0], None if ended.sigma is None else ended.sigma[0]

    return fit


def turned_copies(network: ScanNetwork, copies: int) -> Method:
    """The mean of descents on turned copies of the cloud."""

    def fit(cloud: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        vertices = network.descend_turned(cloud, copies).vertices
        return vertices.mean(0), np.sqrt(vertices.var(0).sum(-1))

    return fit


def errors_of(method: Method, batches: list[ScanBatch], body: BodyModel) -> Errors:
    """A method's errors on scans, one at a time."""
    regressor, found = body.J_regressor.numpy(), []
    for batch in batches:
        for cloud, truth, half in zip(batch.clouds, batch.vertices.numpy(), batch.half.numpy(), strict=True):
            began = time.perf_counter()
            vertices, sigma = method(cloud.numpy())
            seconds, off = time.perf_counter() - began, 1000 * half * (vertices - truth)
            spread = None if sigma is None else 1000 * half * sigma
            found.append((np.linalg.norm(off, axis=1), np.linalg.norm(regressor @ off, axis=1), seconds, spread))
    vertex, joint, times, sigmas = zip(*found, strict=True)
    sigma = None if sigmas[0] is None else np.stack(sigmas)
    return Errors(np.stack(vertex), np.stack(joint), np.array(times), sigma)


HEADER = ("scan", "method", "scans", "vertex", "median", "90 %", "joint", "median", "90 %", "s")


def summary(kind: str, name: str, errors: Errors) -> tuple[str | float, ...]:
    """A row of HEADER: over the scans, mean, median and 90th percentile of the mean errors, cm; seconds a scan."""
    figures: list[str | float] = []
    for each in (errors.vertex.mean(1) / 10, errors.joint.mean(1) / 10):
        figures += [f"{each.mean():.2f}", f"{np.median(each):.2f}", f"{np.percentile(each, 90):.2f}"]
    return kind, name, len(errors.vertex), *figures, f"{np.median(errors.seconds):.2f}"


def by_part(errors: Errors, labels: np.ndarray) -> list[str]:
    """Mean vertex error, cm, of each of BODY_PARTS. labels : (N,), the joint that moves each vertex most."""
    return [f"{errors.vertex[:, part].mean() / 10:.1f}" for part in _parts(labels)]


def _parts(labels: np.ndarray) -> list[np.ndarray]:
    """Of each of BODY_PARTS, which vertices are its (N,) bool. labels : see `by_part`."""
    return [np.isin(labels, [JOINT[joint] for joint in joints]) for joints in BODY_PARTS.values()]


def uncertainty(errors: Errors, labels: np.ndarray) -> tuple[str, ...]:
    """Does σ tell the error? Spearman's ρ of the two over vertices and scans, and the mean σ, cm, of each body part."""
    assert errors.sigma is not None, "the method gives one"
    rho = spearmanr(errors.sigma.ravel(), errors.vertex.ravel()).statistic
    return f"{rho:.2f}", *(f"{errors.sigma[:, part].mean() / 10:.1f}" for part in _parts(labels))


def convergence(network: ScanNetwork, scans: HeldOutScans, kind: str, count: int) -> Rows:
    """Mean vertex error, cm, after each iteration from the cube's centre: over all, and of each body part."""
    body = scans.samples.poser.body
    rows: list[tuple[str | float, ...]] = []
    for steps in range(1, ITERATIONS + 1):
        errors = errors_of(forward_pass(network, steps), scans.of(kind, count), body)
        row = by_part(errors, body.part_labels.numpy())
        rows.append((steps, f"{np.median(errors.seconds):.2f}", f"{errors.vertex.mean() / 10:.1f}", *row))
    return ("iteration", "s", "all", *BODY_PARTS), rows


def tables(
    methods: dict[str, Method], scans: HeldOutScans, count: int, kinds: tuple[str, ...] = tuple(KINDS)
) -> dict[str, Rows]:
    """The errors of methods on `count` scans of each kind: "overall", "parts" and "uncertainty"."""
    body = scans.samples.poser.body
    labels = body.part_labels.numpy()
    rows: dict[str, list[tuple[str | float, ...]]] = {"overall": [], "parts": [], "uncertainty": []}
    for kind in kinds:
        for name, method in methods.items():
            errors = errors_of(method, scans.of(kind, count), body)
            rows["overall"].append(summary(kind, name, errors))
            rows["parts"].append((kind, name, *by_part(errors, labels)))
            if errors.sigma is not None:
                rows["uncertainty"].append((f"{kind}, {name}", *uncertainty(errors, labels)))
    headers = HEADER, ("scan", "method", *BODY_PARTS), ("mean σ", "ρ with the error", *BODY_PARTS)
    return {key: (header, rows[key]) for key, header in zip(rows, headers, strict=True)}
