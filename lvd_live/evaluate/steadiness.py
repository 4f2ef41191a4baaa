"""How steady the mesh is on a clip, and how late smoothing makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvd_live.body.model import BodyModel
from lvd_live.person.types import PersonFinder
from lvd_live.sources import VideoSource
from lvd_live.tracking.smoothing import LEVELS, OneEuro
from lvd_live.tracking.tracker import Tracker

MOST = 300  # frames of a clip
FEWEST = 3  # frames, for a second difference


@dataclass(frozen=True)
class Steadiness:
    """Means over a clip.

    vertices, joints : length of the second difference about the pelvis, mm per frame².
    lag : frames by which the smoothed vertices trail the unsmoothed ones.
    """

    vertices: float
    joints: float
    lag: float


def steadiness(path: Path, finder: PersonFinder, warm: Tracker, cold: Tracker) -> dict[str, Steadiness]:
    """A clip four ways: "cold" (every frame from a point), "warm" (from the last mesh), smoothed "low" and "high"."""
    times, meshes = _track_both(path, finder, warm, cold)
    if len(times) < FEWEST:
        return {}
    stacks = {name: np.stack(m) for name, m in meshes.items()}
    for name, level in LEVELS.items():
        if level is not None:
            smooth = OneEuro(level)
            stacks[name] = np.stack([1000 * smooth(v / 1000, t) for v, t in zip(stacks["warm"], times, strict=True)])
    return {
        name: Steadiness(jerk(v), jerk(joints_of(warm.body, v)), lag(v, stacks["warm"])) for name, v in stacks.items()
    }


def _track_both(
    path: Path, finder: PersonFinder, warm: Tracker, cold: Tracker
) -> tuple[list[int], dict[str, list[np.ndarray]]]:
    """A stretch of a clip on which both trackers fit every frame: its timestamps, ns, and meshes (N, 3), mm.

    The meshes are about their pelves. At most MOST frames: the first stretch of more than half of that, or the last.
    """
    finder.reset()
    warm.reset()
    pelvis = warm.body.J_regressor[0].numpy()
    times: list[int] = []
    meshes: dict[str, list[np.ndarray]] = {"cold": [], "warm": []}
    with VideoSource(path) as source:
        for frame in source:
            person = finder.find(frame.picture)
            fit = again = None
            if person is not None and (fit := warm.step(frame, person)) is not None:
                cold.reset()
                again = cold.step(frame, person, crop=fit.crop)
            if fit is None or again is None:
                warm.reset()
                if len(times) > MOST // 2:
                    break
                times, meshes = [], {"cold": [], "warm": []}
                continue
            times.append(frame.timestamp_ns)
            for name, one in (("warm", fit), ("cold", again)):
                meshes[name].append(1000 * (one.vertices - pelvis @ one.vertices))
            if len(times) == MOST:
                break
    return times, meshes


def joints_of(body: BodyModel, vertices: np.ndarray) -> np.ndarray:
    """Joints (F, 24, 3) of meshes (F, N, 3), in their unit."""
    return np.einsum("jn,fnc->fjc", body.J_regressor.numpy(), vertices, optimize=True)


def jerk(points: np.ndarray) -> float:
    """Mean length of the second difference of points (F, P, 3)."""
    return float(np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1).mean())


def lag(late: np.ndarray, raw: np.ndarray, most: float = 8.0) -> float:
    """By how many frames `late` (F, P, 3) trails `raw`: the shift, to a tenth of a frame, at which they are nearest.

    most : the largest shift tried. NaN for a clip that is not longer.
    """
    few = slice(None, None, 40)
    late, raw = late[:, few], raw[:, few]
    frames = np.arange(int(np.ceil(most)), len(raw))
    if not len(frames):
        return float("nan")

    def gap(shift: float) -> float:
        at = frames - shift
        low = np.floor(at).astype(int)
        part = (at - low)[:, None, None]
        high = np.minimum(low + 1, len(raw) - 1)
        return float((((1 - part) * raw[low] + part * raw[high] - late[frames]) ** 2).mean())

    shifts = np.arange(0, most, 0.1)
    return float(shifts[np.argmin([gap(s) for s in shifts])])
