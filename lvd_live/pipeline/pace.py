"""The pace at which a file is played."""

from __future__ import annotations

import time

LONGEST_GAP_S = 2.0  # between two frames of a file, however far apart their times are


class Pace:
    """When a file's frames are due: as far apart as their times; one that is late makes those behind it later, not
    faster."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._due: float | None = None

    def wait_s(self, timestamp_ns: int) -> float:
        """Seconds until a frame of this time is due, the frames asked for in turn."""
        now = time.monotonic()
        gap = 0.0 if self._last_ns is None else min(max(timestamp_ns - self._last_ns, 0) / 1e9, LONGEST_GAP_S)
        self._due = now if self._due is None else max(self._due + gap, now)
        self._last_ns = timestamp_ns
        return self._due - now
