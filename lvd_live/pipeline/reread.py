"""Of files: the first frames of a person whose sides were read wrong are put right once the next ones show it.

Nothing but the frame itself says of a first frame which side is the left, and a finder that is wrong about it is found
out within some frames (`person.exchange`). Where they can wait for each other, none of them stays wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from lvd_live.person.sides import exchanged, without_depth
from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame

HELD = 6  # frames: wrong first readings of real clips were corrected within four
LARGEST = 50 << 20  # bytes of a picture: larger ones do not wait

Found = tuple[Frame, Person | None]


def reread(found: Iterable[Found]) -> Iterator[Found]:
    """The same frames and people, in order, but the first HELD frames of a person wait for each other.

    Where one of them corrects the reading (`Person.corrected`), those before it are exchanged, and it is no new start.
    What `found` raises is raised after the frames before it.
    """
    held: list[tuple[Frame, Person]] = []
    try:
        for frame, person in found:
            starts = person is not None and person.is_new and not person.corrected
            if person is None or starts or frame.picture.nbytes > LARGEST:
                yield from _taken(held)
            if person is None or not (starts or held) or frame.picture.nbytes > LARGEST:
                yield frame, person
                continue
            if person.corrected:
                held = [(before, _put_right(wrong, person.doubt)) for before, wrong in held]
                person = replace(person, is_new=False)
            held.append((frame, person))
            if len(held) == HELD:
                yield from _taken(held)
    except (Exception, KeyboardInterrupt):
        yield from _taken(held)
        raise
    yield from _taken(held)


def _taken(held: list[tuple[Frame, Person]]) -> Iterator[Found]:
    while held:
        yield held.pop(0)


def _put_right(person: Person, doubt: float) -> Person:
    """Somebody whose sides were read wrong: the hands were looked for at the wrong arms."""
    hands = None if person.hands is None else (None, None)
    return replace(without_depth(exchanged(person)), doubt=doubt, hands=hands)
