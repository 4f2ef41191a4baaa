"""Giving memory back to the system, where the C library keeps it."""

from __future__ import annotations

import contextlib
import ctypes
import sys


def release() -> None:
    """Give back what was freed: loading networks leaves some 90 MB behind. Of C libraries, glibc can be asked to."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
