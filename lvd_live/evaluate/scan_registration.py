"""Registration on held-out synthetic scans (Table 2 on our ground): errors and distances after SMPL and after SMPL+D.

Beside it what the same fit makes of a scan without a network, from a T-pose in its middle (the paper's "no
correspondences"). Figures are in metres' thousandths (distances) and hundredths (errors), with the mean over a scan
first, then mean, median and 90th percentile over the scans.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from lvd_live.evaluate.metrics import nearest_distance
from lvd_live.scan.evidence import Cloud
from lvd_live.scan.nearest import MeshSearch
from lvd_live.scan.reading import Scan
from lvd_live.scan.registration import Registrar
from lvd_live.scan.sampling import estimated_normals
from lvd_live.scan.solver import FINE, ROUGH, ScanSolver, Schedule
from lvd_live.synth.scans.samples import ScanBatch

DISTANCES = ("V2V fit→scan", "V2S fit→scan", "V2V scan→fit", "V2S scan→fit")
TILES = 3  # points whose tangent planes a vertex's distance from a scan is taken from
Rows = tuple[tuple[str, ...], list[tuple[str | float, ...]]]


@dataclass(frozen=True)
class Found:
    """One method on one scan: the means over it.

    vertex, joint : cm from the truth. distances : the four of DISTANCES, mm. seconds : what it took.
    verdict : see `Registration.verdict`; "": not asked.
    """

    vertex: float
    joint: float
    distances: tuple[float, ...]
    seconds: float
    verdict: str = ""


def distances(cloud: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> tuple[float, ...]:
    """The four means of DISTANCES, mm, of a cloud (P, 3) and a mesh, in metres.

    V2V: to the nearest vertex or point. V2S: to the nearest surface; that of a cloud is the tangent planes of its
    points (through 16 neighbours), no farther out than their spacing.
    """
    tree, normals = cKDTree(cloud), estimated_normals(cloud)
    distance, near = tree.query(vertices, k=TILES)
    offset = cloud[near] - vertices[:, None]
    along = np.abs((offset * normals[near]).sum(2))
    reach = 2 * float(np.median(tree.query(cloud[:: max(1, len(cloud) // 1000)], k=2)[0][:, 1]))
    across = np.sqrt(np.maximum(distance**2 - along**2, 0))
    to_tile = np.hypot(along, np.maximum(across - reach, 0)).min(1)
    back = MeshSearch(vertices, faces).nearest(cloud).distance
    found = distance[:, 0].mean(), to_tile.mean(), nearest_distance(cloud, vertices).mean(), back.mean()
    return tuple(1000 * float(x) for x in found)


def registered(
    registrar: Registrar, batches: list[ScanBatch], progress: Callable[[], None] = lambda: None
) -> dict[str, list[Found]]:
    """ "after SMPL" and "after SMPL+D" on each scan of the batches, unit and axes unknown; see `Found`."""
    out: dict[str, list[Found]] = {"after SMPL": [], "after SMPL+D": []}
    for cloud, truth in _scans(batches):
        began = time.perf_counter()
        fit = registrar(Scan(cloud, None, None))
        seconds = time.perf_counter() - began
        for name, vertices in (("after SMPL", fit.skinned), ("after SMPL+D", fit.vertices)):
            found = _found(registrar, cloud, truth, vertices, seconds)
            out[name].append(replace(found, verdict=fit.verdict))
        progress()
    return out


def without_network(registrar: Registrar, batches: list[ScanBatch]) -> list[Found]:
    """The same Gauss-Newton from a T-pose in the middle of each scan, heading unknown."""
    body, out = registrar.body, []
    solver = ScanSolver(body)
    for cloud, truth in _scans(batches):
        began = time.perf_counter()
        whole = Cloud.of(cloud, estimated_normals(cloud))
        start = body.at_rest()
        middle = (np.percentile(cloud, 1, axis=0) + np.percentile(cloud, 99, axis=0)) / 2
        own = body.template
        start = replace(start, place=middle - (own.min(0) + own.max(0)) / 2)
        p = solver.fit(whole, start, Schedule(ROUGH + FINE))
        vertices = body.posed(p).vertices.astype(float)
        out.append(_found(registrar, cloud, truth, vertices, time.perf_counter() - began))
    return out


def _scans(batches: list[ScanBatch]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Clouds and true vertices of the batches, metres."""
    return [
        (cloud.numpy().astype(float) * float(half), truth.numpy().astype(float) * float(half))
        for batch in batches
        for cloud, truth, half in zip(batch.clouds, batch.vertices, batch.half, strict=True)
    ]


def _found(registrar: Registrar, cloud: np.ndarray, truth: np.ndarray, vertices: np.ndarray, seconds: float) -> Found:
    off = 100 * (vertices - truth)
    joint = np.linalg.norm(registrar.body.regressor @ off, axis=1).mean()
    away = distances(cloud, vertices, registrar.body.faces)
    return Found(float(np.linalg.norm(off, axis=1).mean()), float(joint), away, seconds)


HEADER = (
    "scan",
    "method",
    "scans",
    *(f"{what}{stat}" for what in ("vertex, cm", "joint, cm") for stat in ("", " median", " 90 %")),
    *(f"{name}, mm" for name in DISTANCES),
    "verdicts",
    "s",
)


def row(kind: str, name: str, found: list[Found]) -> tuple[str | float, ...]:
    """A row of HEADER."""
    figures: list[str] = []
    for each in (np.array([f.vertex for f in found]), np.array([f.joint for f in found])):
        figures += [f"{each.mean():.2f}", f"{np.median(each):.2f}", f"{np.percentile(each, 90):.2f}"]
    away = np.mean([f.distances for f in found], 0)
    verdicts = Counter(f.verdict for f in found if f.verdict)
    explained = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    seconds = float(np.median([f.seconds for f in found]))
    return kind, name, len(found), *figures, *(f"{x:.2f}" for x in away), explained, f"{seconds:.1f}"


PAPER = [
    ("RenderPeople", "paper, forward pass", 0, "6.27", "", "", "5.89", "", "", "", "", "", "", "", ""),
    ("RenderPeople", "paper, after SMPL", 0, "3.00", "", "", "2.53", "", "", "8.16", "5.87", "11.31", "7.43", "", ""),
    ("RenderPeople", "paper, after SMPL+D", 0, "3.24", "", "", "2.60", "", "", "1.14", "0.47", "6.88", "2.44", "", ""),
    ("RenderPeople", "paper, no network", 0, "21.3", "", "", "16.6", "", "", "", "", "", "", "", ""),
]


def table(
    registrar: Registrar, batches: dict[str, list[ScanBatch]], progress: Callable[[], None] = lambda: None
) -> Rows:
    """HEADER and its rows for each kind of scan, the paper's last. batches : by kind."""
    rows: list[tuple[str | float, ...]] = []
    for kind, some in batches.items():
        rows.append(row(kind, "no network, from a T-pose", without_network(registrar, some)))
        rows += [row(kind, name, found) for name, found in registered(registrar, some, progress).items()]
    return HEADER, [*rows, *PAPER]
