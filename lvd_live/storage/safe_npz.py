"""Reading an `.npz` from anyone: everything it declares is checked against what it holds before memory is taken."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvd_live.errors import UserError
from lvd_live.storage.files import look_up

_MEMBERS_MAX = 256
_RATIO_MAX = 100  # unpacked bytes per packed byte, beyond the first _RATIO_FREE bytes
_RATIO_FREE = 16 << 20
_HEADER_MAX = 4096
_CHUNK = 4 << 20
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\.npy")
_DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError)  # what reading a damaged archive raises
_UNREADABLE = (*_DAMAGED, zipfile.LargeZipFile, struct.error, NotImplementedError, UnicodeError)


@dataclass(frozen=True)
class Spec:
    """What one array must be.

    dtype : letter and size as NumPy writes them ("f4"); "U" and "S" take any length.
    shapes : the shapes allowed; a text such as "F" stands for a number that is the same wherever it occurs in the file.
    required : whether a file without the array is refused.
    """

    dtype: str
    shapes: tuple[tuple[int | str, ...], ...]
    required: bool = True


@dataclass(frozen=True)
class Member:
    """One array as its own header declares it, after the checks.

    offset : where its data begins inside the member, bytes.
    stored : whether it is uncompressed.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    stored: bool


class SafeNpz:
    """An open `.npz` whose members with a `Spec` were checked; arrays are read on demand. A context manager.

    Members without a spec must have a plain name and are never read. Raises UserError, one sentence, for anything that
    is not as it should be.

    members : the arrays that the file holds, by name.
    sizes : what each text in the specs' shapes stands for in this file.
    """

    def __init__(self, path: str | os.PathLike, specs: dict[str, Spec], limit: int = 2 << 30):
        self.path, self._limit = Path(path), limit
        self.members: dict[str, Member] = {}
        self.sizes: dict[str, int] = {}
        there = look_up(self.path)  # refuses names that cannot be
        if there and stat.S_ISFIFO(there.st_mode):
            raise UserError(f"Cannot open {self.path}: it is a pipe.")
        try:
            self._file = open(self.path, "rb")
        except OSError as error:
            raise UserError(f"Cannot open {self.path}: {(error.strerror or str(error)).lower()}.") from error
        try:
            self._zip = zipfile.ZipFile(self._file)
            infos = self._check_directory()
            for name, spec in specs.items():
                if name in infos:
                    self.members[name] = self._check_member(name, infos[name], spec)
                elif spec.required:
                    raise self._refusal(f"it holds no {name!r}")
        except _UNREADABLE as error:
            self._file.close()
            raise self._refusal("it is not a whole .npz file (cut, damaged, or of another kind)") from error
        except (UserError, ValueError, OverflowError, RuntimeError) as error:
            self._file.close()
            raise error if isinstance(error, UserError) else self._refusal("its directory is damaged") from error

    def __enter__(self) -> SafeNpz:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def check_values(self, name: str) -> None:
        """Read one array once in small pieces: checksum, length, and no NaN or infinity. Raises UserError."""
        member = self.members[name]
        finite = member.dtype.kind == "f"
        try:
            with self._zip.open(f"{name}.npy") as file:
                file.read(member.offset)
                while chunk := file.read(_CHUNK):
                    if finite and not np.isfinite(np.frombuffer(chunk, member.dtype)).all():
                        raise self._refusal(f"{name!r} holds numbers that are not finite")
        except (*_DAMAGED, ValueError) as error:
            raise self._refusal(f"{name!r} is damaged") from error

    def read(self, name: str) -> np.ndarray:
        """The whole array, in memory, of the dtype and shape its Spec allows. Raises UserError."""
        member = self.members[name]
        count = int(np.prod(member.shape, dtype=object))
        size = count * member.dtype.itemsize
        if size > self._limit:
            raise self._refusal(f"{name!r} would take {size / 2**30:.1f} GiB of memory")
        self.check_values(name)
        if not size:
            return np.zeros(member.shape, member.dtype)
        with self._zip.open(f"{name}.npy") as file:
            file.read(member.offset)
            data = bytearray(file.read(size))
        if member.dtype.kind == "b":  # any byte may stand there
            return (np.frombuffer(data, np.uint8) != 0).reshape(member.shape)
        return np.frombuffer(data, member.dtype, count).reshape(member.shape)

    def map(self, name: str) -> np.ndarray:
        """The array without loading it where it is stored uncompressed (a read-only memory map), else as `read`."""
        member = self.members[name]
        if not member.stored or 0 in member.shape:
            return self.read(name)
        self.check_values(name)
        info = self._zip.getinfo(f"{name}.npy")
        self._file.seek(info.header_offset + 26)
        name_length, extra_length = struct.unpack("<2H", self._file.read(4))
        offset = info.header_offset + 30 + name_length + extra_length + member.offset
        return np.memmap(self.path, member.dtype, "r", offset, member.shape)

    def _refusal(self, why: str) -> UserError:
        return UserError(f"Cannot use {self.path}: {why}.")

    def _check_directory(self) -> dict[str, zipfile.ZipInfo]:
        """The archive's members by array name. Raises UserError where names, sizes or compression are not plain."""
        infos = self._zip.infolist()
        if len(infos) > _MEMBERS_MAX:
            raise self._refusal(f"it holds {len(infos)} members, more than {_MEMBERS_MAX}")
        for info in infos:
            if not _NAME.fullmatch(info.filename) or info.filename != info.orig_filename:
                raise self._refusal(f"it holds a member with a forbidden name, {info.filename[:80]!r}")
            if info.flag_bits & 0x41:
                raise self._refusal("it is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise self._refusal("it is compressed in a way that .npz files are not")
            if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
                raise self._refusal(f"{info.filename!r} declares a size that it does not have")
            if info.file_size > _RATIO_FREE + _RATIO_MAX * info.compress_size:
                sizes = f"{info.file_size >> 20} MiB from {info.compress_size >> 10} KiB"
                raise self._refusal(f"{info.filename!r} would unpack to {sizes}")
        if len({info.filename for info in infos}) != len(infos):
            raise self._refusal("it holds the same array twice")
        if sum(info.compress_size for info in infos) > os.fstat(self._file.fileno()).st_size:
            raise self._refusal("its members declare more bytes than the file has")
        return {info.filename.removesuffix(".npy"): info for info in infos}

    def _check_member(self, name: str, info: zipfile.ZipInfo, spec: Spec) -> Member:
        """The array that a member's own header declares. Raises UserError where that is not what `spec` allows."""
        length, shape, fortran, dtype = self._read_header(name, info)
        if dtype.hasobject:
            raise self._refusal(f"{name!r} holds Python objects, which can run code when read")
        kind = dtype.str[1:] if dtype.kind not in "US" else dtype.kind
        if dtype.names is not None or kind != spec.dtype or not dtype.isnative:
            raise self._refusal(f"{name!r} is of type {dtype.str}, not {spec.dtype}")
        if fortran and len(shape) > 1:
            raise self._refusal(f"{name!r} is stored column by column")
        if any(isinstance(side, bool) or side < 0 for side in shape):
            raise self._refusal(f"{name!r} declares a negative size")
        self._match_shape(name, shape, spec)
        count = 1
        for side in shape:
            count *= int(side)
        if length + count * dtype.itemsize != info.file_size:
            raise self._refusal(f"{name!r} declares {count * dtype.itemsize} bytes but holds {info.file_size - length}")
        return Member(name, dtype, tuple(map(int, shape)), length, info.compress_type == zipfile.ZIP_STORED)

    def _read_header(self, name: str, info: zipfile.ZipInfo) -> tuple[int, tuple[int, ...], bool, np.dtype]:
        """A member's `.npy` header: its length in bytes, and the shape, Fortran order and dtype it declares."""
        with self._zip.open(info) as file:
            start = file.read(12)
            if start[:6] != b"\x93NUMPY" or start[6:8] not in (b"\x01\x00", b"\x02\x00"):
                raise self._refusal(f"{name!r} is not a NumPy array")
            if start[6] == 1:
                parse, length = np.lib.format.read_array_header_1_0, 10 + struct.unpack("<H", start[8:10])[0]
            else:
                parse, length = np.lib.format.read_array_header_2_0, 12 + struct.unpack("<I", start[8:12])[0]
            if length > _HEADER_MAX:
                raise self._refusal(f"{name!r} has a header of {length} bytes")
            header = io.BytesIO(start[8:] + file.read(length - 12))
        for again in (True, True, False):
            try:
                return length, *parse(header, max_header_size=_HEADER_MAX)
            except Exception as error:  # NumPy lets many kinds through here: tokenizer, syntax, type and value errors
                if not (again and isinstance(error, SystemError)):
                    raise self._refusal(f"{name!r} has a damaged header") from error
                header.seek(0)  # threads that parse at once: CPython 3.11 may fail on what is whole (gh-106905)
        raise AssertionError("unreachable")

    def _match_shape(self, name: str, shape: tuple[int, ...], spec: Spec) -> None:
        """Find the allowed shape that `shape` matches, and note what its texts stand for. Raises UserError."""
        for pattern in (pattern for pattern in spec.shapes if len(pattern) == len(shape)):
            sizes, sides = dict(self.sizes), zip(pattern, shape, strict=True)
            wanted = tuple(sizes.setdefault(side, have) if isinstance(side, str) else side for side, have in sides)
            if wanted == shape:
                self.sizes = sizes
                return
        used = {side for pattern in spec.shapes for side in pattern}
        known = {text: size for text, size in self.sizes.items() if text in used}
        allowed = " or ".join("(" + ", ".join(map(str, pattern)) + ")" for pattern in spec.shapes)
        raise self._refusal(f"{name!r} has the shape {shape}, not {allowed}" + (f" with {known}" if known else ""))
