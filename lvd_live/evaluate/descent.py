"""Validation during training, on held-out people: V2V in millimetres."""

from __future__ import annotations

import numpy as np
import torch

from lvd_live.evaluate.held_out import EvalBatch, sights
from lvd_live.evaluate.metrics import aligned_error
from lvd_live.lvd.descent import descend
from lvd_live.lvd.features import CropFeatures
from lvd_live.lvd.folded_field import FoldedField
from lvd_live.lvd.network import LANDMARKS, LVD, AlignedFeatures, network_input
from lvd_live.lvd.presets import CONDITIONING
from lvd_live.lvd.runtime.onednn import has_bfloat16
from lvd_live.synth.dataset import Shards

COUNT = 512  # people


@torch.no_grad()
def validate_descent(network: LVD, held_out: Shards, size: int, iterations: int = 8) -> dict[str, list[float]]:
    """By what the network is told: mean V2V (mm, aligned at the mean of the control vertices) per iteration, every vertex starting at the crop's centre."""
    device, field = next(network.parameters()).device, FoldedField(network.field)

    def errors(sight: EvalBatch) -> np.ndarray:
        points = None if sight.landmarks is None else torch.from_numpy(sight.landmarks[:, list(LANDMARKS)]).to(device)
        maps = None if sight.maps is None else AlignedFeatures(*(torch.from_numpy(m) for m in sight.maps)).to(device)
        picture = network_input(torch.from_numpy(sight.picture).to(device), torch.from_numpy(sight.mask).to(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
            seen = network.encode(picture, points, maps)
        prepared = field.prepare(CropFeatures(seen.features.float(), seen.whole, seen.landmarks))
        v, out = torch.zeros(len(picture), 3, device=device), []
        for _ in range(iterations):
            v = descend(field, prepared, v, iterations=1).vertices
            out.append(mean_aligned(sight, v))
        return np.stack(out, 1)

    told = CONDITIONING if network.preset.landmarks else ("picture",)
    return {
        conditioning: np.concatenate(
            [errors(s) for s in sights(held_out, size, conditioning=conditioning, count=COUNT)]
        )
        .mean(0)
        .tolist()
        for conditioning in told
    }


def mean_aligned(sight: EvalBatch, vertices: torch.Tensor) -> np.ndarray:
    """(n,) mm: V2V of control vertices (n, K, 3), crop frame, aligned at their mean."""
    everyone = torch.full((vertices.shape[1],), 1 / vertices.shape[1])
    return aligned_error(sight.millimetres(vertices), sight.truth, everyone).mean(-1).numpy()
