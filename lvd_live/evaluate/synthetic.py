"""Held-out synthetic people: V2V per iteration, from different starts, by conditioning, yaw and visibility."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from lvd_live.body.model import BodyModel
from lvd_live.evaluate.held_out import eval_batches
from lvd_live.evaluate.methods import CONVERGED
from lvd_live.evaluate.metrics import aligned, aligned_error, nearest_distance
from lvd_live.lvd.presets import CONDITIONING
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.synth.dataset import Shards
from lvd_live.synth.motion import PoseBank

YAWS = (0, 90, 180, 270)  # degrees
EVERY = 8  # of the vertices, for distances to the nearest vertex and to the surface
FILL = 0.8  # of the crop's height that a start body's T-pose stature takes


def start_meshes(body: BodyModel, motion: PoseBank, kind: str, count: int, rng: np.random.Generator) -> torch.Tensor:
    """Where descent begins, (count, N, 3), crop frame.

    kind : "tpose"; "random", a random person's random pose that faces anywhere; or "point", which gives (count, 3), the
        crop's centre.
    """
    if kind == "point":
        return torch.zeros(count, 3)
    stature = float(body.v_template[:, 1].max() - body.v_template[:, 1].min())
    mesh = body.v_template[None].expand(count, -1, -1) if kind == "tpose" else _random_meshes(body, motion, count, rng)
    return (mesh - mesh.mean(1, keepdim=True)) * (2 * FILL / stature)


def _random_meshes(body: BodyModel, motion: PoseBank, count: int, rng: np.random.Generator) -> torch.Tensor:
    """Random people, poses and headings, (count, N, 3) metres, y up."""
    poses = np.stack([motion.sample(rng) for _ in range(count)]).astype(np.float32)
    betas = torch.from_numpy(rng.normal(0, 1, (count, body.shapedirs.shape[-1])).astype(np.float32))
    with torch.no_grad():
        mesh, _ = body(betas, torch.from_numpy(poses))
    heading = rng.uniform(-np.pi, np.pi, count)
    R = np.zeros((count, 3, 3), np.float32)
    R[:, 0, 0] = R[:, 2, 2] = np.cos(heading)
    R[:, 0, 2], R[:, 2, 0] = np.sin(heading), -np.sin(heading)
    R[:, 1, 1] = 1
    return mesh @ torch.from_numpy(R).transpose(1, 2)


def yaw_of(R: np.ndarray) -> np.ndarray:
    """The nearest of YAWS for body-to-camera rotations (B, 3, 3): 0 faces the camera, 90 the picture's right."""
    degrees = np.degrees(np.arctan2(R[:, 0, 2], R[:, 2, 2])) % 360
    return (np.round(degrees / 90).astype(int) % 4) * 90


