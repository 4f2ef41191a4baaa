"""Validation during training, on held-out people: V2V in millimetres."""

from __future__ import annotations

import numpy as np
import torch

from lvd_live.evaluate.held_out import EvalBatch, eval_batches
from lvd_live.evaluate.metrics import aligned_error
from lvd_live.lvd.descent import descend
from lvd_live.lvd.features import CropFeatures
from lvd_live.lvd.folded_field import FoldedField
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import CONDITIONING
from lvd_live.lvd.runtime.onednn import has_bfloat16
from lvd_live.synth.dataset import Shards

COUNT = 512  # people


@torch.no_grad()
def validate_descent(network: LVD, held_out: Shards, size: int, iterations: int = 8) -> dict[str, list[float]]:
    """Mean V2V (mm, see `mean_aligned`) after each iteration from the crop's centre, by conditioning.

    size : of the crops, pixels.
    """
    kinds = CONDITIONING if network.preset.landmarks else ("picture",)
    field = FoldedField(network.field)

    def mean_errors(conditioning: str) -> list[float]:
        batches = eval_batches(held_out, size, conditioning=conditioning, count=COUNT)
        errors = [_errors(network, field, batch, iterations) for batch in batches]
        return np.concatenate(errors).mean(0).tolist()

    return {conditioning: mean_errors(conditioning) for conditioning in kinds}


def _errors(network: LVD, field: FoldedField, batch: EvalBatch, iterations: int) -> np.ndarray:
    """`mean_aligned` of each person after each iteration, (n, iterations)."""
    crop = field.prepare(_encode(network, batch))
    v, errors = torch.zeros(len(batch.picture), 3, device=next(network.parameters()).device), []
    for _ in range(iterations):
        v = descend(field, crop, v, iterations=1).vertices
        errors.append(mean_aligned(batch, v))
    return np.stack(errors, 1)


def _encode(network: LVD, batch: EvalBatch) -> CropFeatures:
    """The batch's features, float32; encoded in bfloat16 where the device multiplies that faster, as in training."""
    device = next(network.parameters()).device
    tensors = batch.tensors(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
        features = network.encode(*tensors)
    return CropFeatures(features.feature_map.float(), features.whole, features.landmarks)


def mean_aligned(batch: EvalBatch, vertices: torch.Tensor) -> np.ndarray:
    """(n,) mm: V2V of control vertices (n, K, 3), crop frame, aligned at their mean."""
    mean = torch.full((vertices.shape[1],), 1 / vertices.shape[1])
    return aligned_error(batch.millimetres(vertices), batch.truth, mean).mean(-1).numpy()
