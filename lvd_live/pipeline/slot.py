"""Room for one item between two threads."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Slot(Generic[T]):
    """Holds one item. newest : `put` replaces an item that was not taken, and counts it in `dropped`; else it waits."""

    def __init__(self, newest: bool):
        self.newest, self.dropped = newest, 0
        self._item: T | None = None
        self._closed = False
        self._news = threading.Condition()

    def put(self, item: T | None) -> bool:
        """False where the slot is closed."""
        with self._news:
            if not self.newest:
                self._news.wait_for(lambda: self._item is None or self._closed)
            self.dropped += self._item is not None and not self._closed
            self._item = item
            self._news.notify_all()
            return not self._closed

    def take(self, timeout_s: float | None = None) -> T | None:
        """The item, or None: closed and empty, or nothing came in time."""
        with self._news:
            self._news.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            self._news.notify_all()
            return item

    def wait_free(self) -> None:
        """Wait until there is room, or the slot is closed."""
        with self._news:
            self._news.wait_for(lambda: self._item is None or self._closed)

    def close(self) -> None:
        """Wake all that wait; nothing more is put in."""
        with self._news:
            self._closed = True
            self._news.notify_all()