@torch.inference_mode()
def measure(
    runtime: Runtime,
    body: BodyModel,
    motion: PoseBank,
    shards: Shards,
    *,
    start: str = "point",
    conditioning: str = "all",
    iterations: int = 8,
    count: int = 1024,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Errors of `count` people, S of them, by name.

    shards : opened with `upsample`. start : see `start_meshes`.

    v2v : (S, iterations) mm, pelvis-aligned, each vertex from its namesake, mean over all N vertices.
    nearest : (S,) mm, pelvis-aligned, from the converged mesh's vertices to the nearest true vertex.
    yaw : (S,) degrees, see `yaw_of`.
    whole : (S,) bool, see `seen_whole`.
    """
    rng, pelvis, control = np.random.default_rng(seed), body.J_regressor[0], runtime.network.control.cpu()
    errors, nearest, yaws, whole = [], [], [], []
    for batch in eval_batches(shards, runtime.size, conditioning=conditioning, count=count):
        prepared, per_iteration = runtime.encode(*batch.crops), []
        v = start_meshes(body, motion, start, len(batch.picture), rng)
        v = (v if v.ndim == 2 else v[:, control]).to(runtime.device)
        for i in range(1, iterations + 1):
            v = runtime.descend(prepared, v, iterations=1).vertices
            found = batch.millimetres(runtime.network.dense(v))
            per_iteration.append(aligned_error(found, batch.truth, pelvis).mean(1).numpy())
            if i == min(CONVERGED, iterations):
                nearest.append(mean_nearest(aligned(found, batch.truth, pelvis), batch.truth))
        errors.append(np.stack(per_iteration, 1))
        yaws.append(yaw_of(batch.rows["R"]))
        whole.append(seen_whole(batch.rows))
    columns = {"v2v": errors, "nearest": nearest, "yaw": yaws, "whole": whole}
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def mean_nearest(meshes: torch.Tensor, truth: torch.Tensor) -> np.ndarray:
    """(n,): mean distance of every EVERY-th vertex of meshes (n, N, 3) from the nearest true vertex (n, N, 3)."""
    pairs = zip(meshes.numpy(), truth.numpy(), strict=True)
    return np.array([nearest_distance(mesh[::EVERY], true).mean() for mesh, true in pairs])


def seen_whole(rows: dict[str, np.ndarray], share: float = 0.95) -> np.ndarray:
    """(n,) bool: whether neither the picture's edge nor an obstacle hides more of the body than a little.

    rows : of a shard. share : of the body's vertices that must lie on its silhouette.
    """
    size = rows["alpha"].shape[-1]
    pixels = ((rows["vertices"][..., :2].astype(np.float32) * [1, -1] + 1) * size / 2).astype(int)
    column, row = pixels.transpose(2, 0, 1)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    # slim limbs: a vertex on the edge counts
    silhouette = np.stack([cv2.dilate(alpha, np.ones((5, 5), np.uint8)) for alpha in rows["alpha"]])
    person = np.arange(len(silhouette))[:, None]
    covered = silhouette[person, row.clip(0, size - 1), column.clip(0, size - 1)] > 127
    return (covered & inside).mean(1) >= share


@torch.inference_mode()
def mean_body_error(body: BodyModel, shards: Shards, count: int = 1024) -> float:
    """V2V in mm of the mean body in its T-pose, upright, facing the camera: what knowing nothing costs."""
    guess, pelvis = 1000 * body.v_template[None], body.J_regressor[0]
    errors = [
        aligned_error(guess.expand(len(batch.truth), -1, -1), batch.truth, pelvis).mean(1).numpy()
        for batch in eval_batches(shards, 32, count=count)
    ]
    return float(np.concatenate(errors).mean())


def report(
    runtime: Runtime,
    body: BodyModel,
    models: Path,
    shards: Shards,
    count: int = 1024,
    conditioning: tuple[str, ...] = CONDITIONING,
) -> list[str]:
    """The tables, as lines of Markdown."""
    motion = PoseBank.load(models / "synth" / "poses.npz", held_out=True)
    by_start = ["| told | start | " + " | ".join(map(str, range(1, 9))) + " | median at 6 |", "|---|---|" + "---|" * 9]
    by_group = ["| told | " + " | ".join(f"{y}°" for y in YAWS) + " | seen whole | hidden in part "]
    by_group[0] += "| all by namesake | all to the nearest (paper's Table 1) |"
    by_group.append("|---|" + "---|" * 8)
    for kind in conditioning if runtime.network.preset.landmarks else ("picture",):
        for start in ("point", "tpose", "random"):
            result = measure(runtime, body, motion, shards, start=start, conditioning=kind, count=count)
            v2v = result["v2v"]
            means = " | ".join(f"{x:.1f}" for x in v2v.mean(0))
            by_start.append(f"| {kind} | {start} | {means} | {np.median(v2v[:, 5]):.1f} |")
            if start == "point":
                groups = [result["yaw"] == y for y in YAWS]
                groups += [result["whole"], ~result["whole"], np.ones(len(v2v), bool)]
                cells = " | ".join(f"{v2v[chosen, 5].mean():.1f} (n={chosen.sum()})" for chosen in groups)
                by_group.append(f"| {kind} | {cells} | {result['nearest'].mean():.1f} |")
    return [
        "V2V by namesake, mm, pelvis-aligned, mean over people, per iteration:",
        "",
        *by_start,
        "",
        f"The mean body in its T-pose: {mean_body_error(body, shards, count):.1f} mm.",
        "",
        f"By yaw and by how much is seen, after {CONVERGED} iterations from a point. By namesake: each vertex from the "
        "same vertex of the truth; to the nearest: from whichever true vertex is nearest, as in the paper's Table 1 "
        "(39.1 there).",
        "",
        *by_group,
    ]
