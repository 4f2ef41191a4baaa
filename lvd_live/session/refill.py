"""Fits for rows of a finished session that the tracker had no time for while it was recorded.

A segment is replaced as a whole, so that the session can be read at any time; what was not filled still waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lvd_live.session import segments
from lvd_live.session.facts import read_facts, write_facts
from lvd_live.session.sequence import is_finite
from lvd_live.session.session_writer import fitted_columns
from lvd_live.storage.files import write_whole
from lvd_live.tracking.fit import Fit

Found = tuple[np.ndarray | None, Fit | None]
"""What was found in a frame: landmarks (33, 3) float32, or None; the fit, or None."""


def fill_segment(segment: segments.Segment, found: Mapping[int, Found]) -> None:
    """Write `found`, by the row's place in the segment, into its file; the other rows stay as they are.

    Meshes are stored anew, each within `segments.STEP` / 2 of what was stored. Raises UserError.
    """
    columns: dict[str, Any] = {name: array.copy() for name, array in segment.columns.items()}
    stored = iter(zip(*segments.read_meshes(segment.path), strict=True))
    vertices, std = [], []
    for row in range(len(segment)):
        mesh = next(stored) if columns["tracked"][row] else None
        if row in found:
            landmarks, fit = found[row]
            fit = fit if fit is not None and is_finite(fit) else None
            for name, value in (fitted_columns(landmarks, fit) | {"fitted": True}).items():
                columns[name][row] = value
            mesh = None if fit is None else (fit.vertices, fit.vertex_std)
        if mesh is not None:
            vertices.append(mesh[0])
            std.append(mesh[1])
    n, faces = segment.vertices, segments.read_faces(segment.path) if segment.has_faces else None
    meshes = np.stack(vertices) if vertices else np.zeros((0, n, 3), np.float32)
    spread = np.stack(std) if std else np.zeros((0, n), np.float32)
    write_whole(segment.path, segments.pack_segment(segment.row, columns, meshes, spread, segment.session, faces))


def note_filled(folder: Path, filled: int, left: int) -> None:
    """Say in session.json that `filled` more frames were fitted after the recording, and that `left` still wait."""
    facts = read_facts(folder)
    write_facts(folder, facts | {"unfitted": left, "fitted_after": int(facts.get("fitted_after", 0)) + filled})
