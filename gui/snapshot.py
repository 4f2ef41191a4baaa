"""A snapshot: the picture as PNG, and the mesh as OBJ."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np

from lvd_live.errors import UserError
from lvd_live.gui.shading import Mesh, View
from lvd_live.storage.files import reason


def write_snapshot(view: View[object], folder: Path) -> Path:
    """Write into `folder` under a fresh name; the PNG's path. Raises UserError where it cannot be written."""
    stem = time.strftime("%Y-%m-%d_%H-%M-%S")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = 0
        while (png := folder / f"{stem}{f'-{number}' if number else ''}.png").exists():
            number += 1
        png.write_bytes(cv2.imencode(".png", view.picture[..., ::-1])[1].tobytes())
        if view.mesh is not None:
            png.with_suffix(".obj").write_text(_obj(view.mesh))
    except OSError as error:
        raise UserError(f"Cannot write a snapshot to {folder}: {reason(error)}.") from error
    return png


def _obj(mesh: Mesh) -> str:
    """A Wavefront OBJ file: metres, x right, y up, z toward the camera."""
    vertices = mesh.vertices if mesh.R_level_camera is None else mesh.vertices @ mesh.R_level_camera
    vertices = vertices * np.array((1, -1, -1))
    lines = [f"v {x:.5f} {y:.5f} {z:.5f}\n" for x, y, z in vertices]
    lines += [f"f {a} {b} {c}\n" for a, b, c in mesh.faces + 1]
    return "# metres, y up\n" + "".join(lines)
