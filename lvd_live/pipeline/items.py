"""What goes from one of the live pipeline's threads to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame

if TYPE_CHECKING:
    from lvd_live.tracking.encoder import Encoded
    from lvd_live.tracking.fit import Fit
    from lvd_live.tracking.tracker import Tracker


@dataclass(frozen=True)
class Captured:
    """A frame, and when it arrived: time.monotonic_ns()."""

    frame: Frame
    captured_ns: int


@dataclass(frozen=True)
class Found:
    """The person in a frame, or None, and how long finding took."""

    frame: Frame
    captured_ns: int
    person: Person | None
    milliseconds: float


@dataclass(frozen=True)
class Ready:
    """A frame that its tracker can fit; encoded : None where nobody was found."""

    found: Found
    tracker: Tracker
    encoded: Encoded | None


@dataclass(frozen=True)
class Result:
    """What became of a frame.

    person, fit : None where nobody was found or the mesh did not settle. captured_ns : when a camera's picture arrived,
    or a file's was read; done_ns; both time.monotonic_ns(). milliseconds : time by stage.
    """

    frame: Frame
    person: Person | None
    fit: Fit | None
    captured_ns: int
    done_ns: int
    milliseconds: dict[str, float]
