"""An `.npz` that grows frame by frame on disk: memory does not grow with its length, and no frame is stored twice.

The first growing array (the big one) is written straight into the zip that will be the file; the others grow in raw
files beside it and are copied behind it at the end. Room for that copy is reserved as the frames come, so that a
disk that fills up stops the recording but does not lose what was recorded. All members are stored, not compressed.
"""

import io
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from lvd_live.errors import UserError
from lvd_live.storage.files import check_writable, is_disk_full, reason, sync_folder

_RESERVE_STEP = 4 << 20
_CHUNK = 1 << 20
_NPY_HEADER = (
    192  # every growing member's header is padded to this length, so that the frame count can be filled in last
)
_DATE = (1 << 5) | 1  # 1 January 1980: the same frames give the same bytes


class NpzStream:
    """Growing arrays of equal length, appended frame by frame, plus whole arrays, written as one `.npz`.

    `rows` maps each growing array's name to (shape of one frame, dtype), the biggest first. `append` takes one frame
    of all of them; a frame is either whole in the file or not at all, whatever interrupts. `close` gives the file its
    name; before that nothing is visible under it and an older file stays as it was.

    Raises UserError: exit code 2 at construction when the place is not writable, exit code 1 on a full disk.
    """

    def __init__(self, path: str | os.PathLike, rows: Mapping[str, tuple[tuple[int, ...], DTypeLike]]):
        self.path = check_writable(path)
        self._rows = {name: (tuple(shape), np.dtype(dtype)) for name, (shape, dtype) in rows.items()}
        if any(dtype.hasobject for _, dtype in self._rows.values()):
            raise ValueError("object arrays are never written")
        self._sizes = {name: int(np.prod(shape)) * dtype.itemsize for name, (shape, dtype) in self._rows.items()}
        self._main = next(iter(self._rows))
        self._done = (0, dict.fromkeys(self._rows, 0))  # frames, checksum of each array's bytes: replaced together
        self._reserved = 0
        try:
            self._folder = Path(
                tempfile.mkdtemp(prefix=f".{self.path.name[:32]}.", suffix=".part", dir=self.path.absolute().parent)
            )
            self._files = {name: open(self._folder / name, "w+b", buffering=0) for name in [*self._rows, "reserve"]}
            write_all(self._files[self._main], bytes(self._main_offset))
            self._reserve(0)
        except OSError as error:
            self.abort()
            raise UserError(f"Cannot write {self.path}: {reason(error)}.") from error

    @property
    def frames(self) -> int:
        """Whole frames appended so far."""
        return self._done[0]

    @property
    def _main_offset(self) -> int:
        return len(_local_header(self._main, 0, 0)) + _NPY_HEADER

    def append(self, **frame: ArrayLike) -> None:
        """Append one frame: every growing array, of its declared shape. Raises UserError when the disk is full.

        Raises ValueError for a missing, superfluous or wrongly shaped array.
        """
        if frame.keys() != self._rows.keys():
            raise ValueError(f"a frame needs exactly {sorted(self._rows)}, not {sorted(frame)}")
        data = {}
        for name, (shape, dtype) in self._rows.items():
            array = np.asarray(frame[name], dtype=dtype, order="C")
            if array.shape != shape:
                raise ValueError(f"{name} must be {shape} per frame, not {array.shape}")
            data[name] = array.tobytes()
        count, checksums = self._done
        try:
            self._reserve(count + 1)
            for name, raw in data.items():
                self._files[name].seek(self._start(name) + count * self._sizes[name])
                write_all(self._files[name], raw)
        except OSError as error:
            what = "the disk is full" if is_disk_full(error) else reason(error)
            raise UserError(f"Could not write frame {count} to {self.path}: {what}.", exit_code=1) from error
        self._done = (count + 1, {name: zlib.crc32(data[name], checksums[name]) for name in self._rows})

    def read(self, name: str, index: int) -> np.ndarray:
        """Frame `index` of one growing array, read back from disk."""
        shape, dtype = self._rows[name]
        file = self._files[name]
        file.seek(self._start(name) + index * self._sizes[name])
        return np.frombuffer(file.read(self._sizes[name]), dtype).reshape(shape)

    def close(self, whole: Mapping[str, ArrayLike], leave_out: tuple[str, ...] = ()) -> None:
        """Finish the file: growing arrays (but for those in `leave_out`), then the `whole` ones, then the rename.

        Raises UserError (exit code 1) when that fails; the frames are then kept in a folder that the sentence names.
        """
        try:
            self._files["reserve"].truncate(0)
            members = self._assemble(whole, leave_out)
            main = self._files[self._main]
            write_all(main, _directory(members, main.tell()))
            main.truncate()
            os.fsync(main.fileno())
            for file in self._files.values():
                file.close()
            os.replace(self._folder / self._main, self.path)
        except OSError as error:
            for file in self._files.values():
                file.close()
            message = f"Could not finish {self.path}: {reason(error)}; the raw frames are left in {self._folder}."
            raise UserError(message, exit_code=1) from error
        sync_folder(self.path.absolute().parent)
        self.abort()

    def abort(self) -> None:
        """Drop everything written so far; an older file at the same place stays. Harmless after close."""
        for file in getattr(self, "_files", {}).values():
            file.close()
        if hasattr(self, "_folder"):
            shutil.rmtree(self._folder, ignore_errors=True)

    def _assemble(self, whole: Mapping[str, ArrayLike], leave_out: tuple[str, ...]) -> list[tuple[str, int, int, int]]:
        """Write every member into the main file; returns (name, checksum, size, offset) of each."""
        count, checksums = self._done
        main = self._files[self._main]
        members = []
        for name in self._rows:
            if name in leave_out:
                continue
            size = count * self._sizes[name]
            head = _npy_header((count, *self._rows[name][0]), self._rows[name][1], _NPY_HEADER)
            checksum = join_checksums(zlib.crc32(head), checksums[name], size)
            offset = 0 if name == self._main else main.tell()
            main.seek(offset)
            write_all(main, _local_header(name, checksum, len(head) + size) + head)
            members.append((name, checksum, len(head) + size, offset))
            if name == self._main:
                main.seek(size, os.SEEK_CUR)
                main.truncate()
                continue
            part = self._files[name]
            part.seek(0)
            left = size
            while left:
                chunk = part.read(min(_CHUNK, left))
                if not chunk:
                    raise OSError(f"the part {name} is shorter than it was")
                write_all(main, chunk)
                left -= len(chunk)
            part.truncate(0)
        for name, array in whole.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=False)
            raw = buffer.getvalue()
            members.append((name, zlib.crc32(raw), len(raw), main.tell()))
            write_all(main, _local_header(name, zlib.crc32(raw), len(raw)) + raw)
        return members

    def _start(self, name: str) -> int:
        return self._main_offset if name == self._main else 0

    def _reserve(self, frames: int) -> None:
        """Keep room on the disk for the copies, headers, whole arrays and directory that close will write."""
        need = frames * sum(size for name, size in self._sizes.items() if name != self._main) + (2 << 20)
        while self._reserved < need:
            file = self._files["reserve"]
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), self._reserved, _RESERVE_STEP)
            else:
                file.seek(self._reserved)
                write_all(file, bytes(_RESERVE_STEP))
            self._reserved += _RESERVE_STEP


