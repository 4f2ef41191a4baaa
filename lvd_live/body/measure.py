"""A person's measurements from the shape: lengths and tape girths of the rest body (T-pose), centimetres.

Levels follow ISO 8559: the chest at its widest, the hip at its widest, the waist at its narrowest between them. A tape
spans hollows: a girth is the perimeter of the section's convex hull.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from lvd_live.body.fit import BodyFitter, Fitted
from lvd_live.body.skeleton import JOINT

NAMES = ("height", "chest", "waist", "hip", "inseam", "arm_span")
LEVELS = 12  # sections tried in search of the widest or the narrowest
TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "left_collar", "right_collar", "left_hip", "right_hip")
FEWEST = 3  # frames needed for a spread


@dataclass(frozen=True)
class Measurement:
    """One length or girth.

    cm : its value.
    spread : how far single frames lie from each other, one standard deviation, cm; it says how steady the shape is, not
        how far it is from a tape. 0 where there are too few frames, or where the length was given.
    error : how far it is from a tape, one standard deviation, cm; see `estimate`. 0 where the length was given.
    """

    cm: float
    spread: float
    error: float = 0.0


def measure(fitter: BodyFitter, fitted: Fitted, height: float | None = None) -> dict[str, Measurement]:
    """The `NAMES` of a fitted session.

    height : metres, the person's true height, which sets the scale; without it the meshes' own scale stays.
    """
    in_trunk = np.isin(fitter.body.part_labels.numpy(), [JOINT[name] for name in TRUNK])
    faces = fitter.body.faces.numpy()
    torso = faces[in_trunk[faces].all(1)]
    pelvis = (fitter.regressor @ fitter.template)[JOINT["pelvis"]]
    midline = section(fitter.template, torso, axis=0, level=pelvis[0])
    lowest = midline[midline[:, 1].argmin()]
    crotch = int(((fitter.template - lowest) ** 2).sum(1).argmin())  # a vertex: thighs that touch do not hide it

    def of(betas: np.ndarray) -> np.ndarray:
        rest = fitter.rest(betas)
        lengths = np.array(measure_rest(rest, fitter.regressor @ rest, torso, crotch))
        return 100 * lengths * (1 if height is None else height / lengths[0])

    values, spread = of(fitted.betas), np.zeros(len(NAMES))
    if len(fitted.shapes) >= FEWEST:
        single = np.array([of(betas) for betas in fitted.shapes])
        spread = 1.4826 * np.median(np.abs(single - np.median(single, axis=0)), axis=0)
    return {name: Measurement(float(value), float(s)) for name, value, s in zip(NAMES, values, spread, strict=True)}


def measure_rest(rest: np.ndarray, joints: np.ndarray, torso: np.ndarray, crotch_vertex: int) -> tuple[float, ...]:
    """The `NAMES`, metres, of one T-posed body.

    rest : (N, 3) metres, y up. joints : (24, 3). torso : (M, 3) the faces of trunk and thighs.
    """
    floor, top = rest[:, 1].min(), rest[:, 1].max()
    crotch = rest[crotch_vertex, 1]
    armpit = joints[[JOINT["left_shoulder"], JOINT["right_shoulder"]], 1].mean() - 0.04 * (top - floor)

    def girths(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
        levels = np.linspace(low, high, LEVELS)
        return levels, np.array([tape(section(rest, torso, axis=1, level=y)[:, [0, 2]]) for y in levels])

    middle = joints[JOINT["spine2"], 1]
    level, girth = girths(middle, armpit)
    chest_at, chest = level[girth.argmax()], girth.max()
    level, girth = girths(crotch + 0.01 * (top - floor), joints[JOINT["spine1"], 1])
    hip_at, hip = level[girth.argmax()], girth.max()
    waist = girths(max(hip_at, joints[JOINT["pelvis"], 1]), min(chest_at, armpit))[1].min()
    return top - floor, chest, waist, hip, crotch - floor, np.ptp(rest[:, 0])


def section(vertices: np.ndarray, faces: np.ndarray, *, axis: int, level: float) -> np.ndarray:
    """Where the plane vertices[:, axis] = level cuts the edges of the faces (M, 3): points (P, 3)."""
    above = vertices[:, axis] > level
    cut = faces[above[faces].any(1) & ~above[faces].all(1)]
    edges = np.concatenate([cut[:, [0, 1]], cut[:, [1, 2]], cut[:, [2, 0]]])
    crossing = edges[above[edges[:, 0]] != above[edges[:, 1]]]
    a, b = vertices[crossing[:, 0]], vertices[crossing[:, 1]]
    t = (level - a[:, axis]) / (b[:, axis] - a[:, axis])
    return a + t[:, None] * (b - a)


def tape(points: np.ndarray) -> float:
    """The perimeter of the convex hull of points (P, 2), in their unit."""
    return float(ConvexHull(points).area) if len(points) > 2 else 0.0  # SciPy calls a flat hull's perimeter its area
