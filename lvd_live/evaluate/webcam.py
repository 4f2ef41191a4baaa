"""Held-out people before a webcam, which shows them to the waist, or to the knees: is what it shows in place, and do they lean?"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT
from lvd_live.evaluate.experiments import CONVERGED, Method, by_descent
from lvd_live.evaluate.held_out import EvalBatch, sights
from lvd_live.evaluate.metrics import aligned_error
from lvd_live.lvd.presets import CONDITIONING
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.synth.dataset import Shards


def shown(rows: dict[str, np.ndarray]) -> torch.Tensor:
    """(n, N) bool: which vertices fall inside the picture, whose surroundings in the crop are black."""
    column, row = (
        (rows["vertices"][..., :2].astype(np.float32) * [1, -1] + 1) * rows["picture"].shape[1] / 2
    ).transpose(2, 0, 1)
    light = rows["picture"].any(-1)
    inside = []
    for u, v, lit in zip(column, row, light, strict=True):
        (left, right), (top, bottom) = (np.flatnonzero(lit.any(axis))[[0, -1]] + (0, 1) for axis in (0, 1))
        inside.append((u > left) & (u < right) & (v > top) & (v < bottom))
    return torch.from_numpy(np.stack(inside))


def lean(vertices: torch.Tensor, body: BodyModel) -> torch.Tensor:
    """How far the trunk leans toward the camera, (n,) degrees: meshes (n, N, 3), camera frame, y up, z toward the viewer."""
    trunk = (body.J_regressor[JOINT["neck"]] - body.J_regressor[JOINT["pelvis"]]) @ vertices
    return torch.rad2deg(torch.atan2(trunk[:, 2], trunk[:, 1]))


def measure(method: Method, body: BodyModel, people: Iterable[EvalBatch]) -> dict[str, np.ndarray]:
    """(S,) each. "shown": V2V of the vertices in the picture, mm, aligned at their mean; "all": V2V, mm, pelvis-aligned; "lean": degrees by which the mesh leans more toward the camera than the person."""
    out: dict[str, list[torch.Tensor]] = {"shown": [], "all": [], "lean": []}
    for sight in people:
        found, seen = sight.millimetres(method(sight)[CONVERGED - 1]), shown(sight.rows).float()
        of_shown = seen / seen.sum(1, keepdim=True)
        out["shown"] += [
            (aligned_error(f[None], t[None], w) @ w) for f, t, w in zip(found, sight.truth, of_shown, strict=True)
        ]
        out["all"].append(aligned_error(found, sight.truth, body.J_regressor[0]).mean(1))
        out["lean"].append((lean(found, body) - lean(sight.truth, body) + 180) % 360 - 180)
    return {name: torch.cat(values).numpy() for name, values in out.items()}


def report(
    runtime: Runtime, body: BodyModel, shards: Shards, count: int, conditioning: tuple[str, ...] = CONDITIONING
) -> list[str]:
    """A table, as lines of Markdown."""
    lines = [
        "| told | what is shown: V2V, mm | median | all of the body: V2V, mm | leans toward the camera by | by amount |",
        "|---|---|---|---|---|---|",
    ]
    for told in conditioning if runtime.network.preset.landmarks else ("picture",):
        found = measure(by_descent(runtime), body, sights(shards, runtime.size, conditioning=told, count=count))
        lines.append(
            f"| {told} | {found['shown'].mean():.1f} | {np.median(found['shown']):.1f} | {found['all'].mean():.1f} | {found['lean'].mean():+.1f}° | {np.abs(found['lean']).mean():.1f}° |"
        )
    return lines
