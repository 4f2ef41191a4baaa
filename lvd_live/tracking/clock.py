"""The time that each stage of a frame takes."""

from __future__ import annotations

import time


class Clock:
    """Milliseconds since the last lap, by the lap's name."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.milliseconds[name] = 1000 * (now - self._last)
        self._last = now
