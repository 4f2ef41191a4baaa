"""The live and the file pipeline as actors of a simulation, with what their stages cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from lvd_live.bench.simulation import Actor, Machine, Run, Until
from lvd_live.pipeline.lead import Lead
from lvd_live.pipeline.prefetch import AHEAD


@dataclass(frozen=True)
class Cost:
    """What a frame takes on one thread, milliseconds. fit : of each stage, and the share that more threads divide."""

    decode: float
    person: float
    fit: tuple[tuple[float, float], ...]
    draw: float

    def fitting(self, threads: int) -> Actor:
        """By Amdahl's law."""
        for ms, share in self.fit:
            yield Run(ms * (1 - share))
            yield Run(ms * share / threads, threads)


def live(
    costs: Sequence[Cost], *, cores: int, threads: int, fps: float, busy: int = 0, seconds: float = 20.0
) -> np.ndarray:
    """See `pipeline.live`: the newest frame wins, the person is found just in time, one fit at a time; then drawing.

    costs : of the camera's frames, again and again. threads : of the network. busy : threads of other programs.
    Returns (n, 2): of each mesh that was shown, when, and when its picture arrived, milliseconds.
    """
    machine, lead, shown = Machine(cores), Lead(), []
    slot = SimpleNamespace(captured=None, found=None, fitted=None)  # each holds (cost, arrived)

    def camera() -> Actor:
        for i, cost in enumerate(itertools.cycle(costs)):
            yield Until(1000 * i / fps)
            arrived = machine.now
            yield Run(cost.decode)
            slot.captured = cost, arrived

    def find() -> Actor:
        while True:
            yield lambda: slot.found is None
            yield Until(machine.now + 1000 * lead.wait_s)
            yield lambda: slot.captured is not None
            (item, slot.captured), began = (slot.captured, None), machine.now
            yield Run(item[0].person)
            lead.found((machine.now - began) / 1000)
            slot.found = item

    def fit() -> Actor:
        while True:
            yield lambda: slot.found is not None
            (item, slot.found), began = (slot.found, None), machine.now
            yield from item[0].fitting(threads)
            slot.fitted = item
            lead.fitted((machine.now - began) / 1000)

    def draw() -> Actor:
        while True:
            yield lambda: slot.fitted is not None
            (cost, arrived), slot.fitted = slot.fitted, None
            yield Run(cost.draw)
            shown.append((machine.now, arrived))

    machine.run([camera(), find(), fit(), draw(), *others(busy)], 1000 * seconds)
    return np.array(shown).reshape(-1, 2)


def file(costs: Sequence[Cost], *, cores: int, threads: int, busy: int = 0) -> float:
    """See `pipeline.prefetch`: decoding and person AHEAD of the fit. Milliseconds for all frames, nothing drawn."""
    machine, ready, ended = Machine(cores), list[Cost](), list[float]()

    def read() -> Actor:
        for cost in costs:
            yield Run(cost.decode + cost.person)
            yield lambda: len(ready) < AHEAD
            ready.append(cost)

    def fit() -> Actor:
        for _ in costs:
            yield lambda: bool(ready)
            yield from ready.pop(0).fitting(threads)
            ended.append(machine.now)

    machine.run([read(), fit(), *others(busy)], float("inf"))
    return ended[-1]


def others(count: int) -> list[Actor]:
    """Programs that never rest."""
    return [iter([Run(float("inf"))]) for _ in range(count)]
