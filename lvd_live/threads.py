"""How many threads the libraries may use, where the program's own threads keep the cores busy; and two at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
ENOUGH = 4  # cores for a thread each that finds, encodes, fits and draws
MOST = 4  # on more, by the simulation of `bench --scaling`, a fit gains nothing that is seen


def count_cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def encodes_ahead(cores: int | None = None) -> bool:
    """Whether a camera's next frame is to be encoded while one is fitted. cores : by default those of this process."""
    return (cores or count_cores()) >= ENOUGH


def network_threads(cores: int | None = None) -> int:
    """How many threads the network may take, the encoder and the descent each, while the finder works on another frame.

    Half of the cores: on four and more, where encoder and descent work at the same time, neither always does, and by
    the simulation fewer make a frame later. cores : by default those of this process.
    """
    return min(MOST, max(1, (cores or count_cores()) // 2))


def limit_threads(count: int = 1) -> None:
    """Let PyTorch use `count` threads, OpenCV and NumPy's BLAS one.

    On a frame's small arrays their further threads would wait for cores that other threads have.
    """
    import cv2
    import torch  # here, because it takes a second to import
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(count)
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")


def both(one: Callable[[], A], other: Callable[[], B]) -> tuple[A, B]:
    """What two functions return that are called at the same time; `other` in the caller's thread.

    Both may import: no module of ours imports itself in a circle, so neither waits for the other's for ever.
    """
    with ThreadPoolExecutor(1) as beside:
        first = beside.submit(one)
        second = other()
    return first.result(), second


@contextlib.contextmanager
def same_threads_after() -> Iterator[None]:
    """Whatever this block sets of threads is as before once it ends."""
    import cv2
    import torch
    from threadpoolctl import threadpool_limits

    of_torch, of_opencv = torch.get_num_threads(), cv2.getNumThreads()
    with threadpool_limits(user_api="blas"):
        try:
            yield
        finally:
            torch.set_num_threads(of_torch)
            cv2.setNumThreads(of_opencv)


def leave_cores_free() -> None:
    """Let PyTorch use `network_threads`, or fewer where it has fewer already, as in a process of one thread."""
    import torch

    limit_threads(min(network_threads(), torch.get_num_threads()))
