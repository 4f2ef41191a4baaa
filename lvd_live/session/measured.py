"""The person's measurements of a recorded session, kept in its session.json."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lvd_live.body.estimate import estimate
from lvd_live.body.fit import SHAPE_FRAMES, BodyFitter
from lvd_live.body.measure import Measurement
from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.session.facts import read_facts, write_facts
from lvd_live.session.reader import open_session


def as_json(found: dict[str, Measurement]) -> dict[str, dict[str, float]]:
    """Measurements as they are stored."""
    return {
        name: {"cm": round(m.cm, 2), "spread_cm": round(m.spread, 2), "error_cm": round(m.error, 2)}
        for name, m in found.items()
    }


def measure_session(path: Path, body: BodyModel, height: float | None = None) -> dict[str, Measurement]:
    """Measure the person by the meshes of a finished session, and keep that in session.json; takes a second.

    body : whose meshes they are. height : the person's, metres, which sets the scale. Empty where nobody is tracked.
    Raises UserError.
    """
    session = open_session(path)
    tracked = np.flatnonzero(session.tracked)
    if not len(tracked):
        return {}
    rows = np.unique(tracked[np.linspace(0, len(tracked) - 1, SHAPE_FRAMES).round().astype(int)])
    fitter = BodyFitter(body)
    try:
        found = estimate(fitter, fitter.fit(session.vertices[rows], session.vertex_std[rows]), height)
    except (np.linalg.LinAlgError, ValueError) as error:  # raised by NumPy and SciPy for numbers that are no mesh
        sentence = f"The person in {path} cannot be measured: the meshes are not of a person."
        raise UserError(sentence, exit_code=1) from error
    keep_measurements(path, found)
    return found


def keep_measurements(path: Path, found: dict[str, Measurement]) -> None:
    """Keep what was measured in the session.json of a finished session. Raises UserError."""
    write_facts(path, read_facts(path) | {"measurements": as_json(found)})
