"""What others would take: the paper's network (random weights: time does not depend on them) as its formula says, and as the published demo runs it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import torch

from lvd_live.lvd.field import Seen
from lvd_live.lvd.network import LVD, PRESETS

ITERATIONS = 5  # of the published demo


def timed(call: Callable[[], object], device: str = "cpu") -> float:
    """Milliseconds that a call takes, with all that it left on the device to do."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - began)


class Reference:
    """Runs in a process of its own, so that nothing set for our own runtime, such as how memory is kept, helps or hurts it. kept: with our memory setting all the same."""

    def __init__(self, device: str, threads: int, kept: bool = False):
        self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_start, initargs=(threads, kept))
        self.device = device

    def __call__(self, plain: bool = True) -> dict[str, float]:
        """Milliseconds: `demo_loop_ms`, the backbone and 5 diagonal iterations; `plain_ms`, the backbone and 5 times one measured iteration with its N × N × 3 output."""
        return self.pool.submit(_measure, self.device, plain).result()

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *exception) -> None:
        self.pool.shutdown()


def _start(threads: int, kept: bool) -> None:
    torch.set_num_threads(threads)
    if kept:
        from lvd_live.lvd.runtime import keep_memory

        keep_memory()


@cache
def _network(device: str) -> LVD:
    torch.manual_seed(0)
    return LVD(PRESETS["paper"]).eval().to(device)


@torch.inference_mode()
def _measure(device: str, plain: bool) -> dict[str, float]:
    network = _network(device)
    field, N = network.field, network.field.vertices
    picture, start = torch.zeros(1, 4, 256, 256, device=device), torch.zeros(1, N, 3, device=device)
    seen: list[Seen] = []
    see = timed(lambda: seen.append(network.see(picture)), device)

    def loop() -> None:
        v = start
        for _ in range(ITERATIONS):
            v = v + field.diagonal(v, seen[0])

    def formula() -> None:
        field(start, seen[0], torch.arange(N, device=device)).diagonal(dim1=1, dim2=2)

    out = {"demo_loop_ms": see + timed(loop, device)}
    return out | ({"plain_ms": see + ITERATIONS * timed(formula, device)} if plain else {})
