"""Reading SMPL-family body files, .npz or .pkl, from anyone: no code in them is run.

Pickles: see `pickled`. SMPL-H and SMPL-X files (52 and 55 joints) are brought to SMPL's 24 by merging fingers and face.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from lvd_live.body.pickled import Refused, as_array, read_pickle
from lvd_live.errors import UserError
from lvd_live.storage.files import reason
from lvd_live.storage.safe_npz import SafeNpz

LARGEST = 1 << 30  # bytes, of a file and of the arrays that are taken from it
N_SHAPE = 300  # shape components at most; SMPL-X keeps expressions behind them
_HANDS = {52: (22, 37), 55: (25, 40)}  # where the fingers of the left and the right hand begin, for SMPL-H and SMPL-X


def read_arrays(path: str | Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those of the named arrays that a body file holds, for 24 joints.

    Raises UserError when the file is missing, cannot be read, holds what is no number, or would run code.
    """
    path = Path(path)
    try:
        arrays = _read_any(path, names)
    except UserError:
        raise
    except FileNotFoundError:
        advice = "give --body the path of a body .npz, or restore models/ from the repository"
        raise UserError(f"There is no body file {path}; {advice}.") from None
    except Refused as error:
        raise _unreadable(path, f": {error}") from None
    except OSError as error:
        raise _unreadable(path, f": {reason(error)}") from None
    except Exception as error:  # a damaged pickle or archive fails in many ways
        raise _unreadable(path, "; a body is an .npz or .pkl in SMPL's layout without code in it") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub" or (array.dtype.kind == "f" and not np.isfinite(array).all()):
            raise UserError(f"{path} is not a body in SMPL's layout: its {name!r} holds what is no number.")
    if "shapedirs" in arrays and arrays["shapedirs"].ndim == 3:
        arrays["shapedirs"] = arrays["shapedirs"][..., :N_SHAPE]
    return _with_24_joints(arrays)


def _unreadable(path: Path, why: str) -> UserError:
    """why : the sentence's rest, with the punctuation before it."""
    return UserError(f"{path} is not a body file that can be read{why}.")


def _read_any(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    if not path.is_file():  # a pipe would be waited for
        path.stat()
        raise _unreadable(path, ": it is no file")
    if path.stat().st_size > LARGEST:
        raise _unreadable(path, ": it is larger than any body")
    if path.suffix.lower() != ".pkl":
        return _read_npz(path, names)
    found = read_pickle(path)
    arrays = {name: as_array(found[name]) for name in names if name in found}
    if sum(array.nbytes for array in arrays.values()) > LARGEST:
        raise _unreadable(path, ": it is larger than any body")
    return arrays


def _read_npz(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with SafeNpz(path, {}):
            pass  # opening it checks the directory: names, sizes, ratios
    except UserError as error:
        why = str(error).removeprefix(f"Cannot use {path}").removeprefix(f"Cannot open {path}").removesuffix(".")
        raise _unreadable(path, why) from error
    with zipfile.ZipFile(path) as archive:
        there = set(names) & {member.removesuffix(".npy") for member in archive.namelist()}
        for name in there:
            if not _declares_its_size(archive, f"{name}.npy"):
                raise _unreadable(path, f": its {name!r} holds Python objects or lies about its size")
        if sum(archive.getinfo(f"{name}.npy").file_size for name in there) > LARGEST:
            raise _unreadable(path, ": it is larger than any body")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in names if name in there}


def _declares_its_size(archive: zipfile.ZipFile, name: str) -> bool:
    """Whether a member's own header declares an array of plain numbers as large as the member is."""
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member, max_header_size=4096)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        return not dtype.hasobject and size == archive.getinfo(name).file_size - member.tell()


def _with_24_joints(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with SMPL's joints, where they have SMPL-H's or SMPL-X's; else as they are.

    Fingers other than thumbs become SMPL's hand joints, thumbs go with the wrists, jaw and eyes with the head.
    """
    weights, regressor, tree = (arrays.get(k) for k in ("weights", "J_regressor", "kintree_table"))
    if weights is None or regressor is None or tree is None or weights.ndim != 2:
        return arrays
    count = weights.shape[1]
    if count not in _HANDS or len(regressor) != count:
        return arrays
    merged = np.zeros((len(weights), 24))
    merged[:, :22] = weights[:, :22]
    merged[:, 15] += weights[:, 22 : _HANDS[count][0]].sum(1)
    for hand, wrist, first in zip((22, 23), (20, 21), _HANDS[count], strict=True):
        merged[:, hand] = weights[:, first : first + 12].sum(1)
        merged[:, wrist] += weights[:, first + 12 : first + 15].sum(1)
    middle = [first + 3 for first in _HANDS[count]]  # the middle fingers' first joints stand for the hands
    out = {**arrays, "weights": merged, "J_regressor": np.concatenate([regressor[:22], regressor[middle]])}
    out["kintree_table"] = np.stack([np.append(tree[0, :22].astype(np.int64), [20, 21]), np.arange(24)])
    if "posedirs" in arrays:
        posedirs = arrays["posedirs"]
        out["posedirs"] = np.concatenate([posedirs[..., :189], np.zeros((*posedirs.shape[:2], 18))], 2)
    return out
