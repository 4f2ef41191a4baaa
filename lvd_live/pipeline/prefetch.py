"""Work ahead: while a frame of a file is fitted, the next is encoded, and the person found in those after it."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from lvd_live.memory import release
from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame, Source
from lvd_live.threads import leave_cores_free

AHEAD = 2  # frames
_LARGE = 50 << 20  # bytes of a picture: the next one is decoded once a larger one has been taken

Find = Callable[[Frame], Person | None]
T = TypeVar("T")


def prefetch(source: Source, find: Find) -> Generator[tuple[Frame, Person | None], None, None]:
    """(frame, find(frame)) in order.

    A file is read in a thread of its own, AHEAD frames at most, fewer of large ones; a live source is asked when the
    caller is ready. What `source` or `find` raises is raised here, after the frames before it.
    """
    if source.live:
        yield from ((frame, find(frame)) for frame in source)
        return
    yield from ahead(_found(source, find), is_large=lambda found: found[0].picture.nbytes > _LARGE)


def _found(source: Source, find: Find) -> Iterator[tuple[Frame, Person | None]]:
    for frame in source:
        yield frame, find(frame)
        if frame.picture.nbytes > _LARGE:
            release()


def ahead(items: Iterable[T], *, is_large: Callable[[T], bool] = lambda _: False) -> Generator[T, None, None]:
    """The same items, made in a thread of their own, AHEAD of them at most before they are taken.

    is_large : the next one is not made before this one is taken. What `items` raises is raised after those before it.
    Closed early, it waits for the one that is being made; then `items` are closed, too.
    """
    leave_cores_free()
    release()
    ready: queue.Queue[list[T] | BaseException | None] = queue.Queue(AHEAD)  # each item alone in a list
    stopped = threading.Event()
    thread = threading.Thread(target=_make, args=(items, is_large, ready, stopped), name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item.pop()  # nothing here holds it any longer
    finally:
        stopped.set()
        thread.join()


def _make(
    items: Iterable[T],
    is_large: Callable[[T], bool],
    ready: queue.Queue[list[T] | BaseException | None],
    stopped: threading.Event,
) -> None:
    def put(item: list[T] | BaseException | None) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return True
        return False

    made = iter(items)
    try:
        for item in made:
            waits = is_large(item)
            if not put([item]):
                return
            del item
            while waits and not ready.empty() and not stopped.wait(0.005):
                pass
        put(None)
    except BaseException as error:  # also Ctrl-C's: the caller handles them all
        put(error)
    finally:
        if isinstance(made, Generator):
            made.close()
