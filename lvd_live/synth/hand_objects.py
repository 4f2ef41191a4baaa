"""What a synthetic hand holds: balls, cylinders, tubes and boxes as large as there is room for between its fingers."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.hand_rig import HAND_JOINT

CANDIDATES = 96  # places tried
DENSITY = 155_000  # points per square metre, as on the hand
LARGEST = 0.05  # metres: radius of a ball or cylinder, half of a box's side
SQUEEZE = (-0.001, 0.003)  # metres by which an object is larger than the room for it: skin gives way


def held_object(rng: np.random.Generator, vertices: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (P, 3) and normals (P, 3) of an object in a right hand, metres.

    vertices : (N, 3) and joints : (16, 3) of the posed hand, hand frame.
    """
    knuckles = joints[[HAND_JOINT[f"{f}1"] for f in ("index", "middle", "ring", "pinky")]]
    tips = joints[[HAND_JOINT[f"{f}3"] for f in ("index", "middle", "ring", "pinky", "thumb")]]
    palm = knuckles.mean(0) * 0.7 + joints[0] * 0.3
    room = np.concatenate([tips, palm[None], palm[None] - (0, 0.05, 0)])
    mix = rng.dirichlet(np.full(len(room), 0.8), CANDIDATES)
    centres = mix @ room + rng.normal(0, 0.01, (CANDIDATES, 3))
    kind = rng.choice(["ball", "cylinder", "tube", "box"], p=[0.35, 0.25, 0.2, 0.2])
    if kind == "ball":
        radius = np.linalg.norm(centres[:, None] - vertices, axis=2).min(1)
        best = int(np.argmax(radius * (centres[:, 1] < joints[0, 1] - 0.01)))
        return _ball(rng, centres[best], _size(rng, radius[best]))
    across = knuckles[0] - knuckles[3]
    axes = _unit(_unit(across) + rng.normal(0, 0.35, (CANDIDATES, 3)))
    offset = vertices - centres[:, None]
    along = (offset * axes[:, None]).sum(2)
    aside = np.linalg.norm(offset - along[..., None] * axes[:, None], axis=2)
    length = rng.uniform(0.03, 0.16)
    clear = np.where(np.abs(along) < length / 2, aside, np.inf).min(1)
    best = int(np.argmax(np.where(np.isfinite(clear), clear, 0) * (centres[:, 1] < joints[0, 1] - 0.01)))
    radius = _size(rng, float(clear[best]) if np.isfinite(clear[best]) else LARGEST)
    if kind == "box":
        return _box(
            rng, centres[best], axes[best], np.array([length / 2, radius * 0.8, radius * rng.uniform(0.3, 0.8)])
        )
    return _cylinder(rng, centres[best], axes[best], length, radius, closed=kind == "cylinder")


def _size(rng: np.random.Generator, room: float) -> float:
    return float(np.clip(room + rng.uniform(*SQUEEZE), 0.004, LARGEST))


def _ball(rng: np.random.Generator, centre: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    normals = _unit(rng.standard_normal((int(4 * np.pi * radius**2 * DENSITY) + 8, 3)))
    return centre + radius * normals, normals


def _cylinder(
    rng: np.random.Generator, centre: np.ndarray, axis: np.ndarray, length: float, radius: float, *, closed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """closed : with lids; else a tube, seen from within too."""
    count = int(2 * np.pi * radius * length * DENSITY) + 8
    angle, along = rng.uniform(0, 2 * np.pi, count), rng.uniform(-0.5, 0.5, count)
    frame = _frame(rng, axis)
    normals = np.stack([np.zeros(count), np.cos(angle), np.sin(angle)], 1)
    points = np.stack([length * along, radius * normals[:, 1], radius * normals[:, 2]], 1)
    if closed:
        lids = int(2 * np.pi * radius**2 * DENSITY) + 2
        turn, r = rng.uniform(0, 2 * np.pi, lids), radius * np.sqrt(rng.random(lids))
        end = rng.choice([-1.0, 1.0], lids)
        points = np.concatenate([points, np.stack([end * length / 2, r * np.cos(turn), r * np.sin(turn)], 1)])
        normals = np.concatenate([normals, np.stack([end, np.zeros(lids), np.zeros(lids)], 1)])
    else:
        normals *= rng.choice([-1.0, 1.0], (count, 1))
    return centre + points @ frame, normals @ frame


def _box(
    rng: np.random.Generator, centre: np.ndarray, axis: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """half : (3,) metres, half of the sides, the first along the axis."""
    area = np.repeat([half[1] * half[2], half[0] * half[2], half[0] * half[1]], 2) * 4
    count = int(area.sum() * DENSITY) + 8
    face = rng.choice(6, count, p=area / area.sum())
    points = rng.uniform(-1, 1, (count, 3))
    normals = np.zeros((count, 3))
    side = np.where(face % 2 == 0, 1.0, -1.0)
    points[np.arange(count), face // 2] = normals[np.arange(count), face // 2] = side
    frame = _frame(rng, axis)
    return centre + (points * half) @ frame, normals @ frame


def _frame(rng: np.random.Generator, axis: np.ndarray) -> np.ndarray:
    """Rows of an orthonormal frame (3, 3) that begins with `axis`, turned about it at random."""
    aside = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
    turned = Rotation.from_rotvec(axis * rng.uniform(0, 2 * np.pi)).apply(_unit(aside))
    return np.stack([axis, turned, np.cross(axis, turned)])


def _unit(v: np.ndarray) -> np.ndarray:
    """v (..., 3) at length 1."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)
