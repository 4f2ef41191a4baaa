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
from lvd_live.threads import encodes_ahead

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
    busy: int = 0,
    seconds: float = 20.0,
    ahead: bool | None = None,
) -> np.ndarray:
    """See `pipeline.live`: the newest frame wins, person and encoder are just in time, one fit at a time; then drawing.

    costs : of the camera's frames, again and again. threads : of the network. busy : threads of other programs.
    ahead : whether the encoder has a thread of its own; by default as on so many cores.
    Returns (n, 2): of each mesh that was shown, when, and when its picture arrived, milliseconds.
    """
    machine, lead, own_lead, shown = Machine(cores), Lead(), Lead(), []
    slot = SimpleNamespace(captured=None, found=None, ready=None, fitted=None)  # each holds (cost, arrived)
    ahead = encodes_ahead(cores) if ahead is None else ahead

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

    def encode() -> Actor:
        while True:
            yield lambda: slot.found is not None
            (item, slot.found), began = (slot.found, None), machine.now
            yield from work(item[0].encode, threads)
            own_lead.found((machine.now - began) / 1000)
            slot.ready = item
            yield lambda: slot.ready is None
            yield Until(machine.now + 1000 * own_lead.wait_s)
            lead.fitted((machine.now - began) / 1000)

    def fit() -> Actor:
        while True:
            yield lambda: slot.ready is not None
            (item, slot.ready), began = (slot.ready, None), machine.now
            yield from work(item[0].fit, threads)
            slot.fitted = item
            own_lead.fitted((machine.now - began) / 1000)

    def encode_and_fit() -> Actor:
        while True:
            yield lambda: slot.found is not None
            (item, slot.found), began = (slot.found, None), machine.now
            yield from work(item[0].encode + item[0].fit, threads)
            slot.fitted = item
            lead.fitted((machine.now - began) / 1000)

    def draw() -> Actor:
        while True:
            yield lambda: slot.fitted is not None
            (cost, arrived), slot.fitted = slot.fitted, None
            yield Run(cost.draw)
            shown.append((machine.now, arrived))

    tracking = [encode(), fit()] if ahead else [encode_and_fit()]
    machine.run([camera(), find(), *tracking, draw(), *others(busy)], 1000 * seconds)
    return np.array(shown).reshape(-1, 2)


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
