"""How hard to look for a person: `live` for a camera, `best` where there is time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lvd_live.person.blazepose import BlazePoseFinder


@dataclass(frozen=True)
class Quality:
    """heavy : the larger network looks, too. mirror : the largest looks at the mirror image, too. The mean counts."""

    heavy: bool = False
    mirror: bool = False

    def finder(self, models_dir: Path, *, providers: str = "auto", threads: int = 1) -> BlazePoseFinder:
        """A BlazePose finder of this quality. providers, threads : see there. UserError as the finder's."""
        return BlazePoseFinder(models_dir, providers, threads, heavy=self.heavy, mirror=self.mirror)


QUALITIES = {"live": Quality(), "best": Quality(heavy=True, mirror=True)}
CHOICES = ("auto", *QUALITIES)


def resolve(quality: str, *, live: bool) -> str:
    """The quality that one of the CHOICES means: auto is `live` for a camera (`live`), else `best`."""
    if quality == "auto":
        return "live" if live else "best"
    return quality
