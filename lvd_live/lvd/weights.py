"""Weight files: safetensors in half precision, with what they are written into the file's metadata."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lvd_live.errors import UserError
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import PRESETS

_EXACT = {"control": torch.int32, "columns": torch.int32, "mix": torch.float32}  # the body's, not learned


def save_weights(network: LVD, path: Path, about: dict) -> None:
    """Write a network: floats as float16, `about` (JSON values) and the preset's name as metadata."""
    state = {
        k: v.detach().cpu().contiguous()
        for k, v in network.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    state = {k: v.to(_EXACT.get(k, torch.float16)) for k, v in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, {"preset": network.preset.name, "about": json.dumps(about)})


def annotate(path: Path, **values) -> None:
    """Add JSON values to what a weight file says about itself; the weights stay as they are."""
    with safe_open(path, "pt") as file:
        state, metadata = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118 (not a dict)
    metadata["about"] = json.dumps({**json.loads(metadata["about"]), **values})
    save_file(state, path, metadata)


def load_weights(network: LVD, path: Path) -> None:
    """Read weights into a network of the same preset, as float32."""
    state, _ = _read(path)
    wanted = {k: v.shape for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    unfit = sorted(wanted.keys() ^ state.keys()) + [
        k for k, shape in wanted.items() if k in state and state[k].shape != shape
    ]
    if unfit:
        raise UserError(f"{path} holds the weights of another network (for example {unfit[0]} does not fit).")
    network.load_state_dict(state, strict=False)


def load_network(path: str | Path) -> tuple[LVD, str, dict]:
    """A network from its weight file, in evaluation mode, the file's sha256, and what the file says about itself."""
    path = Path(path)
    state, metadata = _read(path)
    preset = PRESETS.get(metadata.get("preset", ""))
    if preset is None:
        raise UserError(f"{path} is not a weight file of this program: it names no preset.")
    network = LVD(preset, state.get("control"), state.get("columns"), state.get("mix"))
    load_weights(network, path)
    try:
        about = json.loads(metadata.get("about", "{}"))
    except ValueError:
        raise UserError(f"{path} says nothing readable about itself; restore it from the repository.") from None
    return network.eval(), hashlib.sha256(path.read_bytes()).hexdigest(), about


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
            return {k: v.float() if v.dtype == torch.float16 else v for k, v in state.items()}, file.metadata() or {}
    except FileNotFoundError:
        raise UserError(
            f"There are no weights {path}; train them with `python -m lvd_live train`, or restore models/ from the repository."
        ) from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as weights ({error}); restore it from the repository.") from None
