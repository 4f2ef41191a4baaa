"""Decode and look ahead: while one frame of a file is fitted, the person is found in the next."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator

from lvd_live.memory import release
from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame, Source
from lvd_live.threads import leave_cores_free

AHEAD = 2  # frames
_LARGE = 50 << 20  # bytes of a picture: the next one is decoded once a larger one has been taken

Find = Callable[[Frame], Person | None]


def prefetch(source: Source, find: Find) -> Generator[tuple[Frame, Person | None], None, None]:
    """(frame, find(frame)) in order.

    A file is read in a thread of its own, AHEAD frames at most, fewer of large ones; a live source is asked when the
    caller is ready. What `source` or `find` raises is raised here, after the frames before it.
    """
    if source.live:
        yield from ((frame, find(frame)) for frame in source)
        return
    leave_cores_free()
    release()
    ready: queue.Queue[tuple[Frame, Person | None] | BaseException | None] = queue.Queue(AHEAD)
    stopped = threading.Event()
    thread = threading.Thread(target=_read, args=(source, find, ready, stopped), name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def _read(source: Source, find: Find, ready: queue.Queue, stopped: threading.Event) -> None:
    def put(item: object) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return True
        return False

    try:
        for frame in source:
            if not put((frame, find(frame))):
                return
            if frame.picture.nbytes > _LARGE:
                release()
                while not ready.empty() and not stopped.wait(0.005):
                    pass
        put(None)
    except BaseException as error:  # also Ctrl-C's: the caller handles them all
        put(error)
