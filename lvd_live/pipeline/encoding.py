"""The frames of a source, their person found and encoded: in two threads, ahead of the fit in the third.

The first one decodes and finds the body, the second one finds the hands and encodes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator

from lvd_live.lift.over_time import NEXT
from lvd_live.person.hands import WithHands
from lvd_live.person.types import Person, PersonFinder
from lvd_live.pipeline.prefetch import End, ahead, prefetch
from lvd_live.pipeline.reread import LARGEST, Later, reread, with_later
from lvd_live.sources.frame import Frame, Source
from lvd_live.tracking.encoder import Encoded
from lvd_live.tracking.tracker import Tracker

Ready = tuple[Frame, Person | None, Encoded | None]


def encode(
    source: Source, finder: PersonFinder, tracker: Tracker, *, independent: bool = False
) -> Generator[Ready, None, None]:
    """Every frame with its person and what `tracker.fit` takes, both None where nobody is found.

    independent : the frames have nothing to do with each other. A live source is asked for a frame when the one before
    is taken. Closed early, it closes a live source; after Ctrl-C those that are found already come before it is raised.
    """
    end = End(source)
    ready = _encoded(source, finder, tracker, independent, end)
    return ahead(ready, one_by_one=lambda one: source.live or one[0].picture.nbytes > LARGEST, finish=end.set)


def _encoded(
    source: Source, finder: PersonFinder, tracker: Tracker, independent: bool, end: End
) -> Generator[Ready, None, None]:
    found_shape, shape = Shape(), Shape()
    body = finder.finder if isinstance(finder, WithHands) else finder  # the hands are found here, beside the next body

    def find(frame: Frame) -> Person | None:
        if independent or frame.new_shot or found_shape.changes(frame.picture.shape):
            body.reset()
        return body.find(frame.picture)

    anew = True
    with contextlib.closing(prefetch(source, find, end)) as bodies:
        found: Iterator[tuple[Frame, Person | None]] = bodies
        if isinstance(finder, WithHands):
            found = ((frame, finder.add_hands(frame.picture, person)) for frame, person in bodies)
        for frame, person, later in _with_later(found, at_once=independent or source.live):
            anew |= independent or frame.new_shot or shape.changes(frame.picture.shape) or person is None
            if person is None:
                yield frame, None, None
            else:
                yield frame, person, tracker.encode(frame, person, later=later, anew=anew)
                anew = False


def _with_later(
    found: Iterator[tuple[Frame, Person | None]], *, at_once: bool
) -> Iterator[tuple[Frame, Person | None, Later]]:
    """Each frame with those after it, where there is time to wait for them and they belong together."""
    return with_later(found, 0) if at_once else with_later(reread(found), NEXT)


class Shape:
    """The shape of the pictures, which changes as when a phone is turned."""

    def __init__(self) -> None:
        self._last: tuple[int, ...] | None = None

    def changes(self, shape: tuple[int, ...]) -> bool:
        """Whether `shape` is another than the last one; the first is no change."""
        last, self._last = self._last, shape
        return last not in (None, shape)
