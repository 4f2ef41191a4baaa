"""The registrar of a body file, with the network that its descent needs."""

from __future__ import annotations

import functools
from pathlib import Path

from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.paths import MODELS
from lvd_live.scan.descent import NetworkDescent
from lvd_live.scan.registration import Registrar

BODY = MODELS / "body" / "lvd_body.npz"
WEIGHTS = MODELS / "weights" / "scan.safetensors"


@functools.lru_cache(maxsize=2)
def load_registrar(body: Path | None = None, weights: Path | None = None) -> Registrar:
    """body : a file in SMPL's layout; None: the bundled body. weights : a network for scans; None: the shipped one.

    Raises UserError where a file is missing or unfit.
    """
    served = BodyModel.load(BODY)
    chosen = served if body is None else BodyModel.load(body)
    if weights is None and not WEIGHTS.is_file():
        raise UserError(
            f"There is no network for scans ({WEIGHTS}): restore models/ from the repository, or name one by --weights."
        )
    return Registrar(chosen, NetworkDescent.load(served, chosen, weights))
