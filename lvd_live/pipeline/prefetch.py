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


class End(threading.Event):
    """Once set, no further frame is read of a source; a live one is closed, so that nobody waits for its next."""

    def __init__(self, source: Source):
        super().__init__()
        self._source = source

    def set(self) -> None:
        """See `threading.Event`."""
        super().set()
        if self._source.live:
            self._source.close()


def prefetch(source: Source, find: Find, end: End | None = None) -> Generator[tuple[Frame, Person | None], None, None]:
    """(frame, find(frame)) in order, until `end` is set.

    The source is read in a thread of its own, AHEAD frames at most, fewer of large ones; of a live one the next frame
    is asked for when the caller has taken the last. What `source` or `find` raises is raised here, after the frames
    before it.
    """
    end = end or End(source)
    yield from ahead(
        _found(source, find, end),
        one_by_one=lambda found: source.live or found[0].picture.nbytes > _LARGE,
        finish=end.set,
    )


def _found(source: Source, find: Find, end: threading.Event) -> Iterator[tuple[Frame, Person | None]]:
    for frame in source:
        if end.is_set():
            return
        yield frame, find(frame)
        if frame.picture.nbytes > _LARGE:
            release()


def ahead(
    items: Iterable[T],
    *,
    one_by_one: Callable[[T], bool] = lambda _: False,
    finish: Callable[[], object] = lambda: None,
) -> Generator[T, None, None]:
    """The same items, made in a thread of their own, AHEAD of them at most before they are taken.

    one_by_one : the next one is not made before this one is taken. finish : lets `items` end soon. What these raise is
    raised after those before it. Closed early, it waits for the one that is being made; then `items` are closed, too.
    Ctrl-C, but not a second one, is raised after those that come before `items` end.
    """
    leave_cores_free()
    release()
    ready: queue.Queue[list[T] | BaseException | None] = queue.Queue(AHEAD)  # each item alone in a list
    stopped = threading.Event()
    thread = threading.Thread(target=_make, args=(items, one_by_one, ready, stopped), name="prefetch", daemon=True)
    thread.start()
    interrupt: KeyboardInterrupt | None = None
    try:
        while True:
            try:
                item = ready.get()
            except KeyboardInterrupt as error:
                if interrupt is not None:
                    raise
                interrupt = error
                finish()
                continue
            if item is None:
                break
            if isinstance(item, BaseException):
                raise item
            yield item.pop()  # nothing here holds it any longer
        if interrupt is not None:
            raise interrupt
    finally:
        stopped.set()
        finish()
        thread.join()


def _make(
    items: Iterable[T],
    one_by_one: Callable[[T], bool],
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
            waits = one_by_one(item)
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
