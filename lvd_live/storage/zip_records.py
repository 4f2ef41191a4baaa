"""The records of a ZIP archive that holds `.npy` members uncompressed: headers, central directory, checksums.

Sizes and offsets are written in their 64-bit form throughout (PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3);
every member carries the same date, so that the same arrays give the same bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

_DATE = (1 << 5) | 1  # 1 January 1980, as MS-DOS counts
_VERSION = 45  # of the ZIP specification that a reader needs: 4.5 brought the 64-bit fields
_IN_EXTRA = 2**32 - 1  # "this number stands in the 64-bit extra field"


@dataclass(frozen=True)
class Record:
    """One member of the archive.

    name : the array's, without ".npy".
    checksum : CRC-32 of the member's `size` bytes.
    offset : of the member's local header in the file, bytes.
    """

    name: str
    checksum: int
    size: int
    offset: int


def npy_header(shape: tuple[int, ...], dtype: np.dtype, length: int) -> bytes:
    """A version 1.0 `.npy` header of exactly `length` bytes, for an array in C order."""
    fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    text = repr(fields).encode("latin1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length - 10) + text.ljust(length - 11) + b"\n"


def local_header(name: str, checksum: int, size: int) -> bytes:
    """The header that stands before the member `name` and its `size` bytes."""
    file = f"{name}.npy".encode()
    extra = struct.pack("<HHQQ", 1, 16, size, size)
    fields = b"PK\x03\x04", _VERSION, 0, 0, 0, _DATE, checksum, _IN_EXTRA, _IN_EXTRA, len(file), len(extra)
    return struct.pack("<4s5H3I2H", *fields) + file + extra


def central_directory(records: list[Record], start: int) -> bytes:
    """The archive's directory and its end records, for a directory that begins at byte `start`."""
    entries = b"".join(map(_directory_entry, records))
    count = len(records)
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, _VERSION, _VERSION, 0, 0, count, count, len(entries), start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + len(entries), 1)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, _IN_EXTRA, _IN_EXTRA, 0)
    return entries + end64 + locator + end


def _directory_entry(record: Record) -> bytes:
    file = f"{record.name}.npy".encode()
    extra = struct.pack("<HHQQQ", 1, 24, record.size, record.size, record.offset)
    start = b"PK\x01\x02", _VERSION, _VERSION, 0, 0, 0, _DATE, record.checksum, _IN_EXTRA, _IN_EXTRA
    comment, disk, attributes = 0, 0, (0, 0)
    rest = len(file), len(extra), comment, disk, *attributes, _IN_EXTRA
    return struct.pack("<4s6H3I5H2I", *start, *rest) + file + extra


def join_checksums(first: int, second: int, second_length: int) -> int:
    """The CRC-32 of A+B from those of A and B and B's length, without reading B again (zlib's crc32_combine)."""
    matrix = [0xEDB88320] + [1 << bit for bit in range(31)]  # shifts one zero bit into the checksum
    for _ in range(3):
        matrix = _square(matrix)  # one zero byte
    while second_length:
        if second_length & 1:
            first = _times(matrix, first)
        second_length >>= 1
        if second_length:
            matrix = _square(matrix)
    return first ^ second


def _times(matrix: list[int], vector: int) -> int:
    """The product of a 32×32 matrix over GF(2), one integer a column, with a vector."""
    total = 0
    for column in matrix:
        if vector & 1:
            total ^= column
        vector >>= 1
    return total


def _square(matrix: list[int]) -> list[int]:
    return [_times(matrix, column) for column in matrix]
