"""Whether a PNG file is whole, so that libpng need not say on the terminal that it is not."""

from __future__ import annotations

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def is_broken_png(data: bytes | memoryview) -> bool:
    """Whether a file that begins as a PNG is cut, or a chunk that its picture needs has another checksum."""
    view = memoryview(data)
    if bytes(view[:8]) != _SIGNATURE:
        return False
    at = 8
    while at + 8 <= len(view):
        (length,) = struct.unpack_from(">I", view, at)
        kind, end = bytes(view[at + 4 : at + 8]), at + 12 + length
        if end > len(view):
            return True
        needed = kind[:1].isupper()
        if needed and zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", view, end - 4)[0]:
            return True
        if kind == b"IEND":
            return False
        at = end
    return True
