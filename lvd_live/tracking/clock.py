"""The time that each stage of a frame takes."""

from __future__ import annotations

import time
from collections.abc import Mapping


class Clock:
    """Milliseconds since the last lap, by the lap's name. before : of stages that are over."""

    def __init__(self, before: Mapping[str, float] | None = None) -> None:
        self.milliseconds = dict(before or {})
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.milliseconds[name] = 1000 * (now - self._last)
        self._last = now
