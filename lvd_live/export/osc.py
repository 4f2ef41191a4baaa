"""Open Sound Control 1.0: messages of numbers and texts, gathered in bundles that fit into UDP packets."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable

MOST_NESTED = 4  # bundles in each other
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


def read(data: bytes) -> list[tuple[str, list[int | float | str]]]:
    """The messages in a packet from anyone, each its address and values; in bundles, too. What is none is left out."""
    try:
        return _messages(data, 0)
    except (struct.error, ValueError, IndexError):
        return []


def _messages(data: bytes, depth: int) -> list[tuple[str, list[int | float | str]]]:
    if depth > MOST_NESTED:
        raise ValueError("too many bundles in each other")
    if not data.startswith(b"#bundle\0"):
        return [_message(data)]
    found, place = [], len(_HEAD)
    while place < len(data):
        (size,) = struct.unpack_from(">i", data, place)
        if not 0 < size <= len(data) - place - 4:
            raise ValueError("a part that reaches beyond the packet")
        found += _messages(data[place + 4 : place + 4 + size], depth + 1)
        place += 4 + size
    return found


def _message(data: bytes) -> tuple[str, list[int | float | str]]:
    address, place = _text(data, 0)
    if not address.startswith("/"):
        raise ValueError("no address")
    tags, place = _text(data, place) if place < len(data) else (",", place)
    values: list[int | float | str] = []
    for tag in tags[1:]:
        if tag in "if":
            (number,) = struct.unpack_from(f">{tag}", data, place)
            if not math.isfinite(number):
                raise ValueError("no number")
            values.append(number)
            place += 4
        elif tag == "s":
            text, place = _text(data, place)
            values.append(text)
        elif tag in "TF":
            values.append(int(tag == "T"))
        else:
            raise ValueError(f"a value of kind {tag}")
    return address, values


def _text(data: bytes, place: int) -> tuple[str, int]:
    """A text that begins at `place`, and where the next thing does."""
    end = data.index(b"\0", place)
    return data[place:end].decode("ascii", "replace"), place + (end - place) // 4 * 4 + 4


def _padded(text: str) -> bytes:
    """A text as OSC stores it: terminated by zeros up to a multiple of four bytes."""
    raw = text.encode() + b"\0"
    return raw + bytes(-len(raw) % 4)
