"""Every option of a tracker, in one place: for the command lines, the window, batches, files and replays."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from lvd_live.body.height import HIGHEST, LOWEST, parse_height
from lvd_live.lvd.presets import CONDITIONING, ENGINES, PRESETS

DEFAULT_FOV = 50.0  # degrees across the longer side: portrait lenses have 25, webcams 70
FOV_RANGE = (5.0, 150.0)  # degrees
SCALES = (0.8, 1.25)
MOST_ITERATIONS = 8
MOST_PERTURBATIONS = 64
AUTO = "auto"
QUALITY_CHOICES = ("auto", "live", "best")  # of the person finder, see `person.quality`
QUALITY_HELP = (
    "how hard to look for the person: best looks with a larger network and in the mirror, five times as long "
    "(default: auto, live for a camera, best for files)"
)
FORMER_NAMES = {"evidence": "conditioning", "warm_start": "warm", "outline": "silhouette_fit"}  # in files made before


@dataclass(frozen=True)
class TrackerOptions:
    """How a `Tracker` is loaded, and how it fits.

    Loading:
        preset : a name in `presets.PRESETS`.
        weights : a weight file instead of the preset's in models/weights.
        body : a body file in SMPL's layout instead of the bundled one.
        device : "cpu", "cuda" or "auto".
        engine : what runs the network on a CPU, one of `presets.ENGINES` or "auto".

    Fitting; these may be changed between frames (`Tracker.change`):
        fov_degrees : the camera's field of view across the picture's longer side.
        height : the person's, metres, or None: the body's own; a picture alone does not tell it.
        scale : what the size by height is multiplied by, because a person has proportions of their own (`standing`).
        conditioning : what the network is given of the person finder's opinion, one of `presets.CONDITIONING`.
        iterations : of descent in each frame, or None: as many as it takes.
        warm : start from the previous frame's mesh.
        uncertainty : M, perturbations per vertex (Eq. 3); 0 leaves the uncertainty out.
        silhouette_fit : bring the limbs onto the mask's outline after descent.
        hands : pose the hands where the person finder saw them, see `hand_fit`.

    Raises ValueError, naming the option, for a value out of range.
    """

    preset: str = "live"
    weights: Path | None = None
    body: Path | None = None
    device: str = AUTO
    engine: str = AUTO
    fov_degrees: float = DEFAULT_FOV
    height: float | None = None
    scale: float = 1.0
    conditioning: str = "all"
    iterations: int | None = None
    warm: bool = True
    uncertainty: int = 8
    silhouette_fit: bool = True
    hands: bool = True

    def __post_init__(self) -> None:
        for name, holds in (
            ("preset", self.preset in PRESETS),
            ("engine", self.engine in (AUTO, *ENGINES)),
            ("conditioning", self.conditioning in CONDITIONING),
            ("fov_degrees", _is_number(self.fov_degrees) and FOV_RANGE[0] <= self.fov_degrees <= FOV_RANGE[1]),
            ("height", self.height is None or (_is_number(self.height) and LOWEST <= self.height <= HIGHEST)),
            ("scale", _is_number(self.scale) and SCALES[0] <= self.scale <= SCALES[1]),
            ("iterations", self.iterations is None or _is_count(self.iterations, 1, MOST_ITERATIONS)),
            ("uncertainty", _is_count(self.uncertainty, 0, MOST_PERTURBATIONS)),
            ("warm", isinstance(self.warm, bool)),
            ("silhouette_fit", isinstance(self.silhouette_fit, bool)),
            ("hands", isinstance(self.hands, bool)),
        ):
            if not holds:
                raise ValueError(f"{name} cannot be {getattr(self, name)!r}")

    def to_json(self) -> dict[str, Any]:
        """Every option by name as JSON values; paths as text."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, required: tuple[str, ...] = ()) -> TrackerOptions:
        """The inverse of `to_json`, also of what earlier versions wrote; names it does not know are passed over.

        required : names that must be there. Raises ValueError, naming the option, for one that is missing or no value
        of its kind: a file may hold anything.
        """
        found = {FORMER_NAMES.get(name, name): value for name, value in values.items()}
        for name in required:
            if name not in found:
                raise ValueError(f"{name} is missing")
        known = {field.name for field in fields(cls)}
        chosen = {name: value for name, value in found.items() if name in known}
        if chosen.get("iterations") == AUTO:
            chosen["iterations"] = None
        for name in ("weights", "body"):
            if chosen.get(name) is not None:
                chosen[name] = Path(str(chosen[name]))
        try:
            return cls(**chosen)
        except TypeError as error:  # unhashable or incomparable: not a value of its kind
            raise ValueError(str(error)) from error

    @staticmethod
    def add_arguments(parser: argparse._ActionsContainer) -> None:
        """Add a command line's options for them; `given` and `from_arguments` read what was chosen."""
        add = partial(parser.add_argument, default=argparse.SUPPRESS)  # what is not given is not there
        add("--preset", choices=tuple(PRESETS), help="the network (default: live)")
        add("--weights", metavar="FILE", type=Path, help="a weight file instead of the preset's")
        add("--body", metavar="FILE", type=Path, help="another body, such as your SMPL .npz or .pkl (default: bundled)")
        add("--height", metavar="M", type=parse_height, help="the person's height, such as 1.78 or 178cm: the scale")
        add(
            "--fov",
            dest="fov_degrees",
            metavar="DEGREES",
            type=parse_fov,
            help="the camera's field of view across the picture's longer side (default: 50)",
        )
        add(
            "--evidence",
            dest="conditioning",
            choices=CONDITIONING,
            help="what the network is given of the person finder's opinion: landmarks and feature maps, feature maps "
            "alone, or nothing but the mask (default: all)",
        )
        add(
            "--no-landmarks",
            dest="conditioning",
            action="store_const",
            const="maps",
            help="the same as --evidence maps",
        )
        add(
            "--no-outline",
            dest="silhouette_fit",
            action="store_false",
            help="do not shift the mesh's limbs onto the mask's outline",
        )
        add(
            "--hands",
            action=argparse.BooleanOptionalAction,
            help="find the hands and pose their fingers (default: on)",
        )
        add(
            "--iterations",
            metavar=f"auto|1..{MOST_ITERATIONS}",
            type=parse_iterations,
            help="descent steps per frame (default: auto, as many as needed)",
        )
        add(
            "--engine",
            choices=(AUTO, *ENGINES),
            help="what runs the network on a CPU (default: the fastest here, measured once and remembered)",
        )

    @classmethod
    def given(cls, arguments: argparse.Namespace) -> dict[str, Any]:
        """The options that a command line with `add_arguments` named, and no others."""
        return {field.name: getattr(arguments, field.name) for field in fields(cls) if hasattr(arguments, field.name)}

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> TrackerOptions:
        """The options that a command line with `add_arguments` named, the others as they are by default."""
        return cls(**cls.given(arguments))


def parse_fov(text: str) -> float:
    """Degrees from a command line. Raises argparse.ArgumentTypeError outside FOV_RANGE."""
    try:
        degrees = float(text)
    except ValueError:
        degrees = float("nan")
    if not FOV_RANGE[0] <= degrees <= FOV_RANGE[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is no field of view between 5 and 150 degrees")
    return degrees


def parse_iterations(text: str) -> int | None:
    """1 to MOST_ITERATIONS from a command line, or None for "auto". Raises argparse.ArgumentTypeError otherwise."""
    if text == AUTO:
        return None
    if text not in map(str, range(1, MOST_ITERATIONS + 1)):
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number from 1 to {MOST_ITERATIONS}")
    return int(text)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
