"""OBJ and PLY, one file per frame; PLY with the uncertainty as a colour if asked for."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lvd_live.export.mesh_frames import meshes
from lvd_live.export.motion import BodyMotion
from lvd_live.export.options import UNITS

WORST = 0.10  # metres of uncertainty that are drawn in the last colour


def write(motion: BodyMotion, folder: Path, suffix: str, *, uncertainty: bool = False) -> None:
    """`000000.obj` and so on, numbered by the grid; frames without a mesh leave their number out. Raises OSError."""
    metre, triangles = UNITS[motion.options.unit], obj_faces(motion.faces)
    for number, mesh in enumerate(meshes(motion)):
        if mesh is None:
            continue
        vertices, std = mesh
        if suffix == ".obj":
            data = obj_vertices(vertices) + triangles
        elif uncertainty:
            data = ply(vertices, motion.faces, std, colours(std / metre))
        else:
            data = ply(vertices, motion.faces)
        (folder / f"{number:06d}{suffix}").write_bytes(data)


def obj_faces(faces: np.ndarray) -> bytes:
    """The triangles (M, 3) as lines of a Wavefront OBJ, which counts from 1."""
    return b"f %d %d %d\n" * len(faces) % tuple((faces + 1).ravel().tolist())


def obj_vertices(vertices: np.ndarray) -> bytes:
    """The positions (N, 3) as lines of a Wavefront OBJ."""
    return b"v %.6g %.6g %.6g\n" * len(vertices) % tuple(vertices.ravel().tolist())


def ply(vertices: np.ndarray, faces: np.ndarray, std: np.ndarray | None = None, rgb: np.ndarray | None = None) -> bytes:
    """A binary PLY. vertices : (N, 3). faces : (M, 3). std : (N,), a property of the vertices. rgb : (N, 3) uint8."""
    fields = [("x", "<f4", "float"), ("y", "<f4", "float"), ("z", "<f4", "float")]
    if rgb is not None:
        fields += [(c, "u1", "uchar") for c in ("red", "green", "blue")] + [("std", "<f4", "float")]
    table = np.empty(len(vertices), [(name, dtype) for name, dtype, _ in fields])
    for i, name in enumerate("xyz"):
        table[name] = vertices[:, i]
    if rgb is not None:
        for i, name in enumerate(("red", "green", "blue")):
            table[name] = rgb[:, i]
        table["std"] = std
    triangles = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"], triangles["corners"] = 3, faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property {kind} {name}" for name, _, kind in fields),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
        "",
    ]
    return "\n".join(header).encode() + table.tobytes() + triangles.tobytes()


def colours(std: np.ndarray) -> np.ndarray:
    """Viridis (N, 3) uint8 RGB for an uncertainty (N,) in metres, from 0 to WORST."""
    level = np.clip(255 * std / WORST, 0, 255).astype(np.uint8)
    return cv2.applyColorMap(level[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
