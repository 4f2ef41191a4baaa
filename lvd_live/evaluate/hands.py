"""Held-out synthetic scans of hands (Table 3 on our ground): the forward pass, registration, and no correspondences."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvd_live.body.hand import HandModel
from lvd_live.evaluate.report.document import markdown
from lvd_live.scan.evidence import Cloud
from lvd_live.scan.hands import HandRegistrar, enlarged, hand_prior
from lvd_live.scan.nearest import MeshSearch
from lvd_live.scan.network import STEPS, ScanNetwork
from lvd_live.scan.reading import make_scan
from lvd_live.scan.sampling import estimated_normals
from lvd_live.scan.skinned import SkinnedBody
from lvd_live.scan.solver import FINE, ROUGH, ScanSolver, Schedule
from lvd_live.scan.starts import Told
from lvd_live.synth.hand_scans import HandScan, HandScans, Variety

SEED = 2_000_003  # of hands that no training draws
KINDS = {
    "full": Variety(one=0, two=0, held=0, upright=1),
    "full, with an object": Variety(one=0, two=0, held=1, upright=1),
    "one-sided": Variety(one=1, two=0, held=0.3, upright=1),
    "full, turned anywhere": Variety(one=0, two=0, held=0.3, upright=0),
}
HEADER = ("scan", "method", "scans", "joint", "median", "vertex", "median", "90 %", "fit to hand", "hand to fit", "s")
PAPER = ("MANO scans (paper)", "LVD, after MANO", "", "0.76", "", "0.96", "", "", "2.65", "3.33", "1 (GPU)")

Method = Callable[[np.ndarray], np.ndarray]
"""From a right hand's cloud (P, 3), cube frame, to the hand's vertices (N, 3) there."""


@dataclass(frozen=True)
class HandErrors:
    """Of n scans: mean distance of vertices and of joints from the truth, cm; mean distances of the fit's vertices from
    the true surface and of the true vertices from the fit's, mm; seconds. Each (n,)."""

    vertex: np.ndarray
    joint: np.ndarray
    to_hand: np.ndarray
    from_hand: np.ndarray
    seconds: np.ndarray


def forward_pass(network: ScanNetwork, steps: int = STEPS) -> Method:
    """One descent from the cube's centre, in the scan's own axes."""
    return lambda cloud: network.descend([cloud], steps=steps, samples=0).vertices[0]


def registered(registrar: HandRegistrar, model: str) -> Method:
    """`HandRegistrar`; it finds axes and size, and the side where it is not told. model : "smpl" or "smpl+d"."""

    def fit(cloud: np.ndarray) -> np.ndarray:
        return registrar(make_scan(cloud), Told(), model=model).vertices

    return fit


def without_correspondences(hand: HandModel) -> Method:
    """The same solver from a flat hand in the middle of the cloud, in the hand frame's axes, of the cloud's size."""
    solver = ScanSolver(SkinnedBody(enlarged(hand)), hand_prior(hand))

    def fit(cloud: np.ndarray) -> np.ndarray:
        template = solver.body.template
        scale = np.ptp(template, axis=0).max() / np.ptp(cloud, axis=0).max()
        points = (cloud * scale).astype(float)
        start = solver.body.at_rest()
        middle = (points.max(0) + points.min(0)) / 2 - (template.max(0) + template.min(0)) / 2
        start = type(start)(start.pose, start.betas, middle, 0.0)
        target = Cloud.of(points, estimated_normals(points), sure=False)
        for widths in (ROUGH, FINE):
            start = solver.fit(target, start, Schedule(widths), free_size=True)
        return solver.body.posed(start).vertices / scale

    return fit


def held_out(hand: HandModel, kind: str, count: int) -> list[HandScan]:
    """`count` scans of a kind of KINDS, always the same ones."""
    source = HandScans(hand, SEED + list(KINDS).index(kind), KINDS[kind])
    return [source.draw() for _ in range(count)]


def errors_of(method: Method, scans: Sequence[HandScan], hand: HandModel) -> HandErrors:
    """A method's errors, one scan at a time."""
    regressor, faces, rows = hand.J_regressor.numpy(), hand.faces.numpy(), []
    for scan in scans:
        began = time.perf_counter()
        vertices = method(scan.points)
        seconds = time.perf_counter() - began
        off = (vertices - scan.vertices) / scan.metre
        there = MeshSearch(scan.vertices, faces).nearest(vertices).distance
        back = MeshSearch(vertices, faces).nearest(scan.vertices).distance
        vertex, joint = (100 * float(np.linalg.norm(e, axis=1).mean()) for e in (off, regressor @ off))
        rows.append((vertex, joint, *(1000 * float(d.mean()) / scan.metre for d in (there, back)), seconds))
    return HandErrors(*np.array(rows).T)


def table(
    hand: HandModel, methods: dict[str, Method], count: int, kinds: Sequence[str] = tuple(KINDS)
) -> tuple[tuple[str, ...], list[tuple[str | float, ...]]]:
    """Header and rows: errors of methods on `count` scans of each kind. cm, of the surfaces mm."""
    rows: list[tuple[str | float, ...]] = []
    for kind in kinds:
        scans = held_out(hand, kind, count)
        for name, method in methods.items():
            e = errors_of(method, scans, hand)
            figures = e.joint.mean(), np.median(e.joint), e.vertex.mean(), np.median(e.vertex)
            far = np.percentile(e.vertex, 90)
            surfaces = e.to_hand.mean(), e.from_hand.mean(), np.median(e.seconds)
            rows.append((kind, name, count, *(f"{x:.2f}" for x in (*figures, far, *surfaces))))
    return HEADER, [*rows, PAPER]


def methods_for(registrar: HandRegistrar, network: ScanNetwork, hand: HandModel) -> dict[str, Method]:
    """What Table 3 compares, by name."""
    return {
        "no correspondences": without_correspondences(hand),
        "forward pass": forward_pass(network),
        "after the hand model": registered(registrar, "smpl"),
        "with displacements": registered(registrar, "smpl+d"),
    }


def report(models: Path, weights: Path | None, count: int) -> list[str]:
    """Table 3 in Markdown. models : the folder with hand and weights. weights : None, those there. Raises UserError."""
    hand = HandModel.load(models / "hand" / "right.npz")
    network = ScanNetwork.load(weights or models / "weights" / "hand.safetensors")
    methods = methods_for(HandRegistrar(hand, network, side="right"), network, hand)
    title = "## Held-out synthetic scans of hands: joints and vertices cm, surfaces mm"
    return [title, "", *markdown(*table(hand, methods, count)), ""]
