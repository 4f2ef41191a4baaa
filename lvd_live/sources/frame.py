"""One picture and when it was taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Frame:
    """picture (H, W, 3) uint8 RGB; index counts the source's pictures from 0; timestamp_ns as its source says; name of the file."""

    picture: np.ndarray
    index: int
    timestamp_ns: int
    name: str = ""


class Source(Protocol):
    """What every source offers: `with source: for frame in source: ...`."""

    def __enter__(self) -> Source: ...

    def __exit__(self, *exception) -> None: ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Give the file or the device back; the iteration ends."""
