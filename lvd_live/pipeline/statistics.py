"""Figures of a live run, over its last results."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

WINDOW = 90  # results that the statistics look back on


@dataclass(frozen=True)
class _Timing:
    done_ns: int
    latency_ns: int
    milliseconds: Mapping[str, float]


@dataclass
class Statistics:
    """Of the last WINDOW results."""

    results: deque[_Timing] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def add(self, captured_ns: int, done_ns: int, milliseconds: Mapping[str, float]) -> None:
        """A result: when its picture arrived, when it was done, both time.monotonic_ns(), and its time by stage."""
        self.results.append(_Timing(done_ns, done_ns - captured_ns, milliseconds))

    @property
    def fits_per_second(self) -> float:
        """0 until there are two results."""
        recent = list(self.results)
        span = recent[-1].done_ns - recent[0].done_ns if len(recent) > 1 else 0
        return (len(recent) - 1) * 1e9 / span if span > 0 else 0.0

    @property
    def latency_ms(self) -> float:
        """The median from capture to result."""
        return float(np.median([r.latency_ns for r in list(self.results)])) / 1e6 if self.results else 0.0

    @property
    def stages(self) -> dict[str, float]:
        """Mean milliseconds by stage."""
        recent = [r.milliseconds for r in list(self.results)]
        names = dict.fromkeys(name for milliseconds in recent for name in milliseconds)
        return {name: sum(m.get(name, 0.0) for m in recent) / len(recent) for name in names}
