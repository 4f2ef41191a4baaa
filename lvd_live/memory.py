"""Giving memory back to the system, where the C library keeps it; and loading without looking for garbage."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator


def release() -> None:
    """Give back what was freed: loading networks leaves some 90 MB behind. Of C libraries, glibc can be asked to."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Python does not look for cyclic garbage inside this block.

    PyTorch's import makes 150,000 objects that stay; to go through them again and again takes a tenth of a start.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
