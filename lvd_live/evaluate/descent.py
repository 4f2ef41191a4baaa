"""Validation on held-out people: V2V in millimetres after each iteration from a point."""

from __future__ import annotations

import numpy as np
import torch

from lvd_live.evaluate.metrics import aligned_error, to_millimetres
from lvd_live.lvd.descent import descend
from lvd_live.lvd.field import FoldedField, Seen
from lvd_live.lvd.network import LANDMARKS, LVD, Maps, network_input
from lvd_live.synth.dataset import Shards
from lvd_live.person.crop import warp_crop


@torch.no_grad()
def validate(network: LVD, shards: Shards, *, size: int, evidence: str = "all", iterations: int = 8, count: int = 512, batch: int = 32) -> list[float]:
    """Mean V2V (mm, aligned at the mean of the control vertices) per iteration, every vertex starting at the crop's centre. evidence: see `given`."""
    device = next(network.parameters()).device
    network.eval()
    field = FoldedField(network.field)
    shards.refresh()
    errors: list[np.ndarray] = []
    for rows in batches_of(shards, count, batch):
        picture = np.stack([warp_crop(p, np.eye(2), np.zeros(2), size) for p in rows["picture"]])
        mask = np.stack([warp_crop(m, np.eye(2), np.zeros(2), size) for m in rows["mask"]])
        landmarks, maps = given(rows, evidence)
        points = None if landmarks is None else torch.from_numpy(landmarks[:, list(LANDMARKS)]).to(device)
        maps = None if maps is None else Maps(*(torch.from_numpy(m) for m in maps)).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            seen = network.see(network_input(torch.from_numpy(picture).to(device), torch.from_numpy(mask).to(device)), points, maps)
        folded = field.prepare(Seen(seen.features.float(), seen.whole, seen.landmarks))
        focal, offset, t = (torch.from_numpy(rows[k].astype(np.float32)).to(device) for k in ("focal", "offset", "t"))
        truth = to_millimetres(torch.from_numpy(rows["vertices"].astype(np.float32)).to(device), focal, offset, -t[:, 2])
        everyone = torch.full((truth.shape[1],), 1 / truth.shape[1], device=device)
        v, per_iteration = torch.zeros(len(picture), 3, device=device), []
        for _ in range(iterations):
            v = descend(field, folded, v, iterations=1).vertices
            per_iteration.append(aligned_error(to_millimetres(v, focal, offset, -t[:, 2]), truth, everyone).mean(-1).cpu().numpy())
        errors.append(np.stack(per_iteration, 1))
    return np.concatenate(errors).mean(0).tolist()


def given(rows: dict[str, np.ndarray], evidence: str) -> tuple[np.ndarray | None, tuple[np.ndarray, ...] | None]:
    """What the network is told beside picture and mask: (landmarks (n, 33, 4) float32, (fine, coarse, region)). evidence: one of EVIDENCE; "maps": no landmarks, "picture": neither."""
    landmarks = rows["landmarks"].astype(np.float32) if evidence == "all" else None
    return landmarks, None if evidence == "picture" else tuple(np.ascontiguousarray(rows[k]) for k in ("fine", "coarse", "region"))


def batches_of(shards: Shards, count: int, batch: int):
    """The first `count` samples of the shards' order, spread evenly over them, `batch` at a time: dicts of arrays."""
    each = max(1, count // max(1, len(shards.maps)))
    for m in shards.maps:
        n = len(m)
        chosen = np.linspace(0, n - 1, min(each, n)).round().astype(int)
        for i in range(0, len(chosen), batch):
            yield shards.rows(m, chosen[i : i + batch])
