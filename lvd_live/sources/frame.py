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
    """What every source offers: `with source: for frame in source: ...`.

    live : a camera, whose frames come by themselves and are lost where nobody takes them; a file's wait.
    fps : frames per second, None: not known. frame_count : how many are expected, None: not known.
    dropped : frames that arrived and were not taken. skipped : pictures that could not be read.
    damaged : the sentence that says what of a file could not be read, or None.
    state : "running", or of a camera "stalled", "frozen", "reconnecting".
    """

    live: bool
    damaged: str | None
    dropped: int
    skipped: int

    @property
    def fps(self) -> float | None: ...

    @property
    def frame_count(self) -> int | None: ...

    @property
    def state(self) -> str: ...

    def __enter__(self) -> Source: ...

    def __exit__(self, *exception: object) -> None: ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Give the file or the device back; the iteration ends."""
