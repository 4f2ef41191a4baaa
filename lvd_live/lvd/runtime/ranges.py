"""The file of ranges for eight bits (see `int8`): which weights it belongs to, and what it holds.

Apart from `int8`, because a start that finds its network made needs no `onnx`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

from lvd_live.errors import UserError
from lvd_live.lvd.network import LVD
from lvd_live.paths import MODELS

LARGEST_BYTES = 1 << 20

Ranges = Mapping[str, tuple[float, float]]
"""Least and greatest value by the tensor's name in the exported network."""


def path_of(network: LVD) -> Path:
    """The file of ranges of a preset's weights."""
    return MODELS / "weights" / f"{network.preset.name}.int8.json"


def fingerprint(network: LVD) -> str:
    """Of all weights that the backbone's values depend on."""
    crc = 0
    for part in (network.backbone, network.field.layer1):
        for value in part.state_dict().values():
            crc = zlib.crc32(value.detach().cpu().contiguous().numpy().tobytes(), crc)
    return f"{crc:08x}"


def has_ranges(network: LVD) -> bool:
    """Whether a network's ranges are known."""
    try:
        return bool(ranges_of(network))
    except UserError:
        return False


def ranges_of(network: LVD) -> Ranges:
    """The ranges of a network's own weights. Raises UserError where the file is missing or of other weights."""
    path = path_of(network)
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(LARGEST_BYTES))
        if found["fingerprint"] != fingerprint(network):
            raise UserError("These weights have no ranges for eight bits: choose another engine.")
        return {str(name): (float(low), float(high)) for name, (low, high) in found["ranges"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UserError(f"{path} holds no ranges for eight bits: choose another engine.") from None
