"""The registrar of a body file, with the network that its descent needs."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Literal

import numpy as np

from lvd_live.body.hand_rig import SIDES, Side
from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.paths import MODELS
from lvd_live.scan.descent import NetworkDescent
from lvd_live.scan.frame import UNITS, UPS
from lvd_live.scan.hands import HandRegistrar
from lvd_live.scan.reading import make_scan, read_scan
from lvd_live.scan.registration import MODELS as MODELS_OF_FIT
from lvd_live.scan.registration import Registrar
from lvd_live.scan.result import Registration
from lvd_live.scan.starts import Told
from lvd_live.scan.watched import Progress

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


@functools.lru_cache(maxsize=3)
def load_hand_registrar(
    hand: Path | None = None, weights: Path | None = None, side: Side | None = None
) -> HandRegistrar:
    """See `HandRegistrar.load`; it is loaded once."""
    return HandRegistrar.load(hand, weights, side)


def register(
    points: np.ndarray | str | Path,
    faces: np.ndarray | None = None,
    normals: np.ndarray | None = None,
    *,
    hand: Literal["left", "right", "found"] | None = None,
    model: str = "smpl+d",
    body: str | Path | None = None,
    weights: str | Path | None = None,
    unit: str | None = None,
    up: str | None = None,
    yaw: float | None = None,
    partial: bool | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Registration:
    """The body in a 3D scan: its mesh in the scan's unit and axes, SMPL's parameters, and what was decided.

    points : (P, 3), of any unit, or a file. faces : (F, 3) int, of a mesh. normals : (P, 3), outward.
    hand : the scan is of a hand, and of which one; a `HandRegistration` is returned. None: of a person.
    model : "smpl" or "smpl+d". body, weights : see `load_registrar`; of a hand in MANO's layout and preset `hand`.
    unit, up, yaw, partial : see `starts.Told`.
    progress : called with the share that is done, 0..1, and a few words on what is done now, in the calling thread.
    stop : once it is set, from any thread, `watched.Stopped`, a UserError, is raised before the next step begins.
    Look at `Registration.explained` before using the fit. Raises UserError where there is no person to be sought.
    """
    if model not in MODELS_OF_FIT:
        raise ValueError(f"model must be one of {MODELS_OF_FIT}, not {model!r}")
    if hand not in (None, "found", *SIDES):
        raise ValueError(f"hand must be one of {(*SIDES, 'found')} or None, not {hand!r}")
    if (unit is not None and unit not in UNITS) or (up is not None and up not in UPS):
        raise ValueError(f"unit must be one of {tuple(UNITS)} and up one of {tuple(UPS)}, not {unit!r} and {up!r}")
    scan = read_scan(points) if isinstance(points, (str, Path)) else make_scan(points, faces, normals)
    file, network = (None if path is None else Path(path) for path in (body, weights))
    registrar = (
        load_registrar(file, network)
        if hand is None
        else load_hand_registrar(file, network, None if hand == "found" else hand)
    )
    return registrar(scan, Told(unit, up, yaw, partial), model=model, progress=progress, stop=stop)
