"""An `.npz` that grows frame by frame on disk: memory does not grow with its length, and no frame is stored twice.

The first growing array (the largest) is written straight into the ZIP archive that will be the file; the others grow
in raw files beside it and are copied behind it at the end. Disk space for that copy is reserved as the frames come, so
that a disk that fills up stops the recording but does not lose what was recorded. Members are stored, not compressed.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from lvd_live.errors import UserError
from lvd_live.storage.files import check_writable, is_disk_full, reason, sync_folder
from lvd_live.storage.zip_records import Record, central_directory, join_checksums, local_header, npy_header

_RESERVE_STEP = 4 << 20
_CHUNK = 1 << 20
_HEADER = 192  # bytes that each growing array's header is padded to, so that the frame count can be filled in last


class NpzStream:
    """Growing arrays of equal length, appended frame by frame, plus whole arrays, written as one `.npz`.

    A frame is either whole in the file or not at all, whatever interrupts. `close` gives the file its name; before that
    nothing is visible under it and an older file stays as it was.

    rows : each growing array's name, to (shape of one frame, dtype); the largest first.

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
        self._files: dict[str, io.FileIO] = {}
        place = self.path.absolute().parent
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=f".{self.path.name[:32]}.", suffix=".part", dir=place))
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            for name in [*self._rows, "reserve"]:
                self._files[name] = open(self._folder / name, "w+b", buffering=0)
            write_all(self._files[self._main], bytes(self._start(self._main)))
            self._reserve(0)
        except OSError as error:
            self.abort()
            raise self._unwritable(error) from error

    @property
    def frames(self) -> int:
        """Whole frames appended so far."""
        return self._done[0]

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
        main = self._files[self._main]
        try:
            self._files["reserve"].truncate(0)
            records = [self._write_rows(name) for name in self._rows if name not in leave_out]
            records += [self._write_array(name, array) for name, array in whole.items()]
            write_all(main, central_directory(records, main.tell()))
            main.truncate()
            os.fsync(main.fileno())
            self._close_files()
            os.replace(self._folder / self._main, self.path)
        except OSError as error:
            self._close_files()
            message = f"Could not finish {self.path}: {reason(error)}; the raw frames are left in {self._folder}."
            raise UserError(message, exit_code=1) from error
        sync_folder(self.path.absolute().parent)
        self.abort()

    def abort(self) -> None:
        """Drop everything written so far; an older file at the same place stays. Harmless after close."""
        self._close_files()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"Cannot write {self.path}: {reason(error)}.")

    def _close_files(self) -> None:
        for file in self._files.values():
            file.close()

    def _write_rows(self, name: str) -> Record:
        """Make one growing array a member of the main file: its headers, and its frames where they are elsewhere."""
        count, checksums = self._done
        shape, dtype = self._rows[name]
        size = count * self._sizes[name]
        header = npy_header((count, *shape), dtype, _HEADER)
        checksum = join_checksums(zlib.crc32(header), checksums[name], size)
        main = self._files[self._main]
        offset = 0 if name == self._main else main.tell()
        main.seek(offset)
        write_all(main, local_header(name, checksum, len(header) + size) + header)
        if name == self._main:
            main.seek(size, os.SEEK_CUR)
            main.truncate()
        else:
            self._move_frames(name, size)
        return Record(name, checksum, len(header) + size, offset)

    def _move_frames(self, name: str, size: int) -> None:
        """Copy the `size` bytes of a raw file to the end of the main file, and empty the raw file."""
        main, part = self._files[self._main], self._files[name]
        part.seek(0)
        left = size
        while left:
            chunk = part.read(min(_CHUNK, left))
            if not chunk:
                raise OSError(f"the part {name} is shorter than it was")
            write_all(main, chunk)
            left -= len(chunk)
        part.truncate(0)

    def _write_array(self, name: str, array: ArrayLike) -> Record:
        """Write a whole array as a member at the end of the main file."""
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=False)
        data = buffer.getvalue()
        main = self._files[self._main]
        record = Record(name, zlib.crc32(data), len(data), main.tell())
        write_all(main, local_header(name, record.checksum, record.size) + data)
        return record

    def _start(self, name: str) -> int:
        """Where an array's frames begin in its file, bytes: in the main file, behind its headers."""
        return len(local_header(name, 0, 0)) + _HEADER if name == self._main else 0

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
