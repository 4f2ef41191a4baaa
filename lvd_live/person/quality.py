"""How hard to look for a person: `live` for a camera, `best` where there is time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lvd_live.person.blazepose import BlazePoseFinder


@dataclass(frozen=True)
class Quality:
    """heavy: landmarks of the larger network; mirror: landmarks are the mean of the region's and its mirror image's."""

    heavy: bool
    mirror: bool


QUALITIES = {"live": Quality(heavy=False, mirror=False), "best": Quality(heavy=True, mirror=True)}
CHOICES = ("auto", *QUALITIES)


def make_finder(models_dir: Path, quality: str = "auto", *, live: bool = False) -> BlazePoseFinder:
    """A BlazePose finder of one of the CHOICES. auto: `live` for a camera (`live`), else `best`. UserError as the
    finder's.
    """
    chosen = QUALITIES[("live" if live else "best") if quality == "auto" else quality]
    return BlazePoseFinder(models_dir, heavy=chosen.heavy, mirror=chosen.mirror)
