"""Reading a scan: a mesh or bare points, from the formats that scanners and their programs write."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvd_live.errors import UserError
from lvd_live.scan.pcd import read_pcd
from lvd_live.storage.files import look_up, reason
from lvd_live.storage.safe_npz import SafeNpz

if TYPE_CHECKING:
    import trimesh

SUFFIXES = (".ply", ".obj", ".stl", ".glb", ".gltf", ".off", ".xyz", ".txt", ".csv", ".pcd", ".npz")
FEWEST = 100  # bare points: fewer say nothing about a person
_POINTS, _FACES, _NORMALS = ("vertices", "points", "xyz", "verts"), ("faces", "f", "triangles"), ("normals",)


@dataclass(frozen=True)
class Scan:
    """What a file holds, in the file's own unit and axes.

    points : (P, 3) float64, finite. faces : (F, 3) int64 of a mesh, or None. normals : (P, 3) float64 of unit length,
    or None. dropped : how many of the file's points were no numbers.
    """

    points: np.ndarray
    faces: np.ndarray | None
    normals: np.ndarray | None
    dropped: int = 0


def read_scan(path: str | Path) -> Scan:
    """Read a scan. Raises UserError with a sentence where there is none, or nothing can be read from it."""
    path = Path(path)
    found = look_up(path)
    if found is None:
        raise UserError(f"There is no scan {path}.")
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a scan, or give --out DIR to register all scans in it.")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path} is no scan that can be read: its name must end in {', '.join(SUFFIXES)}.")
    if found.st_size == 0:
        raise UserError(f"{path} is empty: there is no scan in it.")
    try:
        points, faces, normals = _READERS.get(suffix, _read_mesh)(path)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"Cannot read {path}: {reason(error)}.") from error
    except MemoryError:
        raise UserError(f"{path} is too large for this machine's memory.") from None
    except Exception as error:  # a damaged file fails in as many ways as there are readers
        kind = str(error).splitlines()[0][:120] if isinstance(error, ValueError) and str(error) else "it is damaged"
        raise UserError(f"{path} cannot be read as a scan ({suffix}): {kind.rstrip('.! ')}.") from error
    return make_scan(points, faces, normals, str(path))


def make_scan(
    points: np.ndarray, faces: np.ndarray | None = None, normals: np.ndarray | None = None, name: str = "The scan"
) -> Scan:
    """A scan of arrays: points (P, 3), faces (F, 3) int, normals (P, 3). What is no number is dropped.

    name : for the errors. Raises UserError where too few points are left.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "fiu":
        raise UserError(f"{name} is no scan: its points are {points.shape} {points.dtype}, not (P, 3) numbers.")
    points = points.astype(np.float64)
    usable = np.isfinite(points).all(1) & (np.abs(points) < 1e12).all(1)
    faces = _usable_faces(faces, usable)
    if faces is None:  # bare points at the very origin are a depth camera's word for "nothing"
        zero = usable & ~points.any(1)
        usable &= ~zero | (zero.sum() <= max(1, len(points) // 1000))
    if normals is not None:
        normals = np.asarray(normals, np.float64)
        length = np.linalg.norm(normals, axis=1, keepdims=True) if normals.shape == points.shape else np.zeros(1)
        fine = np.isfinite(length).all() and (length > 1e-6).mean() > 0.99
        normals = normals / np.maximum(length, 1e-6) if fine else None
    dropped = int(len(points) - usable.sum())
    if faces is not None:
        index = np.cumsum(usable) - 1
        faces = index[faces]
    points = points[usable]
    if len(points) < (FEWEST if faces is None else 4):
        some = "no points" if not len(points) else "one point" if len(points) == 1 else f"only {len(points)} points"
        lost = f" ({dropped} more are no numbers)" if dropped else ""
        raise UserError(f"{name} holds {some}{lost}: at least {FEWEST} are needed to find a person.")
    if np.ptp(points, axis=0).max() <= 0:
        raise UserError(f"{name} is no scan: all its points lie in one place.")
    return Scan(points, faces, None if normals is None else normals[usable], dropped)


def _usable_faces(faces: np.ndarray | None, usable: np.ndarray) -> np.ndarray | None:
    """The triangles between usable points; None where there are none."""
    if faces is None or not np.size(faces):
        return None
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        return None
    faces = faces.astype(np.int64)
    inside = ((faces >= 0) & (faces < len(usable))).all(1)
    faces = faces[inside]
    faces = faces[usable[faces].all(1)]
    return faces if len(faces) else None


_Parts = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]


def _read_mesh(path: Path) -> _Parts:
    import trimesh  # here, because it takes a while

    loaded = trimesh.load(path, process=False, maintain_order=True)
    if isinstance(loaded, trimesh.Scene):
        return _of_scene(loaded, trimesh)
    return _of_geometry(loaded)


def _of_scene(scene: trimesh.Scene, trimesh: Any) -> _Parts:
    parts = [_of_geometry(g) for g in scene.dump() if isinstance(g, (trimesh.Trimesh, trimesh.PointCloud))]
    parts = [part for part in parts if len(part[0])]
    if not parts:
        raise ValueError("there is no mesh and no point in it")
    counts = np.cumsum([0, *(len(points) for points, _, _ in parts)])
    faces = [f + start for (_, f, _), start in zip(parts, counts, strict=False) if f is not None]
    return np.concatenate([points for points, _, _ in parts]), np.concatenate(faces) if faces else None, None


def _of_geometry(geometry: Any) -> _Parts:
    points = np.asarray(geometry.vertices)
    faces = getattr(geometry, "faces", None)
    return points, None if faces is None else np.asarray(faces), _stored_normals(geometry, len(points))


def _stored_normals(geometry: Any, count: int) -> np.ndarray | None:
    """The normals that a PLY holds beside its points; those of a mesh follow from its triangles."""
    raw = geometry.metadata.get("_ply_raw", {}).get("vertex", {}).get("data")
    if raw is None or not isinstance(raw, np.ndarray) or not {"nx", "ny", "nz"} <= set(raw.dtype.names or ()):
        return None
    return np.column_stack([raw[name] for name in ("nx", "ny", "nz")]).reshape(count, 3)


def _read_text(path: Path) -> _Parts:
    """Three columns of numbers, or six with normals; more (colours, intensity) are passed over."""
    text = path.read_bytes()
    if b"\0" in text[:4096]:
        raise ValueError("it is no text")
    lines = text.replace(b",", b" ").replace(b";", b" ")
    skip = 0
    for line in lines.splitlines()[:20]:
        try:
            if len([float(word) for word in line.split()]) >= 3:
                break
        except ValueError:
            pass
        skip += 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a text without numbers: said below
        table = np.loadtxt(io.BytesIO(lines), dtype=np.float64, ndmin=2, skiprows=skip, comments=("#", "//"))
    if table.shape[1] < 3:
        raise ValueError("its lines do not hold three numbers")
    normals = table[:, 3:6] if table.shape[1] >= 6 else None
    if normals is not None and not np.allclose(np.linalg.norm(normals[:1000], axis=1), 1, atol=0.05):
        normals = None  # colours
    return table[:, :3], None, normals


def _read_obj(path: Path) -> _Parts:
    """By trimesh; an OBJ without faces, which it passes over, line by line."""
    try:
        parts = _read_mesh(path)
        if len(parts[0]):
            return parts
    except (ValueError, IndexError, KeyError):
        pass
    rows = [line.split()[1:4] for line in path.read_text(errors="replace").splitlines() if line.startswith("v ")]
    if not rows:
        raise ValueError("there are no vertices in it")
    return np.array(rows, float).reshape(-1, 3), None, None


def _read_npz(path: Path) -> _Parts:
    with SafeNpz(path, {}):
        pass  # opening it checks the directory: names, sizes, ratios
    try:
        with np.load(path, allow_pickle=False) as file:
            found = [next((file[n] for n in names if n in file), None) for names in (_POINTS, _FACES, _NORMALS)]
    except zipfile.BadZipFile:
        raise ValueError("it is damaged") from None
    if found[0] is None:
        raise ValueError(f"it holds no array named {' or '.join(_POINTS)}")
    return found[0], found[1], found[2]


def _read_cloud(path: Path) -> _Parts:
    points, normals = read_pcd(path)
    return points, None, normals


_READERS: dict[str, Callable[[Path], _Parts]] = {
    ".obj": _read_obj,
    ".xyz": _read_text,
    ".txt": _read_text,
    ".csv": _read_text,
    ".npz": _read_npz,
    ".pcd": _read_cloud,
}
