"""How many threads the libraries may use, where the program's own threads keep the cores busy."""

from __future__ import annotations

import os

MOST = 4  # on more, by the simulation of `bench --scaling`, a fit gains nothing that is seen


def count_cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def network_threads(cores: int | None = None) -> int:
    """How many threads the network may take while the person finder works on the next frame.

    Half of the cores, so that decoding and drawing have theirs too; one where there are two. cores : by default those
    of this process.
    """
    return min(MOST, max(1, (cores or count_cores()) // 2))


def limit_threads(count: int = 1) -> None:
    """Let PyTorch use `count` threads, and OpenCV one.

    On pictures of a crop's size a second OpenCV thread would wait for a core that another thread has.
    """
    import cv2
    import torch  # here, because it takes a second to import

    torch.set_num_threads(count)
    cv2.setNumThreads(1)


def leave_cores_free() -> None:
    """Let PyTorch use `network_threads`, or fewer where it has fewer already, as in a process of one thread."""
    import torch

    limit_threads(min(network_threads(), torch.get_num_threads()))
