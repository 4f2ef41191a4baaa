"""Open Sound Control 1.0: messages of numbers and texts, gathered in bundles that fit into UDP packets."""

from __future__ import annotations

import struct
from collections.abc import Iterable

PACKET = 1400  # bytes: larger packets are split on their way through most networks
_HEAD = b"#bundle\0" + struct.pack(">Q", 1)  # time tag 1: at once


def message(address: str, *values: int | float | str) -> bytes:
    """An OSC message of 32-bit integers, 32-bit floats and texts."""
    tags, data = ",", b""
    for value in values:
        if isinstance(value, str):
            tags, data = tags + "s", data + _padded(value)
        elif isinstance(value, int):
            tags, data = tags + "i", data + struct.pack(">i", value)
        else:
            tags, data = tags + "f", data + struct.pack(">f", value)
    return _padded(address) + _padded(tags) + data


def bundle(messages: Iterable[bytes]) -> list[bytes]:
    """The messages, in order, in bundles of at most `PACKET` bytes each."""
    packets = [_HEAD]
    for content in messages:
        part = struct.pack(">i", len(content)) + content
        if len(packets[-1]) + len(part) > PACKET:
            packets.append(_HEAD)
        packets[-1] += part
    return packets


def _padded(text: str) -> bytes:
    """A text as OSC stores it: terminated by zeros up to a multiple of four bytes."""
    raw = text.encode() + b"\0"
    return raw + bytes(-len(raw) % 4)
