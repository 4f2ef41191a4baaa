"""The formats that a take can be written in, and what each of them can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lvd_live.errors import UserError
from lvd_live.export.options import ExportOptions


@dataclass(frozen=True)
class Format:
    """A format.

    title : for a list that people choose from. suffix : of the file, or of the files in a folder.
    module : of this package, with `write(motion, path)`, or `write(motion, folder, suffix, uncertainty=)` for a folder.
    meshes, ups, units : what it can hold, the default first. folder : one file per frame, in a folder.
    """

    title: str
    suffix: str
    module: str
    meshes: tuple[str, ...]
    ups: tuple[str, ...] = ("y", "z")
    units: tuple[str, ...] = ("m", "cm")
    folder: bool = False


_BOTH = ("fitted", "regularised")
FORMATS = {
    "npz": Format("AMASS motion, with the meshes (.npz)", ".npz", "amass", _BOTH, ups=("z", "y"), units=("m",)),
    "glb": Format("Animated glTF: skinned mesh (.glb)", ".glb", "gltf", ("regularised",), ups=("y",), units=("m",)),
    "bvh": Format("Skeleton motion (.bvh)", ".bvh", "bvh", ("regularised",)),
    "usd": Format("USD: skinned or cached mesh (.usdc)", ".usdc", "usd", ("regularised", "fitted")),
    "obj": Format("OBJ, one file per frame", ".obj", "meshes", _BOTH, folder=True),
    "ply": Format("PLY, one file per frame", ".ply", "meshes", _BOTH, folder=True),
    "ply-uncertainty": Format("PLY, one file per frame, coloured by uncertainty", ".ply", "meshes", _BOTH, folder=True),
    "csv": Format("Table of joints, and of measurements (.csv)", ".csv", "table", ("regularised",)),
}
_SUFFIXES = {".npz": "npz", ".glb": "glb", ".bvh": "bvh", ".usd": "usd", ".usda": "usd", ".usdc": "usd", ".csv": "csv"}


def choose_format(name: str | None, target: Path) -> str:
    """The name of the format, None: by the ending of `target`. Raises UserError where there is none."""
    if name is None:
        name = _SUFFIXES.get(target.suffix.lower())
        if name is None:
            raise UserError(f"What is {target} to be? Name a --format: {', '.join(FORMATS)}.")
    if name not in FORMATS:
        raise UserError(f"There is no format {name!r}; there are {', '.join(FORMATS)}.")
    return name


def check_options(name: str, options: ExportOptions) -> None:
    """Raises UserError where a format cannot hold what the options ask for, or a number is out of range."""
    kind = FORMATS[name]
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


def check_suffix(name: str, target: Path) -> None:
    """Raises UserError where the name of `target` does not end as files of the format do."""
    kind = FORMATS[name]
    if not kind.folder and _SUFFIXES.get(target.suffix.lower()) != name:
        raise UserError(f"Cannot write {target}: the name of {_article(name)} file ends in {kind.suffix}.")


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'aeio' or name == 'npz' else 'a'} {name}"
