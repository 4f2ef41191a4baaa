"""Taking a sequence or a session to other programs: `export(source, target)` writes one of the `FORMATS`."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvd_live.errors import UserError
from lvd_live.export.formats import FORMATS, Format, check_options, check_suffix, choose_format
from lvd_live.export.low_pass import HALF
from lvd_live.export.motion import BodyMotion
from lvd_live.export.options import ExportOptions
from lvd_live.export.take import Take
from lvd_live.storage.files import check_writable, look_up, reason

__all__ = ["FORMATS", "ExportOptions", "Exported", "Format", "Take", "export"]


@dataclass(frozen=True)
class Exported:
    """path : the file or folder written. frames : how many. notes : sentences for the user.

    The notes say what was bridged, and how far the skinned body lies from the tracked mesh.
    """

    path: Path
    frames: int
    notes: tuple[str, ...]


def export(
    source: str | Path | Take,
    target: str | Path,
    *,
    format: str | None = None,
    up: str | None = None,
    unit: str | None = None,
    mesh: str | None = None,
    body: str | Path | None = None,
    start: float | None = None,
    end: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Exported:
    """Write a sequence file or a session's folder to `target`.

    format : one of FORMATS; None: by the ending of `target`. up, unit, mesh : None: the format's first. body, options :
    those of `ExportOptions`. start, end : seconds from the first frame; None: all of it.
    progress(done, all) : called as the body is fitted, then for each mesh; it may raise to stop.

    Nothing is left at `target` unless it is whole; an older file there is replaced, a folder that holds files is not.
    Raises UserError.
    """
    target = Path(target)
    kind = FORMATS[name := choose_format(format, target)]
    chosen = ExportOptions(
        up=up or kind.ups[0],
        unit=unit or kind.units[0],
        mesh=mesh or kind.meshes[0],
        body=None if body is None else Path(body),
        **options,
    )
    check_options(name, chosen)
    check_suffix(name, target)
    if not isinstance(source, Take) and _is_same_file(source, target):
        raise UserError(f"Cannot write {target}: it is the take to be exported.")
    if not isinstance(source, Take) and _is_inside(target, Path(source)):
        raise UserError(f"Cannot write {target}: it lies in the recording {source}, which is left as it is.")
    take = source if isinstance(source, Take) else Take.open(source)
    motion = BodyMotion(take.between(start, end), chosen, progress)
    _write(name, motion, target)
    return Exported(target, len(motion), _notes(name, motion))


def _is_same_file(source: str | Path, target: Path) -> bool:
    there, given = look_up(target), look_up(source)
    if there is None or given is None:
        return False
    return (there.st_dev, there.st_ino) == (given.st_dev, given.st_ino)


def _is_inside(target: Path, folder: Path) -> bool:
    """Whether `target` is a session's `folder`, or would lie in it."""
    return folder.is_dir() and target.resolve().is_relative_to(folder.resolve())


def _write(name: str, motion: BodyMotion, target: Path) -> None:
    kind = FORMATS[name]
    try:
        writer = importlib.import_module(f"lvd_live.export.{kind.module}")
    except ModuleNotFoundError as error:
        hint = f"pip install -e .[{name}]"
        raise UserError(f"The format {name} needs the package {error.name}, which is not installed: {hint}") from error
    if kind.folder:
        uncertainty = name == "ply-uncertainty"
        _fill_folder(target, lambda folder: writer.write(motion, folder, kind.suffix, uncertainty=uncertainty))
    else:
        writer.write(motion, check_writable(target))


def _fill_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Fill a new folder beside `target` by `write`, and rename it into place. Raises UserError."""
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


def _notes(name: str, motion: BodyMotion) -> tuple[str, ...]:
    residual, sequence = motion.fitted.residual_mm, motion.take.sequence
    far = f"{residual.mean():.0f} mm from the tracked mesh on average (at most {residual.max():.0f} mm in a frame)"
    rows, frames = len(sequence), len(motion)
    notes = [sentence for sentence in (motion.grid.gaps, motion.grid.resampling) if sentence]
    notes += [f"They are evenly spaced, {motion.grid.fps:g} a second; the take has {rows}."] if rows != frames else []
    notes += [sentence] if (sentence := _tilt(motion)) else []
    if motion.options.smooth and not sequence.alone:
        notes.append(f"What swings faster than {HALF / motion.options.smooth:.0f} Hz is smoothed away.")
    notes.append(f"The skinned body lies {far}.")
    if name == "ply-uncertainty" and not np.any(sequence.vertex_std[int(np.argmax(sequence.tracked))]):
        notes.append("The take carries no uncertainty: every vertex has the colour of zero.")
    return tuple(notes)


def _tilt(motion: BodyMotion) -> str:
    """A sentence about the camera's tilt, "" where it was not asked for."""
    if not motion.options.level or motion.options.origin == "camera" or motion.take.sequence.alone:
        return ""
    if motion.up is None:
        return "The camera is taken to be level: nobody stands before it for half a second, both feet in view."
    x, y, z = motion.up
    down, turned = np.degrees(np.arctan2([-z, x], [np.hypot(x, y), -y]))
    way = "down" if down > 0 else "up"
    how = f"{way} by {abs(down):.0f}°, turned by {abs(turned):.0f}°"
    return f"The camera looks {how}, as the person's standing says: the motion is set upright."
