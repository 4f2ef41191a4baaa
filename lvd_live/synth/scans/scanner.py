"""What a scanner makes of a person: sides unseen, noise, holes, missing soles, fused hands, strays and objects.

Clouds are (P, 3) float32, metres, y up; every function takes a random generator and returns a new cloud.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CELL = 0.025  # metres: of the depth buffer, at least; a cell shows points up to two cells' sides behind its nearest one
SURFACE = 2.0  # square metres, of a person: with the number of points it says how large cells must be to hold some
HANDS = (20, 21, 22, 23)  # wrists and hands, of the 24 joints


@dataclass(frozen=True)
class Scanner:
    """How often a scan has which fault; sizes in metres. All shares are probabilities.

    sides : of scans that are seen from everywhere at once, from a ring of 3 to 6 cameras, from two, from one; sum to 1.
    points : fewest and most, log-uniform, before any are lost. noise : the largest standard deviation.
    holes : share with up to six spheres of `hole` radius cut out. soles : without what is nearest to the floor.
    fused : with hands blurred to mittens. strays : with loose points. object, floor : with something beside the person,
    with a part of the floor. occluded : of those seen by one or two cameras, with something before the person.
    """

    sides: tuple[float, float, float, float] = (0.45, 0.15, 0.12, 0.28)
    points: tuple[int, int] = (3_000, 12_288)
    noise: float = 0.004
    holes: float = 0.5
    hole: tuple[float, float] = (0.02, 0.10)
    soles: float = 0.2
    fused: float = 0.2
    strays: float = 0.1
    object: float = 0.12
    floor: float = 0.06
    occluded: float = 0.2


CLEAN = Scanner(
    sides=(1, 0, 0, 0), points=(12_288, 12_288), noise=0.002, holes=0, soles=0, fused=0, strays=0, object=0, floor=0
)
"""Whole and nearly without noise."""


def scan(points: np.ndarray, joint: np.ndarray, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """The cloud that a scanner makes of surface points (P, 3) whose strongest joints are `joint` (P,)."""
    lost = np.zeros(len(points), bool)
    if rng.random() < scanner.soles:
        lost |= points[:, 1] < points[:, 1].min() + rng.uniform(0.005, 0.04)
    points = points.copy()
    if rng.random() < scanner.fused:
        fingers = np.isin(joint, HANDS)
        points[fingers] += rng.normal(0, rng.uniform(0.004, 0.012), (fingers.sum(), 3))
    extra = _objects(points, scanner, rng)
    cloud: np.ndarray = np.concatenate([points[~lost], *extra])
    cloud = seen(cloud, scanner, rng)
    cloud = cloud + rng.normal(0, rng.uniform(0, scanner.noise), cloud.shape)
    cloud = _with_strays(_with_holes(cloud, scanner, rng), scanner, rng)
    return cloud.astype(np.float32)


def seen(cloud: np.ndarray, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """What the scanner's cameras see of a cloud, from a random direction."""
    kind = rng.choice(4, p=scanner.sides)
    if kind == 0:
        return cloud
    count = (int(rng.integers(3, 7)), 2, 1)[kind - 1]
    apart = 2 * np.pi / count if count > 2 else rng.uniform(np.pi / 3, np.pi)
    first, height = rng.uniform(0, 2 * np.pi), rng.normal(0.05, 0.15)
    shown = np.zeros(len(cloud), bool)
    for i in range(count):
        yaw = first + i * apart
        away = np.array([np.sin(yaw) * np.cos(height), np.sin(height), np.cos(yaw) * np.cos(height)])
        before = occluder(cloud, away, rng) if count < 3 and rng.random() < scanner.occluded else None
        shown |= visible(cloud, away, before)
    return cloud[shown] if shown.sum() > 100 else cloud


def visible(cloud: np.ndarray, toward: np.ndarray, hidden: np.ndarray | None = None) -> np.ndarray:
    """(P,) bool: the points that a far camera sees in a depth buffer.

    toward : (3,), the unit vector to the camera. hidden : (P,) bool, points that something stands before, or None.
    """
    right = np.cross([0.0, 1.0, 0.0], toward)
    right /= max(np.linalg.norm(right), 1e-9)
    up = np.cross(toward, right)
    side = max(CELL, 1.8 * np.sqrt(SURFACE / len(cloud)))
    cell = np.floor(cloud @ np.stack([right, up], 1) / side).astype(np.int64)
    cell -= cell.min(0)
    index = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
    near = cloud @ toward
    nearest = np.full(index.max() + 1, -np.inf)
    np.maximum.at(nearest, index, near)
    shown = near > nearest[index] - 2 * side
    return shown if hidden is None else shown & ~hidden


def occluder(cloud: np.ndarray, toward: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(P,) bool: the points behind a post or a board before the camera that looks from `toward` (3,)."""
    right = np.cross([0.0, 1.0, 0.0], toward)
    right /= max(np.linalg.norm(right), 1e-9)
    along = cloud @ right if rng.random() < 0.5 else cloud[:, 1]
    low, high = along.min(), along.max()
    width = rng.uniform(0.05, 0.3) * (high - low)
    start = rng.uniform(low - width / 2, high - width / 2)
    return (along > start) & (along < start + width)


def _objects(points: np.ndarray, scanner: Scanner, rng: np.random.Generator) -> list[np.ndarray]:
    """Clouds of what is scanned with a person: a ball or box beside or in the hand, a part of the floor."""
    extra = []
    if rng.random() < scanner.object:
        size, count = rng.uniform(0.04, 0.25), int(rng.integers(100, 1200))
        direction = rng.normal(size=(count, 3))
        by = np.linalg.norm(direction, axis=1) if rng.random() < 0.5 else np.abs(direction).max(1)
        shape = direction / by[:, None] * rng.uniform(0.3, 1, 3)
        extra.append(points[rng.integers(len(points))] + rng.normal(0, 0.12, 3) + size * shape)
    if rng.random() < scanner.floor:
        count, radius = int(rng.integers(200, 1500)), rng.uniform(0.15, 0.5)
        angle, r = rng.uniform(0, 2 * np.pi, count), radius * np.sqrt(rng.random(count))
        low = points[points[:, 1].argmin()]
        extra.append(low + np.stack([r * np.cos(angle), rng.normal(0, 0.003, count), r * np.sin(angle)], 1))
    return extra


def _with_holes(cloud: np.ndarray, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    if rng.random() >= scanner.holes:
        return cloud
    count = int(rng.integers(1, 7))
    centres, radii = cloud[rng.integers(len(cloud), size=count)], rng.uniform(*scanner.hole, count)
    far = ((cloud[:, None] - centres) ** 2).sum(-1) > radii**2
    kept = far.all(1)
    return cloud[kept] if kept.sum() > 100 else cloud


def _with_strays(cloud: np.ndarray, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    if rng.random() >= scanner.strays:
        return cloud
    low, high = cloud.min(0), cloud.max(0)
    margin = 0.1 * (high - low).max()
    count = int(len(cloud) * rng.uniform(0.001, 0.02))
    return np.concatenate([cloud, rng.uniform(low - margin, high + margin, (count, 3))])
