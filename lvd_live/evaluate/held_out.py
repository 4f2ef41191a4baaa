"""Held-out synthetic people in batches, with what a network is given of them and the truth."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lvd_live.evaluate.metrics import to_millimetres
from lvd_live.lift.lifter import Lifter
from lvd_live.lvd.network import LANDMARKS, AlignedFeatures, network_input
from lvd_live.person.crop import warp_crop
from lvd_live.synth.dataset import Shards, make_shards, shard_path
from lvd_live.synth.lifted import lift_rows

log = logging.getLogger(__name__)

BATCH = 32  # people


@dataclass(frozen=True)
class EvalBatch:
    """n people.

    picture : (n, S, S, 3) uint8 RGB. mask : (n, S, S) uint8.
    landmarks : (n, 33, 4) float32, crop frame: the finder's in the picture, lifted, see `synth.lifted`; or None.
    maps : the arrays of `network.AlignedFeatures`, fine, coarse and region; or None.
    truth : (n, N, 3) float32 mm, camera frame, y up.
    rows : every field of the shard, see `synth.dataset`.
    """

    picture: np.ndarray
    mask: np.ndarray
    landmarks: np.ndarray | None
    maps: tuple[np.ndarray, ...] | None
    truth: torch.Tensor
    rows: dict[str, np.ndarray]

    @property
    def crops(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, tuple[np.ndarray, ...] | None]:
        """The arguments of `Runtime.encode`."""
        return self.picture, self.mask, self.landmarks, self.maps

    def tensors(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None, AlignedFeatures | None]:
        """The arguments of `LVD.encode`."""
        picture, mask = torch.from_numpy(self.picture).to(device), torch.from_numpy(self.mask).to(device)
        points, maps = None, None
        if self.landmarks is not None:
            points = torch.from_numpy(self.landmarks[:, list(LANDMARKS)]).to(device)
        if self.maps is not None:
            maps = AlignedFeatures(*(torch.from_numpy(m) for m in self.maps)).to(device)
        return network_input(picture, mask), points, maps

    @property
    def metres_per_unit(self) -> np.ndarray:
        """(n,) float32: the length of a crop unit at the pelvis."""
        return -self.rows["t"][:, 2] / self.rows["focal"]

    def millimetres(self, vertices: torch.Tensor) -> torch.Tensor:
        """Crop frame (n, N, 3) -> mm in the camera frame, each person at its true distance."""
        return in_millimetres(vertices.cpu(), self.rows)


def fill_held_out(
    folder: Path, models: Path, size: int, indices: range, *, keep: bool, webcams: float | None = None
) -> None:
    """Make those of the shards `indices` that a folder lacks, of the plain people of earlier figures, and say so.

    keep : a folder that holds shards already stays as it is, so that kinds of people are not mixed.
    size, webcams : see `ShardMaker`.
    """
    there = len(list(folder.glob("[0-9]*.npy")))
    if keep and there:
        log.warning("Measured on the people that %s holds (shards: %d).", folder, there)
        return
    missing = sum(not shard_path(folder, i).exists() for i in indices)
    if missing:
        log.warning("Making %d shards of plain held-out people in %s; this takes minutes.", missing, folder)
    make_shards(folder, models, size, indices, held_out=True, webcams=webcams)


def open_held_out(folder: Path, models: Path) -> Shards:
    """The shards of a folder, which give every vertex of the bundled body."""
    with np.load(models / "body" / "lvd_body.npz", allow_pickle=False) as body:
        return Shards.open(folder, (body["control_columns"].astype(int), body["control_mix"]))


def eval_batches(
    shards: Shards,
    size: int,
    *,
    conditioning: str = "all",
    count: int = 1024,
    change_mask: Callable[[np.ndarray], np.ndarray] | None = None,
    lifter: Lifter | None = None,
) -> Iterator[EvalBatch]:
    """`count` people, spread evenly over the shards, in crops of `size` pixels.

    conditioning : one of `presets.CONDITIONING`.
    change_mask : (S, S) uint8 -> the same; what makes another mask of the finder's.
    lifter : lifts the landmarks; None: the one that is shipped.
    """
    shards.refresh()
    each = max(1, count // max(1, len(shards.maps)))
    for shard in shards.maps:
        chosen = np.linspace(0, len(shard) - 1, min(each, len(shard))).round().astype(int)
        for i in range(0, len(chosen), BATCH):
            rows = shards.rows(shard, chosen[i : i + BATCH])
            picture, mask = (_resized(rows[key], size) for key in ("picture", "mask"))
            if change_mask is not None:
                mask = np.stack([change_mask(m) for m in mask])
            truth = in_millimetres(torch.from_numpy(rows["vertices"].astype(np.float32)), rows)
            yield EvalBatch(picture, mask, *conditioning_of(rows, conditioning, lifter), truth, rows)


def in_millimetres(vertices: torch.Tensor, rows: dict[str, np.ndarray]) -> torch.Tensor:
    """Crop frame (n, N, 3) -> mm in the camera frame, by the cameras and distances in a shard's `rows`."""
    focal, offset, t = (torch.from_numpy(rows[k].astype(np.float32)) for k in ("focal", "offset", "t"))
    return to_millimetres(vertices.float(), focal, offset, -t[:, 2])


def conditioning_of(
    rows: dict[str, np.ndarray], conditioning: str, lifter: Lifter | None = None
) -> tuple[np.ndarray | None, tuple[np.ndarray, ...] | None]:
    """Landmarks and maps of an `EvalBatch`; both are given for "all" alone. lifter : see `eval_batches`."""
    if conditioning == "picture":
        return None, None
    maps = tuple(np.ascontiguousarray(rows[key]) for key in ("fine", "coarse", "region"))
    if conditioning == "maps":
        return None, maps
    people = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    return lift_rows(lifter or Lifter.shipped(), people, rows["landmarks"].astype(np.float32)), maps


def _resized(crops: np.ndarray, size: int) -> np.ndarray:
    return np.stack([warp_crop(crop, np.eye(2), np.zeros(2), size) for crop in crops])
