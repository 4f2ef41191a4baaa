"""Reading PCD, the point cloud library's format: text, binary, and binary_compressed (LZF).

The header names fields with sizes, types and counts; binary data is a table row by row, compressed data column by
column. See https://pointclouds.org/documentation/tutorials/pcd_file_format.html.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LARGEST = 200_000_000  # points
_HEADER = 4096  # bytes
_KINDS = {"F": "f", "I": "i", "U": "u"}


@dataclass(frozen=True)
class _Header:
    """fields : their names and dtypes, in order. points : how many. data : "ascii", "binary", "binary_compressed".
    start : where the data begins, bytes."""

    fields: list[tuple[str, np.dtype]]
    points: int
    data: str
    start: int

    @property
    def row(self) -> np.dtype:
        return np.dtype([(f"{i}", dtype) for i, (_, dtype) in enumerate(self.fields)])


def read_pcd(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """points (P, 3) float64 and normals (P, 3) float64 where the file has them, else None; NaN rows stay.

    Raises ValueError where the file is no PCD or is damaged, OSError where it cannot be read.
    """
    raw = path.read_bytes()
    header = _read_header(raw)
    columns = _columns(raw[header.start :], header)
    names = [name for name, _ in header.fields]
    if not {"x", "y", "z"} <= set(names):
        raise ValueError("it has no fields x, y and z")

    def stacked(wanted: tuple[str, ...]) -> np.ndarray:
        return np.column_stack([columns[names.index(name)].reshape(header.points, -1)[:, 0] for name in wanted])

    normals = ("normal_x", "normal_y", "normal_z")
    found = stacked(normals).astype(float) if set(normals) <= set(names) else None
    return stacked(("x", "y", "z")).astype(float), found


def _read_header(raw: bytes) -> _Header:
    entries: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in entries:
        end = raw.find(b"\n", start, start + _HEADER)
        if end < 0:
            raise ValueError("its header has no DATA line")
        words = raw[start:end].decode("ascii", "replace").split("#")[0].split()
        start = end + 1
        if words:
            entries[words[0].upper()] = words[1:]
    try:
        names = entries.get("FIELDS") or entries["COLUMNS"]
        counts = [int(c) for c in entries.get("COUNT", ["1"] * len(names))]
        kinds = [_KINDS[t] + s for t, s in zip(entries["TYPE"], entries["SIZE"], strict=True)]
        fields = [(n, np.dtype((k, (c,)))) for n, k, c in zip(names, kinds, counts, strict=True)]
        points = int(entries["POINTS"][0]) if "POINTS" in entries else _product(entries)
        data = entries["DATA"][0].lower()
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ValueError("its header is damaged") from error
    if not 0 <= points <= LARGEST:
        raise ValueError(f"its header declares {points} points")
    return _Header([(n.lower(), d) for n, d in fields], points, data, start)


def _product(entries: dict[str, list[str]]) -> int:
    return int(entries["WIDTH"][0]) * int(entries["HEIGHT"][0])


def _columns(data: bytes, header: _Header) -> list[np.ndarray]:
    """One array for each field, (P, count)."""
    if header.data == "ascii":
        return _text_columns(data, header)
    row = header.row
    size = header.points * row.itemsize
    if header.data == "binary":
        if len(data) < size:
            raise ValueError("it ends too early")
        table = np.frombuffer(data, row, header.points)
        return [table[name] for name in row.names or ()]
    if header.data != "binary_compressed" or len(data) < 8:
        raise ValueError(f"its data is {header.data!r}, which no PCD has")
    packed, unpacked = (int(n) for n in np.frombuffer(data, "<u4", 2))
    if unpacked != size or len(data) < 8 + packed:
        raise ValueError("its compressed data does not have the size that it declares")
    plain = decompress_lzf(data[8 : 8 + packed], unpacked)
    out, start = [], 0
    for _, dtype in header.fields:
        out.append(np.frombuffer(plain, dtype.base, header.points * dtype.itemsize // dtype.base.itemsize, start))
        start += header.points * dtype.itemsize
    return out


def _text_columns(data: bytes, header: _Header) -> list[np.ndarray]:
    values = np.loadtxt(io.BytesIO(data), dtype=np.float64, ndmin=2, max_rows=header.points)
    counts = [int(np.prod(dtype.shape, dtype=int)) for _, dtype in header.fields]
    if len(values) != header.points or values.shape[1] != sum(counts):
        raise ValueError("its table has another size than its header declares")
    edges = np.cumsum([0, *counts])
    return [values[:, a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]


def decompress_lzf(packed: bytes, size: int) -> bytes:
    """LZF (Marc Lehmann's liblzf): literal runs, and copies of up to 264 bytes from up to 8 KiB back.

    Raises ValueError where the data is damaged.
    """
    out, at, end = bytearray(), 0, len(packed)
    try:
        while at < end and len(out) <= size:
            control = packed[at]
            at += 1
            if control < 32:
                out += packed[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += packed[at]
                at += 1
            back = ((control & 31) << 8) + packed[at] + 1
            at, length = at + 1, length + 2
            if back > len(out):
                raise ValueError("its compressed data is damaged")
            first = len(out) - back
            chunk = out[first : first + length]
            out += (bytes(chunk) * (length // back + 1))[:length] if back < length else chunk
    except IndexError:
        raise ValueError("its compressed data is damaged") from None
    if len(out) != size:
        raise ValueError("its compressed data is damaged")
    return bytes(out)
