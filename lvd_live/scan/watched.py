"""Progress of a registration, and stopping it from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lvd_live.errors import UserError

Progress = Callable[[float, str], None]
"""Called with the share that is done, 0..1 and never less than before, and a few words on what is done now."""


class Stopped(UserError):
    """A registration ended before its end, because it was told to."""

    def __init__(self) -> None:
        super().__init__("Stopped.", exit_code=130)


def watched(progress: Progress | None, stop: threading.Event | None) -> Progress:
    """A progress that raises `Stopped` once `stop` is set, and tells `progress` otherwise; either may be None."""

    def report(share: float, doing: str) -> None:
        if stop is not None and stop.is_set():
            raise Stopped
        if progress is not None:
            progress(share, doing)

    return report


def unwatched(share: float, doing: str) -> None:
    """A progress that nobody looks at."""


def part(report: Progress, start: float, end: float) -> Progress:
    """The progress of a part that takes `report` from `start` to `end`."""
    return lambda share, doing: report(start + share * (end - start), doing)
