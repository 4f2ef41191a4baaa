"""SMPL's published pickles, read without running what they name.

They hold NumPy arrays, a sparse joint regressor and `chumpy` arrays. The unpickler here knows only these, as containers
that keep what they are given; only what `as_array` is asked for becomes an array. A pickle that names anything else is
refused, and so is one that would take more memory than it has bytes for.
"""

from __future__ import annotations

import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_MOST_OPCODES = 100_000  # a body has some thousands
_LARGEST_SPARSE = 256 << 20  # bytes, once it is dense
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_NUMBERS = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")


class Refused(pickle.UnpicklingError):
    """The pickle is sound, and no body."""


def read_pickle(path: Path) -> dict[str, object]:
    """The table that a body's pickle holds; its values are for `as_array`.

    Raises `Refused`, and nearly any exception for a file that is damaged.
    """
    with open(path, "rb") as file:
        _check_opcodes(file)
        file.seek(0)
        found = _Unpickler(file, encoding="latin1").load()
    if not isinstance(found, dict):
        raise Refused("it holds no table of arrays")
    return found


def as_array(value: object) -> np.ndarray:
    """The dense array of numbers that a value of `read_pickle` stands for. Any exception means that it is damaged."""
    if isinstance(value, _Array):
        return value.array()
    if isinstance(value, _Sparse):
        return value.dense()
    if isinstance(value, _Plain):
        return as_array(value.x)
    raise Refused("a table of it holds no numbers")


def _check_opcodes(file: Any) -> None:
    """Raises `Refused` for a pickle that numbers its objects beyond those it has: the unpickler's table would grow."""
    for number, (code, argument, _) in enumerate(pickletools.genops(file)):
        if number > _MOST_OPCODES or (code.name in _PUTS and isinstance(argument, int) and argument > number):
            raise Refused("it is larger inside than any body")


class _Plain:
    """Stands for an object of a class that is not loaded; keeps its attributes. A chumpy array's numbers are in `x`."""

    x: object

    def __init__(self, *_: object):
        pass

    def __setstate__(self, state: object) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})


class _Dtype(_Plain):
    """NumPy's dtype, of numbers."""

    def __init__(self, text: object = "", *_: object):
        self.text, self.is_big_endian = text, False

    def __setstate__(self, state: object) -> None:
        self.is_big_endian = isinstance(state, tuple) and state[1:2] == (">",)

    def dtype(self) -> np.dtype:
        """What it stands for. Raises `Refused` where that is no number."""
        if not isinstance(self.text, str) or not _NUMBERS.fullmatch(self.text):
            raise Refused("a table of it holds no numbers")
        dtype = np.dtype(self.text)
        return dtype.newbyteorder(">") if self.is_big_endian else dtype


class _Text:
    """Text that stands for bytes in a pickle of Python 2."""

    def __init__(self, text: object, encoding: object):
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise Refused("it encodes text in a way that body files do not")
        self.text = text


class _Array(_Plain):
    """A NumPy array: the state that NumPy writes, unopened."""

    def __init__(self, *_: object):
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def array(self) -> np.ndarray:
        """The array. Any exception means that it is damaged."""
        if not isinstance(self.state, tuple):
            raise Refused("a table of it holds no numbers")
        shape, kind, is_fortran, data = self.state[-4:]
        if not isinstance(kind, _Dtype):
            raise Refused("a table of it holds no numbers")
        dtype, text = kind.dtype(), data.text if isinstance(data, _Text) else data
        raw = text.encode("latin1") if isinstance(text, str) else bytes(text)
        return np.frombuffer(raw, dtype).reshape(shape, order="F" if is_fortran else "C")


def _from_buffer(data: object, kind: object, shape: object, order: object) -> _Array:
    """NumPy's function of this name, of pickles of protocol 5."""
    array = _Array()
    array.state = shape, kind, order == "F", data
    return array


class _Sparse(_Plain):
    """A SciPy sparse matrix. Its shape is in `_shape` or, from old versions of SciPy, in `shape`."""

    kind: str
    data: object
    indices: object
    indptr: object
    shape: tuple[int, int]

    def dense(self) -> np.ndarray:
        """The array. Any exception means that it is damaged."""
        shape = getattr(self, "_shape", None) or self.shape
        if np.prod(shape, dtype=object) * 8 > _LARGEST_SPARSE:
            raise Refused("it is larger inside than any body")
        import scipy.sparse  # here, because few bodies need it, and it takes long to import

        parts = tuple(as_array(part) for part in (self.data, self.indices, self.indptr))
        matrix = getattr(scipy.sparse, self.kind)(parts, shape)
        matrix.check_format(full_check=True)
        return matrix.toarray()


class _SparseByColumn(_Sparse):
    kind = "csc_matrix"


class _SparseByRow(_Sparse):
    kind = "csr_matrix"


def _reconstructor(kind: Callable[[], object], _base: object, _state: object) -> object:
    """copyreg's function of this name: `kind` is one of the classes that `_Unpickler.find_class` gives."""
    return kind()


def _no_bytes(*arguments: object) -> bytes:
    """What stands for empty bytes in pickles of protocol 2."""
    if arguments:
        raise Refused("it makes bytes in a way that body files do not")
    return b""


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("copy_reg", "_reconstructor"): _reconstructor,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("__builtin__", "object"): _Plain,
    ("builtins", "object"): _Plain,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
    ("_codecs", "encode"): _Text,
}
"""The functions and classes that a body's pickle may name, and what is used in their place."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if module.split(".")[0] == "chumpy":
            return _Plain
        if module.startswith("scipy.sparse") and name in ("csc_matrix", "csc_array"):
            return _SparseByColumn
        if module.startswith("scipy.sparse") and name in ("csr_matrix", "csr_array"):
            return _SparseByRow
        raise Refused(f"it names {module}.{name}, which no body file needs, so it was not loaded")
