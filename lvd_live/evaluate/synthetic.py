"""Held-out synthetic people: V2V per iteration, from different starts, with and without landmarks, by yaw."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from lvd_live.body.model import BodyModel
from lvd_live.evaluate.held_out import sights
from lvd_live.evaluate.metrics import aligned_error, nearest_distance
from lvd_live.lvd.network import EVIDENCE
from lvd_live.lvd.runtime import Runtime
from lvd_live.synth.dataset import Shards
from lvd_live.synth.motion import Motion

YAWS = (0, 90, 180, 270)
CONVERGED = 6  # iterations, as in the paper
EVERY = 8  # of the vertices, for distances to the nearest vertex and to the surface
FILL = 0.8  # of the crop's height that a start body's T-pose stature takes


def start_meshes(body: BodyModel, motion: Motion, kind: str, count: int, rng: np.random.Generator) -> torch.Tensor:
    """Where descent begins, (count, N, 3) crop frame, or (count, 3) for kind "point"; else "tpose" or "random" (a random person's random pose, facing anywhere)."""
    if kind == "point":
        return torch.zeros(count, 3)
    stature = float(body.v_template[:, 1].max() - body.v_template[:, 1].min())
    if kind == "tpose":
        mesh = body.v_template[None].expand(count, -1, -1)
    else:
        poses = np.stack([motion.sample(rng) for _ in range(count)]).astype(np.float32)
        betas = torch.from_numpy(rng.normal(0, 1, (count, body.shapedirs.shape[-1])).astype(np.float32))
        with torch.no_grad():
            mesh, _ = body(betas, torch.from_numpy(poses))
        turn = rng.uniform(-np.pi, np.pi, count)
        R = np.zeros((count, 3, 3), np.float32)
        R[:, 0, 0], R[:, 0, 2], R[:, 2, 0], R[:, 2, 2], R[:, 1, 1] = np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn), 1
        mesh = mesh @ torch.from_numpy(R).transpose(1, 2)
    return (mesh - mesh.mean(1, keepdim=True)) * (2 * FILL / stature)


def yaw_of(R: np.ndarray) -> np.ndarray:
    """The nearest of YAWS, degrees, for body-to-camera rotations (B, 3, 3): 0 faces the camera, 90 faces the picture's right."""
    degrees = np.degrees(np.arctan2(R[:, 0, 2], R[:, 2, 2])) % 360
    return (np.round(degrees / 90).astype(int) % 4) * 90


@torch.inference_mode()
def measure(runtime: Runtime, body: BodyModel, motion: Motion, shards: Shards, *, start: str = "point", evidence: str = "all", iterations: int = 8, count: int = 1024, seed: int = 0) -> dict[str, np.ndarray]:
    """Pelvis-aligned (shards opened with `upsample`): {"v2v": (S, iterations) mm, by namesake, over all N vertices; "nearest": (S,) mm, to the nearest true vertex, as in the paper's Table 1;
    "yaw": (S,) degrees; "whole": (S,) bool, see `seen_whole`}."""
    rng = np.random.default_rng(seed)
    pelvis = body.J_regressor[0]
    errors, nearest, yaws, whole = [], [], [], []
    for sight in sights(shards, runtime.size, evidence=evidence, count=count):
        folded = runtime.see(*sight.told)
        v = start_meshes(body, motion, start, len(sight.picture), rng)
        v = (v if v.ndim == 2 else v[:, runtime.network.control.cpu()]).to(runtime.device)
        per_iteration = []
        for i in range(iterations):
            v = runtime.descend(folded, v, iterations=1).vertices
            found = sight.millimetres(runtime.network.dense(v))
            per_iteration.append(aligned_error(found, sight.truth, pelvis).mean(1).numpy())
            if i + 1 == min(CONVERGED, iterations):
                found = found + torch.einsum("n,bnc->bc", pelvis, sight.truth - found)[:, None]
                nearest += [nearest_distance(f[::EVERY], t).mean() for f, t in zip(found.numpy(), sight.truth.numpy(), strict=True)]
        errors.append(np.stack(per_iteration, 1))
        yaws.append(yaw_of(sight.rows["R"]))
        whole.append(seen_whole(sight.rows))
    return {"v2v": np.concatenate(errors), "nearest": np.array(nearest), "yaw": np.concatenate(yaws), "whole": np.concatenate(whole)}


def seen_whole(rows: dict[str, np.ndarray], share: float = 0.95) -> np.ndarray:
    """(n,) bool: at least this share of the body's vertices lie on its silhouette, i.e. neither the picture's edge nor an obstacle hides more of it."""
    size = rows["alpha"].shape[-1]
    column, row = ((rows["vertices"][..., :2].astype(np.float32) * [1, -1] + 1) * size / 2).astype(int).transpose(2, 0, 1)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    near = np.stack([cv2.dilate(a, np.ones((5, 5), np.uint8)) for a in rows["alpha"]])  # slim limbs: a vertex on the edge counts
    on = near[np.arange(len(near))[:, None], row.clip(0, size - 1), column.clip(0, size - 1)] > 127
    return (on & inside).mean(1) >= share


@torch.inference_mode()
def mean_body_error(body: BodyModel, shards: Shards, count: int = 1024) -> float:
    """V2V in mm of the mean body in its T-pose, facing the camera, upright: what knowing nothing costs."""
    guess = 1000 * body.v_template[None]
    return float(np.concatenate([aligned_error(guess.expand(len(s.truth), -1, -1), s.truth, body.J_regressor[0]).mean(1).numpy() for s in sights(shards, 32, count=count)]).mean())


def report(runtime: Runtime, body: BodyModel, models: Path, shards: Shards, count: int = 1024, evidence: tuple[str, ...] = EVIDENCE) -> list[str]:
    """The tables, as lines of Markdown."""
    motion = Motion.load(models / "synth" / "poses.npz", held_out=True)
    lines = ["| told | start | " + " | ".join(f"{i}" for i in range(1, 9)) + " | median at 6 |", "|---|---|" + "---|" * 9]
    groups = ["| told | " + " | ".join(f"{y}°" for y in YAWS) + " | seen whole | hidden in part | all by namesake | all to the nearest (paper's Table 1) |", "|---|" + "---|" * 8]
    for told in evidence if runtime.network.preset.landmarks else ("picture",):
        for start in ("point", "tpose", "random"):
            result = measure(runtime, body, motion, shards, start=start, evidence=told, count=count)
            v2v = result["v2v"]
            lines.append(f"| {told} | {start} | " + " | ".join(f"{x:.1f}" for x in v2v.mean(0)) + f" | {np.median(v2v[:, 5]):.1f} |")
            if start == "point":
                parts = [result["yaw"] == y for y in YAWS] + [result["whole"], ~result["whole"], np.ones(len(v2v), bool)]
                groups.append(f"| {told} | " + " | ".join(f"{v2v[chosen, 5].mean():.1f} (n={chosen.sum()})" for chosen in parts) + f" | {result['nearest'].mean():.1f} |")
    mean_body = mean_body_error(body, shards, count)
    return ["V2V by namesake, mm, pelvis-aligned, mean over people, per iteration:", "", *lines, "", f"The mean body in its T-pose: {mean_body:.1f} mm.", "", f"By yaw and by how much is seen, after {CONVERGED} iterations from a point. By namesake: each vertex from the same vertex of the truth; to the nearest: from whichever true vertex is nearest, as in the paper's Table 1 (39.1 there).", "", *groups]
