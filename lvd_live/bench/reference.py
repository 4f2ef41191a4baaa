"""What others would take: the paper's network as its formula says, and as the published demo runs it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import numpy as np
import torch

from lvd_live.body.smpl_file import read_arrays
from lvd_live.lvd.features import CropFeatures
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import PRESETS
from lvd_live.paths import MODELS

ITERATIONS = 5  # of the published demo
HALF_CROP_MM = 1024  # as published: a body of 1.72 m is 1.68 half crops tall
RANDOM = 0.1  # of what an untrained head says


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
    """Runs in a process of its own: nothing set for our runtime, such as how memory is kept, helps or hurts it.

    kept : with our memory setting all the same.
    """

    def __init__(self, device: str, threads: int, kept: bool = False):
        self.pool = ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), initializer=_start, initargs=(threads, kept)
        )
        self.device = device

    def __call__(self, plain: bool = True) -> dict[str, float]:
        """Milliseconds: `demo_loop_ms`, the backbone and 5 diagonal iterations; `plain_ms`, the backbone and 5 times an
        iteration with its N × N × 3 output."""
        return self.pool.submit(_measure, self.device, plain).result()

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *exception) -> None:
        self.pool.shutdown()


def _start(threads: int, kept: bool) -> None:
    torch.set_num_threads(threads)
    if kept:
        from lvd_live.lvd.runtime.runtime import keep_memory

        keep_memory()


@torch.no_grad()
def paper_network() -> LVD:
    """The paper's network with random weights, but for what descent needs to arrive.

    Each hidden layer passes the point on as ReLU(p) and ReLU(−p), and the head subtracts it from the vertex's place on
    the template. Vertices then go where a body is and stay there, as a trained network's do: what they look at, and so
    what it costs, is what it would be. The rest of the head, made small, is random.
    """
    torch.manual_seed(0)
    network = LVD(PRESETS["paper"]).eval()
    template = read_arrays(MODELS / "body" / "lvd_body.npz", ("v_template",))["v_template"].astype(np.float32)
    place = torch.from_numpy(1000 / HALF_CROP_MM * (template - template.mean(0)))
    field, both = network.field, torch.cat([torch.eye(3), -torch.eye(3)])
    for layer, passed in ((field.layer1, both), (field.layer2, torch.eye(6))):
        weight = layer.weight.clone()
        weight[:6], layer.bias[:6] = 0, 0
        weight[:6, : passed.shape[1]] = passed
        layer.weight = weight
    weight = RANDOM * field.head.weight.unflatten(0, (-1, 3))
    weight[..., :6] = -both.T
    field.head.weight, field.head.bias[:] = weight.flatten(0, 1), place.flatten() + RANDOM * field.head.bias
    return network


@cache
def _network(device: str) -> LVD:
    return paper_network().to(device)


@torch.inference_mode()
def _measure(device: str, plain: bool) -> dict[str, float]:
    network = _network(device)
    field, N = network.field, network.field.vertices
    picture, start = torch.zeros(1, 4, 256, 256, device=device), torch.zeros(1, N, 3, device=device)
    seen: list[CropFeatures] = []
    encode = timed(lambda: seen.append(network.encode(picture)), device)

    def loop() -> None:
        v = start
        for _ in range(ITERATIONS):
            v = v + field.diagonal(v, seen[0])

    def formula() -> None:
        field(start, seen[0], torch.arange(N, device=device)).diagonal(dim1=1, dim2=2)

    out = {"demo_loop_ms": encode + timed(loop, device)}
    return out | ({"plain_ms": encode + ITERATIONS * timed(formula, device)} if plain else {})
