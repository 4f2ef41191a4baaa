"""What of a scan is the person: floor, turntable and walls, stray specks and other objects are cut away.

Lengths are relative to the scan's own size, since its unit is not known yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.ndimage
from scipy.spatial import cKDTree

from lvd_live.scan.sampling import estimated_normals

PLANES = 6  # at most that are cut away
HYPOTHESES = 300
COARSE = 5000  # points that planes are sought in
FLAT = 0.006  # of the scan's diagonal: so near a plane, a point lies on it
HALO = 0.6  # of a plane's points, so many may lie beside it and face its way: beside a chest's there are more
ALONG = 0.9  # cosine between a plane's normal and those of its points
EDGE = 0.985  # share of the other points on one side of a floor
FLOOR_SHARE, FLOOR_AREA = 0.03, 0.04  # of the points; of the square of the rest's diagonal: soles are a third of it
WALL_SHARE, WALL_AREA = 0.12, 0.03
CELL = 0.015  # of the diagonal: clusters are apart by more
PIECE_GAP, PIECE_SHARE = 0.08, 0.3  # of the diagonal; of the largest cluster's points: what else belongs to it
SPECK = 0.01  # of the largest cluster's points
RIVAL = 0.3  # of the largest cluster's points: another that may be the person instead
RIVALS = 3


@dataclass
class Cleaned:
    """What was found in a sample of P points.

    candidates : masks (P,) bool of the clusters that may be the person, the likeliest first. notes : one sentence for
    each thing cut away. floors : unit normals (3,) that point from a floor to the person, where one was found.
    """

    candidates: list[np.ndarray]
    notes: list[str] = field(default_factory=list)
    floors: list[np.ndarray] = field(default_factory=list)


def clean(points: np.ndarray, normals: np.ndarray | None, rng: np.random.Generator) -> Cleaned:
    """points (P, 3) float64, evenly spread over the scan; their normals (P, 3), or None where unknown."""
    found = Cleaned([])
    left = np.ones(len(points), bool)
    for _ in range(PLANES):
        plane = _next_plane(points, normals, left, rng, floor=not found.floors)
        if plane is None:
            break
        on, normal, is_floor = plane
        share = on[left].mean()
        left &= ~on
        if is_floor:
            found.floors.append(normal)
        what = "a floor or turntable" if is_floor else "a wall or another plane"
        found.notes.append(f"Cut away {what}: {share:.0%} of the points.")
    _clusters(points, left, found)
    return found


def _next_plane(
    points: np.ndarray, normals: np.ndarray | None, left: np.ndarray, rng: np.random.Generator, *, floor: bool
) -> tuple[np.ndarray, np.ndarray, bool] | None:
    """A plane that is no part of a person: the points on it or behind it (P,) bool, its normal, whether it is a floor.

    The normal points to where the others are. floor : whether it may be one.
    """
    rows = np.flatnonzero(left)
    if len(rows) < 200:
        return None
    some = rng.choice(rows, min(COARSE, len(rows)), replace=False)
    coarse = points[some]
    facing = estimated_normals(coarse) if normals is None else normals[some]
    tolerance = FLAT * float(np.linalg.norm(np.ptp(coarse, axis=0)))
    picked = rng.choice(len(some), min(HYPOTHESES, len(some)), replace=False)
    directions = facing[picked]
    heights = coarse @ directions.T
    level = heights[picked, np.arange(len(picked))]
    on = (np.abs(heights - level) < tolerance) & (np.abs(facing @ directions.T) > ALONG)
    for best in np.argsort(-on.sum(0))[:8]:
        normal, at = _refined(coarse[on[:, best]])
        height = coarse @ normal - at
        here = np.abs(height) < tolerance
        along = np.abs(facing @ normal) > ALONG
        flat, beside = here & along, ~here & along & (np.abs(height) < 3 * tolerance)
        rest = ~here
        if rest.sum() < 100 or beside.sum() > HALO * flat.sum():
            continue
        above = (height[rest] > 0).mean()
        if above < 0.5:
            normal, at, height, above = -normal, -at, -height, 1 - above
        kind = _judge(coarse, flat, rest, normal, above if floor else 0.0, tolerance)
        if kind is not None:
            distance = points @ normal - at
            if kind == "floor":
                return (distance < 1.5 * tolerance) & left, normal, True
            near = np.flatnonzero((np.abs(distance) < 1.5 * tolerance) & left)
            apart = cKDTree(coarse[flat]).query(points[near])[0]  # a plane is infinite, a wall is not
            on_wall = np.zeros(len(points), bool)
            on_wall[near[apart < 5 * tolerance]] = True
            return on_wall, normal, False
    return None


def _judge(
    points: np.ndarray, flat: np.ndarray, rest: np.ndarray, normal: np.ndarray, above: float, tolerance: float
) -> str | None:
    """ "floor", "wall", or None where the points on a plane may be a person's."""
    share = flat.mean()
    if share < FLOOR_SHARE:
        return None
    low, high = np.percentile(points[rest], (1, 99), axis=0)
    scale = float(np.linalg.norm(high - low)) ** 2
    area = _area(points[flat], normal, 3 * tolerance) / max(scale, 1e-30)
    if above > EDGE and area > FLOOR_AREA:
        return "floor"
    return "wall" if share > WALL_SHARE and area > WALL_AREA else None


