"""Held-out people before a webcam, which shows them to the waist or to the knees.

Is what it shows in place, and does the mesh lean toward the camera?
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT
from lvd_live.evaluate.held_out import EvalBatch, eval_batches
from lvd_live.evaluate.methods import CONVERGED, Method, by_descent
from lvd_live.evaluate.metrics import aligned_error
from lvd_live.lvd.presets import CONDITIONING
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.synth.dataset import Shards


def shown(rows: dict[str, np.ndarray]) -> torch.Tensor:
    """(n, N) bool: which vertices fall inside the picture, whose surroundings in the crop are black.

    rows : of a shard.
    """
    size = rows["picture"].shape[1]
    pixels = (rows["vertices"][..., :2].astype(np.float32) * [1, -1] + 1) * size / 2
    column, row = pixels.transpose(2, 0, 1)
    inside = []
    for u, v, lit in zip(column, row, np.any(rows["picture"], axis=-1), strict=True):
        left, right = np.flatnonzero(lit.any(0))[[0, -1]] + (0, 1)
        top, bottom = np.flatnonzero(lit.any(1))[[0, -1]] + (0, 1)
        inside.append((u > left) & (u < right) & (v > top) & (v < bottom))
    return torch.from_numpy(np.stack(inside))


def lean(vertices: torch.Tensor, body: BodyModel) -> torch.Tensor:
    """How far the trunk leans toward the camera, (n,) degrees.

    vertices : (n, N, 3), camera frame, y up, z toward the viewer.
    """
    trunk = (body.J_regressor[JOINT["neck"]] - body.J_regressor[JOINT["pelvis"]]) @ vertices
    return torch.rad2deg(torch.atan2(trunk[:, 2], trunk[:, 1]))


def measure(method: Method, body: BodyModel, people: Iterable[EvalBatch]) -> dict[str, np.ndarray]:
    """Errors of S people, (S,) each, by name.

    shown : V2V, mm, of the vertices in the picture, aligned at their mean.
    all : V2V, mm, pelvis-aligned.
    lean : degrees by which the mesh leans more toward the camera than the person.
    """
    out: dict[str, list[torch.Tensor]] = {"shown": [], "all": [], "lean": []}
    for batch in people:
        found, visible = batch.millimetres(method(batch)[CONVERGED - 1]), shown(batch.rows).float()
        weights = visible / visible.sum(1, keepdim=True)
        for mesh, truth, weight in zip(found, batch.truth, weights, strict=True):
            out["shown"].append(aligned_error(mesh[None], truth[None], weight) @ weight)
        out["all"].append(aligned_error(found, batch.truth, body.J_regressor[0]).mean(1))
        out["lean"].append((lean(found, body) - lean(batch.truth, body) + 180) % 360 - 180)
    return {name: torch.cat(values).numpy() for name, values in out.items()}


def report(
    runtime: Runtime, body: BodyModel, shards: Shards, count: int, conditioning: tuple[str, ...] = CONDITIONING
) -> list[str]:
    """A table, as lines of Markdown."""
    header = (
        "told",
        "what is shown: V2V, mm",
        "median",
        "all of the body: V2V, mm",
        "leans toward the camera by",
        "by amount",
    )
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for kind in conditioning if runtime.network.preset.landmarks else ("picture",):
        people = eval_batches(shards, runtime.size, conditioning=kind, count=count)
        found = measure(by_descent(runtime), body, people)
        cells = (
            f"{found['shown'].mean():.1f}",
            f"{np.median(found['shown']):.1f}",
            f"{found['all'].mean():.1f}",
            f"{found['lean'].mean():+.1f}°",
            f"{np.abs(found['lean']).mean():.1f}°",
        )
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return lines
