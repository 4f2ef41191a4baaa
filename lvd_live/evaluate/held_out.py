"""Held-out synthetic people as a network sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from lvd_live.evaluate.metrics import to_millimetres
from lvd_live.lift.lifter import Lifter
from lvd_live.person.crop import warp_crop
from lvd_live.synth.dataset import Shards
from lvd_live.synth.lifted import lift_rows

BATCH = 32


@dataclass(frozen=True)
class EvalBatch:
    """n people. picture (n, S, S, 3), mask (n, S, S) uint8; landmarks (n, 33, 4) float32 or None; maps (fine, coarse, region) or None; truth (n, N, 3) float32 mm, camera frame (y up); rows: all fields of the shard."""

    picture: np.ndarray
    mask: np.ndarray
    landmarks: np.ndarray | None
    maps: tuple[np.ndarray, ...] | None
    truth: torch.Tensor
    rows: dict[str, np.ndarray]

    @property
    def told(self) -> tuple:
        """What `Runtime.encode` takes."""
        return self.picture, self.mask, self.landmarks, self.maps

    def millimetres(self, vertices: torch.Tensor) -> torch.Tensor:
        """Crop frame (n, N, 3) -> mm in the camera frame, each person at its true distance."""
        return in_millimetres(vertices.cpu(), self.rows)


def sights(
    shards: Shards,
    size: int,
    *,
    conditioning: str = "all",
    count: int = 1024,
    change_mask: Callable[[np.ndarray], np.ndarray] | None = None,
    lifter: Lifter | None = None,
) -> Iterator[EvalBatch]:
    """`count` people, spread evenly over the shards, in crops of `size` pixels. evidence: one of `network.CONDITIONING`. change_mask: (S, S) uint8 -> the same, another mask than the finder's. lifter: lifts the landmarks; None: the one that is shipped."""
    shards.refresh()
    each = max(1, count // max(1, len(shards.maps)))
    for shard in shards.maps:
        chosen = np.linspace(0, len(shard) - 1, min(each, len(shard))).round().astype(int)
        for i in range(0, len(chosen), BATCH):
            rows = shards.rows(shard, chosen[i : i + BATCH])
            picture, mask = (
                np.stack([warp_crop(p, np.eye(2), np.zeros(2), size) for p in rows[k]]) for k in ("picture", "mask")
            )
            if change_mask is not None:
                mask = np.stack([change_mask(m) for m in mask])
            yield EvalBatch(
                picture,
                mask,
                *given(rows, conditioning, lifter),
                in_millimetres(torch.from_numpy(rows["vertices"].astype(np.float32)), rows),
                rows,
            )


def in_millimetres(vertices: torch.Tensor, rows: dict[str, np.ndarray]) -> torch.Tensor:
    focal, offset, t = (torch.from_numpy(rows[k].astype(np.float32)) for k in ("focal", "offset", "t"))
    return to_millimetres(vertices.float(), focal, offset, -t[:, 2])


def given(
    rows: dict[str, np.ndarray], conditioning: str, lifter: Lifter | None = None
) -> tuple[np.ndarray | None, tuple[np.ndarray, ...] | None]:
    """What the network is told beside picture and mask: (landmarks (n, 33, 4) float32, (fine, coarse, region)). evidence: one of CONDITIONING; "maps": no landmarks, "picture": neither."""
    landmarks = None
    if conditioning == "all":
        each = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
        flat = rows["landmarks"].astype(np.float32)[..., [0, 1, 3]]
        landmarks = lift_rows(lifter or Lifter.shipped(), each, flat)
    return landmarks, None if conditioning == "picture" else tuple(
        np.ascontiguousarray(rows[k]) for k in ("fine", "coarse", "region")
    )
