"""How an AVIF picture is turned and mirrored before it is shown, which OpenCV leaves out."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

_BRANDS = (b"avif", b"avis")
_HEAD = 40  # bytes: the first brands that a file says it can be read as
_META = 1 << 16  # bytes at the beginning that are looked through


def is_avif(data: np.ndarray) -> bool:
    """Whether a file's bytes, uint8, are an AVIF picture, whatever it is called."""
    head = data[:_HEAD].tobytes()
    return head[4:8] == b"ftyp" and any(brand in head[8:] for brand in _BRANDS)


def bits(data: np.ndarray) -> int:
    """Bits of a channel in an AVIF file's bytes: 8, 10 or 12."""
    stated = _properties(data).get(b"pixi", b"")[5:6]
    return stated[0] if stated and 8 <= stated[0] <= 16 else 8


def shown(picture: np.ndarray, data: np.ndarray) -> np.ndarray:
    """A picture (H, W, C) decoded from an AVIF file's bytes, turned and mirrored as its `irot` and `imir` boxes say."""
    properties = _properties(data)
    if turn := properties.get(b"irot", b"")[:1]:
        picture = np.rot90(picture, turn[0] & 3)
    if mirror := properties.get(b"imir", b"")[:1]:
        picture = picture[:, ::-1] if mirror[0] & 1 else picture[::-1]
    return np.ascontiguousarray(picture)


def _properties(data: np.ndarray) -> dict[bytes, bytes]:
    """The first item property of each kind, by its box's name."""
    meta = next((content for name, content in _boxes(data[:_META].tobytes()) if name == b"meta"), b"")
    found: dict[bytes, bytes] = {}
    for name, content in _within(meta[4:], b"iprp", b"ipco"):  # 4 bytes: its version and flags
        found.setdefault(name, content)
    return found


def _within(data: bytes, *path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes inside the first box of each name in turn."""
    for wanted in path:
        data = next((content for name, content in _boxes(data) if name == wanted), b"")
    return _boxes(data)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the boxes that follow each other; the last one may be cut."""
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield name, data[at + 8 : at + size]
        at += size
