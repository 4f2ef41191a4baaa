"""Points evenly spread over a scan, and their normals."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from lvd_live.scan.reading import Scan

NEIGHBOURS = 16  # that a normal is estimated from
SPARSE, AROUND = 2000, 48  # of so many points the nearest, whose centre lies on a surface's inner side
VIEWS, BEHIND, LAYERED = 100, 0.05, 0.25  # directions; of the size, so far behind is behind; share of such points
ALIKE = 0.01  # of that share: directions that differ by less are as likely
ROUNDS, PERSUASION = 30, 3.0  # in which neighbours agree on the side; of their belief beside a point's own


def sample(scan: Scan, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """Points (P <= count, 3) float64 and their normals (P, 3), None where the scan has none.

    Of a mesh, spread by area; of bare points, at random: a scanner looks closest at what it is to scan.
    """
    if scan.faces is not None:
        return _on_triangles(scan.points, scan.faces, count, rng)
    points, normals = scan.points, scan.normals
    if len(points) > count:
        some = rng.choice(len(points), count, replace=False)
        points, normals = points[some], None if normals is None else normals[some]
    return points, normals


def evenly(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of at most `count` of the points (P, 3), as evenly spread as a grid makes them."""
    order = rng.permutation(len(points))
    if len(points) <= count:
        return order
    low, size = points.min(0), float(np.ptp(points, axis=0).max()) or 1.0
    first = order[:0]
    for cells in (64, 96, 128, 192, 256, 384, 512):  # along the longest side
        cell = np.floor((points[order] - low) / size * cells).astype(np.int64)
        _, chosen = np.unique(cell @ [1, 1024, 1024**2], return_index=True)
        first = order[chosen]
        if len(first) >= count:
            break
    if len(first) < count:
        return order[:count]
    return rng.choice(first, count, replace=False)


def _on_triangles(
    points: np.ndarray, faces: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    a, b, c = (points[faces[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    area = np.linalg.norm(across, axis=1)
    total = np.cumsum(area)
    if not total[-1] > 0:  # every triangle is flat
        some = evenly(points, count, rng)
        return points[some], np.zeros((len(some), 3))
    chosen = np.searchsorted(total, rng.random(count) * total[-1]).clip(0, len(faces) - 1)
    u, v = rng.random((2, count))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    a, b, c = a[chosen], b[chosen], c[chosen]
    normals = across[chosen] / np.maximum(area[chosen, None], 1e-300)
    return a + u[:, None] * (b - a) + v[:, None] * (c - a), normals


def estimated_normals(points: np.ndarray) -> np.ndarray:
    """Unit normals (P, 3) of bare points (P, 3): the least direction of each one's neighbours.

    They point away from the centre of a wider neighbourhood, as bodies are convex nearly everywhere, and as their
    neighbours do; in a cloud that was seen from one side, to there.
    """
    count = min(NEIGHBOURS, len(points))
    _, near = cKDTree(points).query(points, k=count)
    close = points[near]
    close = close - close.mean(1, keepdims=True)
    _, axes = np.linalg.eigh(close.swapaxes(1, 2) @ close)
    normals = axes[:, :, 0]
    sparse = points[:: max(1, len(points) // SPARSE)]
    _, wide = cKDTree(sparse).query(points, k=min(AROUND, len(sparse)))
    away = points - sparse[wide].mean(1)
    outward = (normals * away).sum(1) / np.maximum(np.linalg.norm(away, axis=1).mean(), 1e-300)
    near = near[:, 1:]
    alike = (normals[:, None] * normals[near]).sum(2) / near.shape[1]
    belief = outward
    for _ in range(ROUNDS):  # neighbours agree on the side
        belief = outward + PERSUASION * (alike * np.clip(belief, -1, 1)[near]).sum(1)
    eye = seen_from(points)
    if eye is not None:  # what a camera sees faces it
        belief = normals @ eye
    return np.where(belief[:, None] < 0, -normals, normals)


def seen_from(points: np.ndarray) -> np.ndarray | None:
    """The direction (3,) that a cloud (P, 3) was seen from, where it shows one side only: from there no point lies well
    behind another. None where it shows more."""
    off = points[:: max(1, len(points) // SPARSE)]
    off = off - off.mean(0)
    size = float(np.ptp(off, axis=0).max())
    ways = _directions(VIEWS)
    behind = np.array([_share_behind(off, way, size) for way in ways])
    if behind.min() > LAYERED:
        return None
    likely = ways[behind < behind.min() + ALIKE]
    likely = likely[likely @ ways[behind.argmin()] > 0.5].mean(0)
    return likely / np.linalg.norm(likely)


def _share_behind(points: np.ndarray, way: np.ndarray, size: float) -> float:
    """The share of points that lie behind others, seen from the direction `way` (3,)."""
    across = np.linalg.svd(way[None])[2][1:]
    flat, height = points @ across.T, points @ way
    area = float(np.prod(np.ptp(flat, axis=0)))
    cell = np.floor((flat - flat.min(0)) / max(np.sqrt(6 * area / len(points)), 1e-12)).astype(int)
    key = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
    top = np.full(key.max() + 1, -np.inf)
    np.maximum.at(top, key, height)
    return float((height < top[key] - BEHIND * size).mean())


def _directions(count: int) -> np.ndarray:
    """`count` unit directions (count, 3), evenly over the sphere (a golden spiral)."""
    z = 1 - 2 * (np.arange(count) + 0.5) / count
    turn = np.pi * (1 + 5**0.5) * np.arange(count)
    return np.column_stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z])
