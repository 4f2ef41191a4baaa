"""A picture with its time, and what a source of them offers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    picture : (H, W, 3) uint8 RGB.
    index : counts the source's pictures from 0.
    timestamp_ns : nanoseconds, from the origin that the source states.
    name : of the file.
    corrupt : the decoder says that the picture is damaged.
    new_shot : a hard cut lies before it: what is known of the person cannot be carried across.
    fov_degrees : the field of view across the longer side that the file states, or None.
    """

    picture: np.ndarray
    index: int
    timestamp_ns: int
    name: str = ""
    corrupt: bool = False
    new_shot: bool = False
    fov_degrees: float | None = None


class Source(Protocol):
    """What every source offers: `with source: for frame in source: ...`.

    live : True for a camera, whose frames are lost where nobody takes them in time; those of files wait.
    fps : frames per second, None where it is unknown.
    frame_count : how many frames or files are expected, None where it is unknown: always for a camera.
    dropped : frames so far that arrived and were not taken; 0 for files.
    skipped : pictures so far that could not be read; 0 but for a folder of pictures.
    damaged : after iterating over a video that is cut or broken, a sentence that says so; else None.
    state : "running"; of a camera also "frozen", "stalled", "reconnecting" or "closed".
    """

    live: bool
    dropped: int
    skipped: int
    damaged: str | None

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
