"""A discrete-event simulation of threads on any number of cores: actors that work, sleep and wait for each other.

Cores are shared fairly: where more threads want to run than there are cores, all run equally slower. Left out: Python's
lock, caches and memory shared between cores, what switching costs, other programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """So many threads work for `ms` milliseconds, longer where there are too few cores."""

    ms: float
    threads: int = 1


@dataclass(frozen=True)
class Until:
    """Sleep until the clock, milliseconds, says `time`."""

    time: float


Step = Run | Until | Callable[[], bool]  # the last waits until it is true
Actor = Iterator[Step]


class Machine:
    """Runs actors on `cores`; now : its clock, milliseconds."""

    def __init__(self, cores: int):
        self.cores, self.now = cores, 0.0

    def run(self, actors: Sequence[Actor], end_ms: float) -> None:
        """Until the clock says `end_ms`, or nobody has anything left to do."""
        doing: dict[Actor, Step] = {}
        left: dict[Actor, float] = {}  # of those that run, milliseconds
        done = list(actors)
        while self.now < end_ms:
            while done:
                for actor in done:
                    if (step := next(actor, None)) is None:
                        doing.pop(actor, None)
                    else:
                        doing[actor], left[actor] = step, step.ms if isinstance(step, Run) else 0.0
                done = [actor for actor, step in doing.items() if self._is_done(step, left[actor])]
            running = {actor: step.threads for actor, step in doing.items() if isinstance(step, Run)}
            speed = min(1.0, self.cores / max(1, sum(running.values())))
            events = [left[actor] / speed for actor in running]
            events += [step.time - self.now for step in doing.values() if isinstance(step, Until)]
            if not events:
                return
            self.now += (passed := min([*events, end_ms - self.now]))
            for actor in running:
                left[actor] -= passed * speed
            done = [actor for actor, step in doing.items() if self._is_done(step, left[actor])]

    def _is_done(self, step: Step, left_ms: float) -> bool:
        if isinstance(step, Run):
            return left_ms < 1e-9
        return self.now > step.time - 1e-9 if isinstance(step, Until) else step()