def write_all(file: io.FileIO, data: bytes) -> None:
    """Write every byte of `data`, in as many calls as the system needs."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _npy_header(shape: tuple[int, ...], dtype: np.dtype, length: int) -> bytes:
    """A version 1.0 `.npy` header of exactly `length` bytes."""
    text = repr({"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}).encode("latin1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length - 10) + text.ljust(length - 11) + b"\n"


def _local_header(name: str, checksum: int, size: int) -> bytes:
    file = f"{name}.npy".encode()
    extra = struct.pack("<HHQQ", 1, 16, size, size)
    return (
        struct.pack(
            "<4s5H3I2H", b"PK\x03\x04", 45, 0, 0, 0, _DATE, checksum, 2**32 - 1, 2**32 - 1, len(file), len(extra)
        )
        + file
        + extra
    )


def _directory(members: list[tuple[str, int, int, int]], start: int) -> bytes:
    """The zip's central directory, in its 64-bit form throughout, for a directory at byte `start`."""
    entries = b""
    big = 2**32 - 1
    for name, checksum, size, offset in members:
        file = f"{name}.npy".encode()
        extra = struct.pack("<HHQQQ", 1, 24, size, size, offset)
        entries += struct.pack(
            "<4s6H3I5H2I",
            b"PK\x01\x02",
            45,
            45,
            0,
            0,
            0,
            _DATE,
            checksum,
            big,
            big,
            len(file),
            len(extra),
            0,
            0,
            0,
            0,
            big,
        )
        entries += file + extra
    count = len(members)
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(entries), start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + len(entries), 1)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, big, big, 0)
    return entries + end64 + locator + end


def join_checksums(first: int, second: int, second_length: int) -> int:
    """The CRC-32 of A+B from those of A and B and B's length, without reading B again (zlib's crc32_combine)."""
    matrix = [0xEDB88320] + [1 << bit for bit in range(31)]  # one zero bit pushed through the register
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
    total = 0
    for row in matrix:
        if vector & 1:
            total ^= row
        vector >>= 1
    return total


def _square(matrix: list[int]) -> list[int]:
    return [_times(matrix, row) for row in matrix]
