"""Reading SMPL-family body files, .npz or .pkl, from anyone: nothing in them is run.

The published .pkl files hold NumPy arrays, a sparse joint regressor and `chumpy` arrays. Their pickles are read by an unpickler that knows only these, as plain containers; a pickle that
names anything else is refused. SMPL-H and SMPL-X files (52 and 55 joints) are brought to SMPL's 24 by merging fingers and face.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import scipy.sparse

from lvd_live.errors import UserError
from lvd_live.storage.files import reason
from lvd_live.storage.safe_npz import SafeNpz

LARGEST = 2 << 30  # bytes, of a file and of an array
N_SHAPE = 300  # shape components at most; SMPL-X keeps expressions behind them
_HANDS = {52: (22, 37), 55: (25, 40)}  # where the fingers of the left and the right hand begin, for SMPL-H and SMPL-X


def read_arrays(path: str | Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those of the named arrays that a body file holds, for 24 joints. UserError when it is missing, cannot be read, or would run code."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} is not a body file that can be read: it is larger than any body.")
        found = _read_pickle(path) if path.suffix.lower() == ".pkl" else _read_npz(path, names)
        arrays = {name: _as_array(found[name]) for name in names if name in found}
    except FileNotFoundError:
        raise UserError(
            f"There is no body file {path}; give --body the path of a body .npz, or restore models/ from the repository."
        ) from None
    except UserError:
        raise
    except _Refused as error:
        raise UserError(f"{path} is not a body file that can be read: {error}.") from None
    except OSError as error:
        raise UserError(f"{path} is not a body file that can be read: {reason(error)}.") from None
    except Exception as error:  # a damaged pickle or archive fails in many ways
        raise UserError(
            f"{path} is not a body file that can be read; a body is an .npz or .pkl in SMPL's layout without code in it."
        ) from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub" or array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(f"{path} is not a body in SMPL's layout: its {name!r} holds what is no number.")
    if "shapedirs" in arrays and arrays["shapedirs"].ndim == 3:
        arrays["shapedirs"] = arrays["shapedirs"][..., :N_SHAPE]
    return _with_24_joints(arrays)


def _read_npz(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        SafeNpz(path, {}).__exit__()  # looks at the directory: names, sizes, ratios
    except UserError as error:
        raise UserError(
            f"{path} is not a body file that can be read{str(error).removeprefix(f'Cannot use {path}').removeprefix(f'Cannot open {path}')}"
        ) from error
    with zipfile.ZipFile(path) as file:
        for name in set(names) & {member.removesuffix(".npy") for member in file.namelist()}:
            with file.open(f"{name}.npy") as member:
                version = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(member, max_header_size=4096)
                size = int(np.prod(shape, dtype=object)) * dtype.itemsize
                if dtype.hasobject or size > LARGEST or size != file.getinfo(f"{name}.npy").file_size - member.tell():
                    raise UserError(
                        f"{path} is not a body file that can be read: its {name!r} holds Python objects or lies about its size."
                    )
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in names if name in file}


class _Refused(pickle.UnpicklingError):
    """The pickle is sound, and no body."""


class _Plain:
    """Stands for an object of a class that is not loaded; keeps its attributes."""

    def __init__(self, *_):
        pass

    def __setstate__(self, state) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})


class _SparseByColumn(_Plain):
    pass


class _SparseByRow(_Plain):
    pass


def _reconstruct(kind, _shape, _dtype):
    return np.ndarray.__new__(np.ndarray, (0,), "b")  # its state follows, and NumPy checks it


def _reconstructor(kind, _base, _state):
    return kind()


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise _Refused("it encodes text in a way that body files do not")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        known = {
            ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("copy_reg", "_reconstructor"): _reconstructor,
            ("copyreg", "_reconstructor"): _reconstructor,
            ("__builtin__", "object"): _Plain,
            ("builtins", "object"): _Plain,
            ("_codecs", "encode"): _encode,
        }
        if (module, name) in known:
            return known[module, name]
        if module.split(".")[0] == "chumpy":
            return _Plain
        if module.startswith("scipy.sparse") and name in ("csc_matrix", "csc_array"):
            return _SparseByColumn
        if module.startswith("scipy.sparse") and name in ("csr_matrix", "csr_array"):
            return _SparseByRow
        raise _Refused(f"it names {module}.{name}, which no body file needs, so it was not loaded")


def _read_pickle(path: Path) -> dict:
    with open(path, "rb") as file:
        found = _Unpickler(file, encoding="latin1").load()
    if not isinstance(found, dict):
        raise _Refused("it holds no table of arrays")
    return found


def _as_array(value) -> np.ndarray:
    if isinstance(value, (_SparseByColumn, _SparseByRow)):
        kind = scipy.sparse.csc_matrix if isinstance(value, _SparseByColumn) else scipy.sparse.csr_matrix
        shape = getattr(value, "_shape", None) or value.shape
        if np.prod(shape, dtype=object) * 8 > LARGEST:
            raise ValueError("too large")
        matrix = kind((value.data, value.indices, value.indptr), shape)
        matrix.check_format(full_check=True)
        return matrix.toarray()
    if isinstance(value, _Plain):  # chumpy's Ch keeps its numbers in x
        return _as_array(value.x)
    return np.asarray(value)


def _with_24_joints(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Fingers but thumbs become SMPL's hand joints, thumbs go with the wrists, jaw and eyes with the head."""
    weights, regressor, tree = (arrays.get(k) for k in ("weights", "J_regressor", "kintree_table"))
    if (
        weights is None
        or regressor is None
        or tree is None
        or weights.ndim != 2
        or weights.shape[1] not in _HANDS
        or len(regressor) != weights.shape[1]
    ):
        return arrays
    count = weights.shape[1]
    merged = np.zeros((len(weights), 24))
    merged[:, :22] = weights[:, :22]
    merged[:, 15] += weights[:, 22 : _HANDS[count][0]].sum(1)
    for hand, wrist, first in zip((22, 23), (20, 21), _HANDS[count], strict=True):
        merged[:, hand] = weights[:, first : first + 12].sum(1)
        merged[:, wrist] += weights[:, first + 12 : first + 15].sum(1)
    middle = [first + 3 for first in _HANDS[count]]
    out = {**arrays, "weights": merged, "J_regressor": np.concatenate([regressor[:22], regressor[middle]])}
    out["kintree_table"] = np.stack([np.append(tree[0, :22].astype(np.int64), [20, 21]), np.arange(24)])
    if "posedirs" in arrays:
        posedirs = arrays["posedirs"]
        out["posedirs"] = np.concatenate([posedirs[..., :189], np.zeros((*posedirs.shape[:2], 18))], 2)
    return out
