"""Robustness on held-out synthetic people: to where descent starts, and to a wrong mask."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch

from lvd_live.body.model import BodyModel
from lvd_live.evaluate.held_out import EvalBatch, eval_batches
from lvd_live.evaluate.methods import CONVERGED, by_descent
from lvd_live.evaluate.metrics import aligned_error
from lvd_live.evaluate.synthetic import start_meshes
from lvd_live.lvd.folded_field import PreparedCrop
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.synth.dataset import Shards
from lvd_live.synth.motion import PoseBank

STARTS = 250  # random start poses of each person
STARTED, MASKED = 4, 256  # people for the two tests
CHUNK = 25  # starts at once


@torch.inference_mode()
def start_spread(
    runtime: Runtime, body: BodyModel, motion: PoseBank, shards: Shards, *, iterations: tuple[int, ...] = (6, 8, 16)
) -> dict[int, float]:
    """σ of the converged vertices, mm, over STARTS random start poses of each of STARTED people, by iterations.

    The root mean square distance of a vertex from its mean over the starts, mean over vertices and people.
    """
    rng = np.random.default_rng(0)
    batch = next(eval_batches(shards, runtime.size, count=STARTED * len(shards.maps)))
    control = runtime.network.control.cpu()
    spreads: dict[int, list[float]] = {i: [] for i in iterations}
    for k in range(min(STARTED, len(batch.picture))):
        prepared = _encode_copies(runtime, batch, k)
        ends: dict[int, list[torch.Tensor]] = {i: [] for i in iterations}
        for _ in range(STARTS // CHUNK):
            v = start_meshes(body, motion, "random", CHUNK, rng)[:, control].to(runtime.device)
            for i in range(1, max(iterations) + 1):
                v = runtime.descend(prepared, v, iterations=1).vertices
                if i in ends:
                    ends[i].append(v.cpu())
        unit = 1000 * float(batch.metres_per_unit[k])
        for i, parts in ends.items():
            spreads[i].append(float(torch.cat(parts).var(0).sum(-1).sqrt().mean()) * unit)
    return {i: float(np.mean(values)) for i, values in spreads.items()}


def _encode_copies(runtime: Runtime, batch: EvalBatch, k: int) -> PreparedCrop:
    """Person k of a batch, CHUNK times."""

    def copies(array: np.ndarray) -> np.ndarray:
        return np.repeat(array[k : k + 1], CHUNK, 0)

    landmarks = None if batch.landmarks is None else copies(batch.landmarks)
    maps = None if batch.maps is None else tuple(copies(m) for m in batch.maps)
    return runtime.encode(copies(batch.picture), copies(batch.mask), landmarks, maps)


def mask_noise(share: float, seed: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """What turns a mask (S, S) uint8 into its opposite in blotches that cover `share` of the crop."""
    rng = np.random.default_rng(seed)

    def change(mask: np.ndarray) -> np.ndarray:
        field = cv2.GaussianBlur(rng.normal(size=mask.shape).astype(np.float32), (0, 0), mask.shape[0] / 24)
        return np.where(field > np.quantile(field, 1 - share), 255 - mask, mask) if share else mask

    return change


def robustness_to_mask(
    runtime: Runtime, body: BodyModel, shards: Shards, shares: tuple[float, ...] = (0, 0.02, 0.05, 0.1, 0.2)
) -> dict[float, float]:
    """V2V, mm, by the share of the crop where the mask is wrong."""
    pelvis, method = body.J_regressor[0], by_descent(runtime, CONVERGED)

    def error(share: float) -> float:
        batches = eval_batches(shards, runtime.size, count=MASKED, change_mask=mask_noise(share))
        found = [aligned_error(b.millimetres(method(b)[-1]), b.truth, pelvis).mean().item() for b in batches]
        return float(np.mean(found))

    return {share: error(share) for share in shares}
