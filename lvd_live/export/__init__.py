"""Taking a sequence or a session elsewhere: `export(source, target)` writes one of the `FORMATS`."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvd_live.errors import UserError
from lvd_live.export.motion import BodyMotion, ExportOptions, Take
from lvd_live.storage.files import check_writable, look_up, reason


@dataclass(frozen=True)
class Format:
    """title: for a list that people choose from. suffix: of the file; folder: one file per frame, in a folder. meshes, ups, units: what it can hold, the default first. module: with `write(motion, path)`."""

    title: str
    suffix: str
    module: str
    meshes: tuple[str, ...]
    ups: tuple[str, ...] = ("y", "z")
    units: tuple[str, ...] = ("m", "cm")
    folder: bool = False


FORMATS = {
    "npz": Format(
        "AMASS motion, with the meshes (.npz)", ".npz", "amass", ("fitted", "regularised"), ups=("z", "y"), units=("m",)
    ),
    "glb": Format("Animated glTF: skinned mesh (.glb)", ".glb", "gltf", ("regularised",), ups=("y",), units=("m",)),
    "bvh": Format("Skeleton motion (.bvh)", ".bvh", "bvh", ("regularised",)),
    "usd": Format("USD: skinned or cached mesh (.usdc)", ".usdc", "usd", ("regularised", "fitted")),
    "obj": Format("OBJ, one file per frame", ".obj", "meshes", ("fitted", "regularised"), folder=True),
    "ply": Format("PLY, one file per frame", ".ply", "meshes", ("fitted", "regularised"), folder=True),
    "ply-uncertainty": Format(
        "PLY, one file per frame, coloured by uncertainty", ".ply", "meshes", ("fitted", "regularised"), folder=True
    ),
    "csv": Format("Table of joints, and of measurements (.csv)", ".csv", "table", ("regularised",)),
}
_SUFFIXES = {".npz": "npz", ".glb": "glb", ".bvh": "bvh", ".usd": "usd", ".usda": "usd", ".usdc": "usd", ".csv": "csv"}


@dataclass(frozen=True)
class Exported:
    """path: the file or folder written. frames: on the grid. notes: sentences for the user (what was bridged, how far the skinned body lies from the tracked mesh)."""

    path: Path
    frames: int
    notes: tuple[str, ...]


def export(
    source: str | Path | Take,
    target: str | Path,
    *,
    format: str | None = None,
    rate: float | None = None,
    up: str | None = None,
    unit: str | None = None,
    smooth: float = 0.0,
    foot_lock: bool = False,
    mesh: str | None = None,
    origin: str = "floor",
    body: str | Path | None = None,
    height: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write a sequence file or a session's folder to `target`.

    format: one of FORMATS, None: by the ending of `target`. up, unit, mesh: None for what the format is used to. The others: see `ExportOptions`. progress(done, all) is called frame by frame and may raise to
    stop. Nothing is left at `target` unless it is whole; an older file there is replaced, a folder that holds files is not. Raises UserError.
    """
    target = Path(target)
    name = format or _SUFFIXES.get(target.suffix.lower())
    if name not in FORMATS:
        raise UserError(
            f"What is {target} to be? Name a --format: {', '.join(FORMATS)}."
            if format is None
            else f"There is no format {format!r}; there are {', '.join(FORMATS)}."
        )
    kind = FORMATS[name]
    options = ExportOptions(
        rate,
        up or kind.ups[0],
        unit or kind.units[0],
        smooth,
        foot_lock,
        mesh or kind.meshes[0],
        origin,
        None if body is None else Path(body),
        height,
    )
    _check(name, kind, options)
    if not kind.folder and _SUFFIXES.get(target.suffix.lower()) != name:
        raise UserError(f"Cannot write {target}: the name of {_article(name)} file ends in {kind.suffix}.")
    if (
        not isinstance(source, Take)
        and (there := look_up(target))
        and (given := look_up(source))
        and (there.st_dev, there.st_ino) == (given.st_dev, given.st_ino)
    ):
        raise UserError(f"Cannot write {target}: it is the take to be exported.")
    motion = BodyMotion(source if isinstance(source, Take) else Take.open(source), options, progress)
    try:
        writer = importlib.import_module(f"lvd_live.export.{kind.module}")
    except ModuleNotFoundError as error:
        raise UserError(
            f"The format {name} needs the package {error.name}, which is not installed: pip install -e .[{name}]"
        ) from error
    if kind.folder:
        _into_folder(
            target, lambda folder: writer.write(motion, folder, kind.suffix, uncertainty=name == "ply-uncertainty")
        )
    else:
        writer.write(motion, check_writable(target))
    residual = motion.fitted.residual_mm
    notes = [
        f"The skinned body lies {residual.mean():.0f} mm from the tracked mesh on average (at most {residual.max():.0f} mm in a frame)."
    ]
    if name == "ply-uncertainty" and not np.any(
        motion.source.take.vertex_std[int(np.argmax(motion.source.take.tracked))]
    ):
        notes.append("The take carries no uncertainty: every vertex has the colour of zero.")
    return Exported(target, len(motion), tuple(filter(None, [motion.gaps, motion.resampling, *notes])))


def _check(name: str, kind: Format, options: ExportOptions) -> None:
    for what, given, possible in (
        ("up axis", options.up, kind.ups),
        ("unit", options.unit, kind.units),
        ("mesh", options.mesh, kind.meshes),
        ("origin", options.origin, ("floor", "camera")),
    ):
        if given not in possible:
            raise UserError(f"The {what} of {_article(name)} file is {' or '.join(possible)}, not {given}.")
    if options.rate is not None and not 1 <= options.rate <= 240:
        raise UserError(f"A rate of {options.rate:g} frames per second cannot be exported; choose one from 1 to 240.")
    if not 0 <= options.smooth <= 1:
        raise UserError(f"Smoothing over {options.smooth:g} s makes no sense; choose from 0 to 1 second.")
    if options.height is not None and not 0.5 <= options.height <= 2.6:
        raise UserError(f"{options.height:g} m is no height of a person.")


def _into_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Fill a new folder beside `target` and rename it into place."""
    there, parent = look_up(target), target.absolute().parent
    if there and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"Cannot write {target}: it is there already and not an empty folder; name another.")
    if not look_up(parent):
        raise UserError(f"Cannot write {target}: the folder {parent} does not exist.")
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{target.name[:32]}.", suffix=".part", dir=parent))
        part.chmod(0o755)
    except OSError as error:
        raise UserError(f"Cannot write {target}: {reason(error)}.") from error
    try:
        write(part)
        if there:
            target.rmdir()
        part.rename(target)
    except OSError as error:
        raise UserError(f"Could not write {target}: {reason(error)}.", exit_code=1) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'aeio' or name == 'npz' else 'a'} {name}"
