"""How many threads the libraries may use, where the program's own threads keep the cores busy; and two at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
MOST = 4  # a guess: more than two cores were never at hand


def network_threads() -> int:
    """How many threads the network may take while the person finder works on the next frame.

    Half of the processor's, so that decoding and drawing have theirs too; one where there are two cores.
    """
    return min(MOST, max(1, (os.cpu_count() or 1) // 2))


def limit_threads(count: int = 1) -> None:
    """Let PyTorch use `count` threads, and OpenCV one.

    On pictures of a crop's size a second OpenCV thread would wait for a core that another thread has.
    """
    import cv2
    import torch  # here, because it takes a second to import

    torch.set_num_threads(count)
    cv2.setNumThreads(1)


def both(one: Callable[[], A], other: Callable[[], B]) -> tuple[A, B]:
    """What two functions return that are called at the same time; `other` in the caller's thread.

    What they import should be imported before: two threads can wait for each other's modules.
    """
    with ThreadPoolExecutor(1) as beside:
        first = beside.submit(one)
        second = other()
    return first.result(), second