def _refined(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Normal (3,) and offset of the plane nearest to points (P, 3)."""
    centre = points.mean(0)
    _, axes = np.linalg.eigh((points - centre).T @ (points - centre))
    return axes[:, 0], float(centre @ axes[:, 0])


def _area(points: np.ndarray, normal: np.ndarray, cell: float) -> float:
    """The area that points (P, 3) of a plane cover, by the cells of a grid that they fall in."""
    across = np.linalg.svd(normal[None])[2][1:]
    flat = points @ across.T
    spacing = float(np.median(cKDTree(flat).query(flat, k=2)[0][:, 1])) if len(flat) > 1 else 0.0
    cell = max(cell, 2.5 * spacing)
    return len(np.unique(np.floor(flat / cell), axis=0)) * cell**2


def _clusters(points: np.ndarray, left: np.ndarray, found: Cleaned) -> None:
    """Candidates among the points left, and notes of what is cut away."""
    rows = np.flatnonzero(left)
    diagonal = float(np.linalg.norm(np.ptp(points[rows], axis=0)))
    label = _connected(points[rows], CELL * diagonal)
    counts = np.bincount(label)
    order = np.argsort(-counts * _thickness(points[rows], label, counts))
    largest = order[0]
    main = np.zeros(len(points), bool)
    main[rows[label == largest]] = True
    low, high = points[main].min(0), points[main].max(0)
    size = float(np.linalg.norm(high - low))
    tree = cKDTree(points[main])
    rivals, specks, objects = [], 0, 0
    for other in order[1:]:
        own = rows[label == other]
        share = counts[other] / counts[largest]
        gap = float(tree.query(points[own])[0].min())
        if share <= PIECE_SHARE and gap < PIECE_GAP * size and share > SPECK / 4:
            main[own] = True
        elif share > RIVAL:
            rivals.append(np.isin(np.arange(len(points)), own))
        elif share > SPECK:
            objects += len(own)
        else:
            specks += len(own)
    found.candidates = [main, *rivals[: RIVALS - 1]]
    if rivals:  # perhaps they are one person, cut in pieces by what stood before the scanner
        large = np.isin(label, np.flatnonzero(counts > 4 * SPECK * counts[largest]))
        found.candidates.append(np.isin(np.arange(len(points)), rows[large]))
    if specks:
        found.notes.append(f"Cut away stray points: {max(specks / len(points), 1e-4):.2%} of the points.")
    if objects:
        found.notes.append(f"Cut away other objects: {objects / len(points):.1%} of the points.")


def _thickness(points: np.ndarray, label: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """0..1 for each cluster: 1 unless it is flat, as a board is."""
    out = np.zeros(len(counts))
    for i in np.flatnonzero(counts > 50):
        spread = np.sqrt(np.linalg.eigvalsh(np.cov(points[label == i].T)).clip(0))
        out[i] = min(1.0, spread[0] / (0.06 * spread[2] + 1e-30))
    return out


def _connected(points: np.ndarray, cell: float) -> np.ndarray:
    """The cluster (P,) int of each point: cells that touch belong together."""
    spacing = np.median(cKDTree(points).query(points, k=min(3, len(points)))[0][:, -1])
    cell = max(cell, 2.0 * float(spacing), float(np.ptp(points, axis=0).max()) / 400, 1e-12)
    index = np.floor((points - points.min(0)) / cell).astype(int)
    grid = np.zeros(index.max(0) + 1, bool)
    grid[tuple(index.T)] = True
    label, _ = scipy.ndimage.label(grid, np.ones((3, 3, 3)))
    return label[tuple(index.T)] - 1
