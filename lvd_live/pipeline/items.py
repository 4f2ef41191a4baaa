"""What goes from one of the live pipeline's threads to the next."""

from __future__ import annotations

from dataclasses import dataclass

from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame


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
