"""Films that hold another one behind the first, which no player shows: files joined as if they were text."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import struct
from pathlib import Path

_FLV = re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09\0\0\0\0")  # a whole header, and the size of no tag before it
_MOST_ATOMS = 1_000_000


def holds_another(path: Path, kinds: set[str]) -> bool:
    """Whether a file of FFmpeg's format names `kinds` has a second beginning, where its format allows one."""
    with contextlib.suppress(OSError, ValueError):
        if "mov" in kinds:
            return _count_atoms(path, b"moov") > 1
        if "flv" in kinds:
            with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _FLV.search(data, 1) is not None
    return False


def _count_atoms(path: Path, wanted: bytes) -> int:
    """How many atoms of a name the top level of a MOV or MP4 file has."""
    with open(path, "rb") as file:
        size, at, count = os.fstat(file.fileno()).st_size, 0, 0
        for _ in range(_MOST_ATOMS):
            file.seek(at)
            head = file.read(16)
            if len(head) < 8:
                break
            length, name = struct.unpack(">I4s", head[:8])
            count += name == wanted
            if length == 1 and len(head) == 16:
                (length,) = struct.unpack(">Q", head[8:])
            if length < 8 or at + length > size:
                break
            at += length
        return count
