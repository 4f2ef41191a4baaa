"""Of files: frames that wait for the next ones. A person's first ones are put right where their sides were read wrong,
and each is lifted with what the next ones say.

Nothing but the frame itself says of a first frame which side is the left, and a finder that is wrong about it is found
out within some frames (`person.exchange`). Where they can wait for each other, none of them stays wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from lvd_live.person.sides import exchanged, without_depth
from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame

HELD = 6  # frames: wrong first readings of real clips were corrected within four
LARGEST = 50 << 20  # bytes of a picture: larger ones do not wait

Found = tuple[Frame, Person | None]
Later = tuple[tuple[Frame, Person], ...]


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


def with_later(found: Iterable[Found], count: int) -> Iterator[tuple[Frame, Person | None, Later]]:
    """The same, each with up to `count` of the frames that follow it and show the same person.

    Large pictures do not wait. What `found` raises is raised after the frames before it.
    """
    waiting: deque[Found] = deque()

    def taken(left: int) -> Iterator[tuple[Frame, Person | None, Later]]:
        while len(waiting) > left:
            frame, person = waiting.popleft()
            yield frame, person, () if person is None else tuple(_same(waiting))

    try:
        for one in found:
            if one[0].picture.nbytes > LARGEST:
                yield from taken(0)
            waiting.append(one)
            yield from taken(0 if one[0].picture.nbytes > LARGEST else count)
    except (Exception, KeyboardInterrupt):
        yield from taken(0)
        raise
    yield from taken(0)


def _same(following: Iterable[Found]) -> Iterator[tuple[Frame, Person]]:
    for frame, person in following:
        if person is None or person.is_new or frame.new_shot:
            return
        yield frame, person


def _taken(held: list[tuple[Frame, Person]]) -> Iterator[Found]:
    while held:
        yield held.pop(0)


def _put_right(person: Person, doubt: float) -> Person:
    """Somebody whose sides were read wrong: the hands were looked for at the wrong arms."""
    hands = None if person.hands is None else (None, None)
    return replace(without_depth(exchanged(person)), doubt=doubt, hands=hands)
