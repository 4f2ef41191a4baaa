"""Fresh networks for the bundled body, and what its vertices count in the loss."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch

from lvd_live.body.control import vertex_areas
from lvd_live.errors import UserError
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import Preset, ScanPreset
from lvd_live.lvd.volume.network import VolumeLVD

BODY_ARRAYS = ("v_template", "f", "part_labels", "control", "control_columns", "control_mix")
CONTROL_ARRAYS = ("control", "control_columns", "control_mix")


def read_body(models: Path) -> dict[str, np.ndarray]:
    """BODY_ARRAYS of the body file. models : the folder that holds it. Raises UserError if it is not there."""
    try:
        with np.load(models / "body" / "lvd_body.npz", allow_pickle=False) as file:
            return {name: file[name] for name in BODY_ARRAYS}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        raise UserError(
            f"{models} does not hold the body that training needs (body/lvd_body.npz); "
            "restore it from the repository or bake it."
        ) from None


def network_for(preset: Preset, body: dict[str, np.ndarray]) -> LVD:
    """A fresh network for the body that `read_body` gives: of all its vertices, or of its control vertices."""
    if preset.vertices == len(body["v_template"]):
        return LVD(preset)
    return LVD(preset, *(torch.from_numpy(body[name].astype(np.float32)) for name in CONTROL_ARRAYS))


def scan_network_for(preset: ScanPreset, body: dict[str, np.ndarray]) -> VolumeLVD:
    """As `network_for`, a network for scans."""
    if preset.vertices == len(body["v_template"]):
        return VolumeLVD(preset)
    return VolumeLVD(preset, *(torch.from_numpy(body[name].astype(np.float32)) for name in CONTROL_ARRAYS))


def upsampling_for(network: LVD, body: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """`Shards.upsample` for training: a network that serves all of the body's vertices learns from all."""
    if network.columns is not None:
        return None
    return body["control_columns"].astype(int), body["control_mix"]


def importance_of(body: dict[str, np.ndarray], served: int) -> torch.Tensor:
    """What each of the `served` vertices counts in the loss, (K,) float32, mean 1.

    Half by the surface that it stands for, half by the number of the body's vertices that it brings along; between a
    fifth and five times the mean. By surface alone hands, feet and head make a fifth of the loss, by vertices alone
    more than half.
    """
    area = vertex_areas(body["v_template"].astype(np.float64), body["f"])
    count = np.ones_like(area)
    if served < len(area):
        strongest = body["control_mix"].argmax(1)[:, None]
        nearest = np.take_along_axis(body["control_columns"].astype(int), strongest, 1)[:, 0]
        area, count = (np.bincount(nearest, share, minlength=served) for share in (area, count))
    importance = np.clip((area / area.mean() + count / count.mean()) / 2, 0.2, 5.0)
    return torch.from_numpy(importance / importance.mean()).float()
