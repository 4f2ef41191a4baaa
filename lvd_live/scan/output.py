"""What a registration leaves: a mesh or an .npz, and the lines that say what was decided."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from lvd_live import __version__
from lvd_live.export.meshes import obj_faces, obj_vertices, ply
from lvd_live.scan.result import Registration
from lvd_live.storage.files import write_whole

FORMATS = (".obj", ".ply", ".glb", ".npz")


def write_registration(fit: Registration, path: Path, source: dict[str, Any] | None = None) -> None:
    """Write a fit in the format that the name of `path` ends in: vertices in the scan's own unit and axes.

    source : what the .npz says of where the fit comes from. Raises UserError where it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        write_whole(path, _npz(fit, source or {}))
    elif suffix == ".obj":
        write_whole(path, obj_vertices(fit.vertices) + obj_faces(fit.faces))
    elif suffix == ".ply":
        write_whole(path, ply(fit.vertices, fit.faces))
    else:
        import trimesh  # here, because it takes a while

        glb = trimesh.Trimesh(fit.vertices, fit.faces, process=False).export(file_type="glb")
        assert isinstance(glb, bytes)
        write_whole(path, glb)


def _npz(fit: Registration, source: dict[str, Any]) -> bytes:
    arrays: dict[str, Any] = {
        "vertices": fit.vertices.astype(np.float32),
        "faces": fit.faces.astype(np.int32),
        "pose": fit.pose.astype(np.float32),
        "betas": fit.betas.astype(np.float32),
        "trans": fit.trans.astype(np.float32),
        "scale": np.float64(fit.scale),
        "displacements": fit.displacements.astype(np.float32),
        "joints": fit.joints.astype(np.float32),
        "std": fit.std.astype(np.float32),
        "distance": fit.to_scan.astype(np.float32),
        "meta": np.array(json.dumps(source | summary(fit) | {"version": __version__})),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def summary(fit: Registration) -> dict[str, Any]:
    """What a table says of a fit; distances in mm."""
    return {
        "explained": bool(fit.explained),
        "unit": fit.unit,
        "up": fit.up,
        "one_sided": bool(fit.partial),
        "scan_to_fit_mm": round(1000 * float(fit.from_scan.mean()), 3),
        "scan_to_fit_p90_mm": round(1000 * float(np.percentile(fit.from_scan, 90)), 3),
        "fit_to_scan_mm": round(1000 * float(fit.to_scan.mean()), 3),
        "scale": fit.scale,
        "notes": list(fit.notes),
    }


def lines(fit: Registration) -> list[str]:
    """The decisions, how far scan and fit lie from each other, and whether the fit explains the scan."""
    told = summary(fit)
    distances = (
        f"Distances: scan to fit {told['scan_to_fit_mm']:.1f} mm (90th percentile {told['scan_to_fit_p90_mm']:.1f}), "
        f"fit to scan's points {told['fit_to_scan_mm']:.1f} mm."
    )
    return [*fit.notes, f"{distances} The scan is {fit.verdict}."]
