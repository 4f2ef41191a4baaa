"""Threads inside libraries, where the program's own keep the cores busy."""

from __future__ import annotations


def keep_to(count: int = 1) -> None:
    """Let PyTorch and OpenCV work with so many threads. One where person and fit overlap: a library's second thread would wait for a core that the other has."""
    import cv2
    import torch  # here, because it takes a second to import

    torch.set_num_threads(count)
    cv2.setNumThreads(count)
