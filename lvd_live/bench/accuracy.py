"""What speed costs: the paper's formula word for word in float32 beside what runs, on the same held-out people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lvd_live.bench.variants import variants
from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.evaluate.held_out import EvalBatch, eval_batches, open_held_out
from lvd_live.evaluate.metrics import aligned_error
from lvd_live.lvd.descent import descend_reference
from lvd_live.lvd.features import CropFeatures
from lvd_live.lvd.network import LVD
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.weights import load_network
from lvd_live.paths import MODELS
from lvd_live.synth.dataset import Shards

ITERATIONS = 6


@torch.inference_mode()
def plainly(network: LVD, batch: EvalBatch) -> torch.Tensor:
    """Vertices (n, K, 3), crop frame: `descend_reference` from the crop's centre, nothing rewritten, on the CPU.

    One picture at a time, because of its N × N × 3 output.
    """
    crop = network.encode(*batch.tensors(torch.device("cpu")))
    start, relaxation = torch.zeros(1, len(network.control), 3), network.preset.relaxation
    meshes = []
    for i in range(len(batch.picture)):
        parts = (None if x is None else x[i : i + 1] for x in (crop.whole, crop.landmarks))
        one = CropFeatures(crop.feature_map[i : i + 1], *parts)
        meshes.append(descend_reference(network.field, one, start, iterations=ITERATIONS, relaxation=relaxation))
    return torch.cat(meshes)


def accuracy(
    network: LVD, body: BodyModel, shards: Shards, count: int, device: str = "cpu"
) -> dict[str, dict[str, float]]:
    """By variant (see `variants`) and for the plain formula: `v2v_mm`, pelvis-aligned, and how far its meshes are from
    the plain formula's: `apart_mm`, the mean, and `worst_mm`, the mean of the person where it is largest."""
    if not shards.maps:
        raise UserError("There are no held-out people to measure on: `python -m lvd_live evaluate` makes them.")
    network, pelvis = network.eval(), body.J_regressor[0]
    runtimes = {name: Runtime(network, device=device, **options) for name, options in variants(device).items()}
    errors: dict[str, list[np.ndarray]] = {}
    for batch in eval_batches(shards, network.preset.size, count=count):
        meshes = {"plain formula": plainly(network, batch)}
        meshes |= {
            name: runtime.descend(runtime.encode(*batch.crops), None, iterations=ITERATIONS).vertices.cpu()
            for name, runtime in runtimes.items()
        }
        dense = {name: batch.millimetres(network.dense(mesh).detach()) for name, mesh in meshes.items()}
        for name, mesh in dense.items():
            v2v = aligned_error(mesh, batch.truth, pelvis).mean(1)
            apart = (mesh - dense["plain formula"]).norm(dim=-1).mean(1)
            errors.setdefault(name, []).append(np.stack([v2v.numpy(), apart.numpy()]))
    both = {name: np.concatenate(parts, 1) for name, parts in errors.items()}
    return {
        name: {
            "people": e.shape[1],
            "v2v_mm": float(e[0].mean()),
            "apart_mm": float(e[1].mean()),
            "worst_mm": float(e[1].max()),
        }
        for name, e in both.items()
    }


def report(
    folder: Path, weights: Path | None, count: int, device: str = "cpu"
) -> tuple[str, dict[str, dict[str, float]]]:
    """A table, and its figures."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder} of held-out people.")
    network, _, _ = load_network(weights or MODELS / "weights" / "live.safetensors")
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    figures = accuracy(network, body, open_held_out(folder, MODELS), count, device)
    people = next(iter(figures.values()))["people"]
    lines = [
        f"{people:.0f} held-out synthetic people, {ITERATIONS} iterations from a point, {device}",
        "",
        "| variant | V2V, mm | from the plain formula's mesh, mm: mean | the person it moves most |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {f['v2v_mm']:.2f} | {f['apart_mm']:.4f} | {f['worst_mm']:.4f} |" for name, f in figures.items()
    ]
    return "\n".join(lines), figures
