"""What is seen, as PNG, and the mesh, as OBJ."""

from __future__ import annotations

import time
from pathlib import Path

import cv2

from lvd_live.errors import UserError
from lvd_live.gui.shading import View


def write_snapshot(view: View, folder: Path) -> Path:
    """Write into `folder`, over nothing; the PNG's path. UserError where it cannot be written."""
    stem = time.strftime("%Y-%m-%d_%H-%M-%S")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = 0
        while (png := folder / f"{stem}{f'-{number}' if number else ''}.png").exists():
            number += 1
        png.write_bytes(cv2.imencode(".png", view.picture[..., ::-1])[1])
        if view.vertices is not None:
            lines = [
                f"v {x:.5f} {y:.5f} {z:.5f}\n" for x, y, z in view.vertices * (1, -1, -1)
            ]  # y up, z toward the viewer
            lines += [f"f {a} {b} {c}\n" for a, b, c in view.faces + 1]
            png.with_suffix(".obj").write_text("# metres, y up\n" + "".join(lines))
    except OSError as error:
        raise UserError(f"Cannot write a snapshot to {folder}: {(error.strerror or str(error)).lower()}.") from error
    return png
