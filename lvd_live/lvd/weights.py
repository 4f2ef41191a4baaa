"""Weight files: safetensors in half precision, with a description of the weights in the file's metadata."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lvd_live.errors import UserError
from lvd_live.lvd.mesh_network import MeshNetwork
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import PRESETS, SCAN_PRESETS
from lvd_live.lvd.volume.network import VolumeLVD

_LONGEST = 200  # characters of a library's own words: they may repeat what stands in the file
N = TypeVar("N", bound=MeshNetwork)
_EXACT = {"control": torch.int32, "columns": torch.int32, "mix": torch.float32}  # the body's, not learned


def save_weights(network: LVD | VolumeLVD, path: Path, about: dict) -> None:
    """Write a network: floats as float16, `about` (JSON values) and the preset's name as metadata."""
    state = {
        name: value.detach().cpu().contiguous().to(_EXACT.get(name, torch.float16))
        for name, value in _stored(network).items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, {"preset": network.preset.name, "about": json.dumps(about)})


def annotate(path: Path, **values: object) -> None:
    """Add JSON values to a weight file's `about`; the weights stay as they are."""
    with safe_open(path, "pt") as file:
        state, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
    metadata["about"] = json.dumps({**json.loads(metadata["about"]), **values})
    save_file(state, path, metadata)


def load_weights(network: MeshNetwork, path: Path) -> None:
    """Read weights into a network of the same preset, as float32. Raises UserError."""
    _fill(network, _read(path)[0], path)


def _fill(network: MeshNetwork, state: dict[str, torch.Tensor], path: Path) -> None:
    """Set a network's weights to those read from a file. Raises UserError."""
    wanted = {name: value.shape for name, value in _stored(network).items()}
    absent = sorted(wanted.keys() ^ state.keys())
    unfit = absent + [name for name, shape in wanted.items() if name in state and state[name].shape != shape]
    if unfit:
        raise UserError(f"{path} holds the weights of another network (for example {unfit[0]} does not fit).")
    network.load_state_dict(state, strict=False)


def load_network(path: str | Path) -> tuple[LVD, str, dict]:
    """A network from its weight file, in evaluation mode, the file's sha256, and its `about`. Raises UserError."""
    return _load(Path(path), lambda name, *mesh: LVD(PRESETS[name], *mesh) if name in PRESETS else None)


def load_volume_network(path: str | Path) -> tuple[VolumeLVD, str, dict]:
    """As `load_network`, a network for scans."""
    return _load(Path(path), lambda name, *mesh: VolumeLVD(SCAN_PRESETS[name], *mesh) if name in SCAN_PRESETS else None)


def _load(path: Path, make: Callable[..., N | None]) -> tuple[N, str, dict]:
    """make(preset's name, control, columns, mix) : the network, or None where there is no such preset."""
    state, metadata = _read(path)
    try:
        network = make(metadata.get("preset", ""), *(state.get(name) for name in ("control", "columns", "mix")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} holds the weights of another network ({error}).") from None
    if network is None:
        raise UserError(f"{path} is not a weight file of this program: it names no preset.")
    _fill(network, state, path)
    _check_rows(network, path)
    try:
        about = json.loads(metadata.get("about", "{}"))
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict) or not _is_calibration(about.get("calibration")):
        raise UserError(f"{path} says nothing readable about itself; restore it from the repository.")
    return network.eval(), hashlib.sha256(path.read_bytes()).hexdigest(), about


def _check_rows(network: MeshNetwork, path: Path) -> None:
    """Raises UserError where the body's vertices are mixes of others that there are not, or numbers are not finite."""
    control, columns, mix = network.control, network.columns, network.mix
    fits = int(control.min()) >= 0
    if columns is not None and mix is not None:
        fits &= columns.ndim == 2 and columns.shape == mix.shape and int(control.max()) < len(columns)
        fits = fits and 0 <= int(columns.min()) <= int(columns.max()) < len(control)
    extremes = (extreme for value in _stored(network).values() for extreme in value.aminmax())  # NaN where one is
    if not fits or not all(math.isfinite(extreme) for extreme in extremes):
        raise UserError(f"{path} holds numbers that weights cannot have; restore it from the repository.")


def _is_calibration(value: object) -> bool:
    """Whether `about` holds what `Tracker.expected_error` can use, or nothing: {"std": [...], "error": [...]}."""
    if value is None:
        return True
    std, error = (value.get("std"), value.get("error")) if isinstance(value, dict) else (None, None)
    if not isinstance(std, list) or not isinstance(error, list):
        return False
    numbers = all(isinstance(x, (int, float)) and abs(x) < 1e9 for x in std + error)
    return numbers and len(std) == len(error) > 0


def _stored(network: MeshNetwork) -> dict[str, torch.Tensor]:
    """What a weight file holds of a network's state."""
    return {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors, half precision as float32, and metadata. Raises UserError."""
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError
        with safe_open(path, "pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}
            metadata = file.metadata() or {}
    except FileNotFoundError:
        how = "train them with `python -m lvd_live train`, or restore models/ from the repository"
        raise UserError(f"There are no weights {path}; {how}.") from None
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} cannot be read as weights ({str(error)[:_LONGEST]}); restore it from the repository."
        ) from None
    return {name: value.float() if value.dtype == torch.float16 else value for name, value in stored.items()}, metadata
