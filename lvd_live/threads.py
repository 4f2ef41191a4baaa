"""How many threads the libraries may use, where the program's own threads keep the cores busy."""

from __future__ import annotations

import os

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
