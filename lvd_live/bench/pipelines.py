"""The live and the file pipeline as actors of a simulation, with what their stages cost."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from lvd_live.bench.simulation import Actor, Machine, Run, Step, Until
from lvd_live.pipeline.lead import Lead
from lvd_live.pipeline.prefetch import AHEAD

Stages = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Cost:
    """What a frame takes on one thread, milliseconds. encode, fit : of each stage, and the share that more threads
    divide."""

    decode: float
    person: float
    encode: Stages
    fit: Stages
    draw: float


def work(stages: Stages, threads: int) -> Actor:
    """By Amdahl's law."""
    for ms, share in stages:
        yield Run(ms * (1 - share))
        yield Run(ms * share / threads, threads)


def live(
    costs: Sequence[Cost],
    *,
    cores: int,
    threads: int,
    fps: float,
    ahead: bool,
    busy: int = 0,
    seconds: float = 20.0,
) -> np.ndarray:
    """See `pipeline.live`: the newest frame wins, person and encoder are just in time, one fit at a time; then drawing.

    costs : of the camera's frames, again and again. threads : of the network. busy : threads of other programs.
    ahead : whether the encoder has a thread of its own. Returns (n, 2): of each mesh that was shown, when, and when its
    picture arrived, milliseconds.
    """
    p = _Live(Machine(cores), threads, ahead)
    actors = [p.camera(costs, fps), p.find(), *[p.encode()] * ahead, p.fit(), p.draw(), *others(busy)]
    p.machine.run(actors, 1000 * seconds)
    return np.array(p.shown).reshape(-1, 2)


class _Live:
    """The actors. slot : each holds a frame's (cost, arrival) or None."""

    def __init__(self, machine: Machine, threads: int, ahead: bool):
        self.machine, self.threads, self.ahead = machine, threads, ahead
        self.slot = SimpleNamespace(captured=None, found=None, ready=None, fitted=None)
        self.lead, self.encoder_lead = Lead(), Lead()
        self.shown: list[tuple[float, float]] = []

    def taken(self, name: str) -> Generator[Step, None, tuple[Cost, float]]:
        """What is in a slot, once there is something."""
        yield lambda: getattr(self.slot, name) is not None
        item = getattr(self.slot, name)
        setattr(self.slot, name, None)
        return item

    def since_s(self, began: float) -> float:
        return (self.machine.now - began) / 1000

    def camera(self, costs: Sequence[Cost], fps: float) -> Actor:
        for i, cost in enumerate(itertools.cycle(costs)):
            yield Until(1000 * i / fps)
            arrived = self.machine.now
            yield Run(cost.decode)
            self.slot.captured = cost, arrived

    def find(self) -> Actor:
        while True:
            yield lambda: self.slot.found is None
            yield Until(self.machine.now + 1000 * self.lead.wait_s)
            item = yield from self.taken("captured")
            began = self.machine.now
            yield Run(item[0].person)
            self.lead.found(self.since_s(began))
            self.slot.found = item

    def encode(self) -> Actor:
        while True:
            item = yield from self.taken("found")
            began = self.machine.now
            yield from work(item[0].encode, self.threads)
            self.encoder_lead.found(self.since_s(began))
            self.slot.ready = item
            yield lambda: self.slot.ready is None
            yield Until(self.machine.now + 1000 * self.encoder_lead.wait_s)
            self.lead.fitted(self.since_s(began))

    def fit(self) -> Actor:
        while True:
            cost, arrived = yield from self.taken("ready" if self.ahead else "found")
            began = self.machine.now
            yield from work(cost.fit if self.ahead else cost.encode + cost.fit, self.threads)
            self.slot.fitted = cost, arrived
            (self.encoder_lead if self.ahead else self.lead).fitted(self.since_s(began))

    def draw(self) -> Actor:
        while True:
            cost, arrived = yield from self.taken("fitted")
            yield Run(cost.draw)
            self.shown.append((self.machine.now, arrived))


def file(costs: Sequence[Cost], *, cores: int, threads: int, busy: int = 0) -> float:
    """See `pipeline.encoding`: decoding and person AHEAD of the encoder, it AHEAD of the fit. Milliseconds in all,
    nothing drawn."""
    machine, found, ready, ended = Machine(cores), list[Cost](), list[Cost](), list[float]()

    def read() -> Actor:
        for cost in costs:
            yield Run(cost.decode + cost.person)
            yield lambda: len(found) < AHEAD
            found.append(cost)

    def encode() -> Actor:
        for _ in costs:
            yield lambda: bool(found)
            cost = found.pop(0)
            yield from work(cost.encode, threads)
            yield lambda: len(ready) < AHEAD
            ready.append(cost)

    def fit() -> Actor:
        for _ in costs:
            yield lambda: bool(ready)
            yield from work(ready.pop(0).fit, threads)
            ended.append(machine.now)

    machine.run([read(), encode(), fit(), *others(busy)], float("inf"))
    return ended[-1]


def others(count: int) -> list[Actor]:
    """Programs that never rest."""
    return [iter([Run(float("inf"))]) for _ in range(count)]
