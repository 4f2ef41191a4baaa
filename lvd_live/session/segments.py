"""A segment of a session's motion: T rows, one per frame, of which K are tracked, and their meshes of N vertices.

A segment is an `.npz` without pickles that holds the `COLUMNS`; `row` (), the rows before it; `session` (), the start
of `session.json` as text; `faces` (M, 3), in the segments 0, 1, 2, 4, 8, … only; and the meshes

    vertices[k] = centre[k] + step[k] · offsets[k],    std[k] = STD_STEP · levels[k],

whose offsets and levels are whole numbers of 16 bits, stored as `_to_planes` says: a third of the size of floats.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from lvd_live.errors import UserError
from lvd_live.storage.safe_npz import SafeNpz, Spec

SCHEMA = 1
STEP = 1e-4  # metres: the resolution of meshes, coarser only where one reaches beyond 3.2 m from its centre
STD_STEP = 5e-4  # metres
_LARGEST_OFFSET = 32_500.0  # in steps: inside int16
_MAX_BYTES = 128 << 20  # of one array
_MAX_ROW, _MAX_NS = 1 << 31, 1 << 62  # a session of two years; 73 years on either side of a clock's zero

COLUMNS = {  # name: (shape of one row, dtype)
    "tracked": ((), np.bool_),
    "doubtful": ((), np.bool_),  # the mesh is not to be believed; segments from before it have none
    "fitted": ((), np.bool_),  # the tracker had it; false: it had no time, and the frame waits; not in old segments
    "hand_pose": ((30, 3), np.float32),  # axis-angle of SMPL-H's finger joints; zeros where there is none
    "hand_states": ((2,), np.uint8),  # left, right: 0 as descended, 1 not seen and relaxed, 2 seen
    "timestamps_ns": ((), np.int64),  # rising, as the source states them
    "frame_index": ((), np.int64),
    "video_ms": ((), np.int64),  # the picture's time in the video; -1: not in it
    "missed": ((), np.int32),  # frames of the source, since the row before, that never reached the recorder
    "dropped": ((), np.int32),  # and that the recorder could not take
    "iterations": ((), np.int32),
    "intrinsics": ((3, 3), np.float64),
    "image_size": ((2,), np.int32),  # width, height
    "landmarks": ((33, 3), np.float32),  # x, y in picture pixels, visibility
}
_LATER = {
    "doubtful": False,
    "fitted": True,
    "hand_pose": 0,
    "hand_states": 0,
}  # what segments from before them stand for
_SPECS = {
    "lvd_segment": Spec("i4", ((),)),
    "session": Spec("S", ((),)),
    "row": Spec("i8", ((),)),
    **{
        name: Spec(np.dtype(dtype).str[1:], (("T", *shape),), required=name not in _LATER)
        for name, (shape, dtype) in COLUMNS.items()
    },
    "centre": Spec("f8", (("K", 3),)),
    "step": Spec("f8", (("K",),)),
    "offsets": Spec("u1", ((2, "K", "N", 3),)),
    "std": Spec("u1", ((2, "K", "N"),)),
    "faces": Spec("i4", (("M", 3),), required=False),
}


@dataclass(frozen=True)
class Segment:
    """A segment without its meshes.

    row : rows before it. columns : as `COLUMNS`, (T, …) each. vertices : N. session : the start of session.json, text.
    """

    path: Path
    row: int
    columns: Mapping[str, np.ndarray]
    vertices: int
    has_faces: bool
    session: str

    def __len__(self) -> int:
        return len(self.columns["tracked"])


def pack_segment(
    row: int,
    columns: Mapping[str, ArrayLike],
    vertices: np.ndarray,
    std: np.ndarray,
    session: str,
    faces: np.ndarray | None = None,
) -> bytes:
    """A segment as the bytes of a file.

    columns : as `COLUMNS`, (T, …) each. vertices : (K, N, 3) float32 metres, of the tracked rows; std : (K, N) float32
    metres. session : ASCII. faces : (M, 3) int32 or None.
    """
    centre = np.einsum("knc->kc", vertices, dtype=np.float64) / vertices.shape[1]
    offsets = vertices - centre[:, None].astype(np.float32)
    step = np.maximum(np.abs(offsets).max((1, 2), initial=0.0) / _LARGEST_OFFSET, STEP)
    offsets = np.rint(offsets * (1 / step).astype(np.float32)[:, None, None]).astype(np.int16)
    levels = np.rint(np.clip(std / STD_STEP, 0, 65_535)).astype(np.uint16)
    arrays: dict[str, ArrayLike] = {name: np.asarray(columns[name], dtype) for name, (_, dtype) in COLUMNS.items()}
    arrays |= {"lvd_segment": np.int32(SCHEMA), "session": np.array(session.encode("ascii")), "row": np.int64(row)}
    arrays |= {"centre": centre, "step": step.astype(np.float64)}
    arrays |= {"offsets": _to_planes(offsets), "std": _to_planes(levels.view(np.int16))}
    if faces is not None:
        arrays["faces"] = faces
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def read_segment(path: Path) -> Segment:
    """A segment without its meshes. Raises UserError where it is damaged or no segment."""
    with _open(path) as file:
        columns = {name: file.read(name) for name in COLUMNS if name in file.members}
        for name, value in _LATER.items():
            shape, dtype = COLUMNS[name]
            columns.setdefault(name, np.full((file.sizes["T"], *shape), value, dtype))
        columns["fitted"] = columns["fitted"] | columns["tracked"]
        text = bytes(file.read("session")).decode("ascii", "replace")
        segment = Segment(path, int(file.read("row")), columns, file.sizes["N"], "faces" in file.members, text)
        sane = (
            len(segment) > 0
            and 0 <= segment.row < _MAX_ROW
            and file.sizes["K"] == columns["tracked"].sum()
            and ((columns["timestamps_ns"] > -_MAX_NS) & (columns["timestamps_ns"] < _MAX_NS)).all()
            and (np.diff(columns["timestamps_ns"]) > 0).all()
            and (columns["video_ms"] >= -1).all()
            and all((columns[name] >= 0).all() for name in ("missed", "dropped", "iterations"))
            and (columns["image_size"] > 0).all()
        )
        if not sane:
            raise UserError(f"Cannot use {path}: its columns contradict each other.")
        return segment


def read_meshes(path: Path, wanted: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The meshes of a segment's tracked rows: (K, N, 3) and (K, N) float32, metres. Raises UserError.

    wanted : (T,) bool; of the tracked rows, those to be returned: some may have been fitted since a session was opened.
    """
    with _open(path) as file:
        centre, step = file.read("centre"), file.read("step")
        if not ((step > 0) & (step < 1e6)).all() or not (np.abs(centre) < 1e9).all():
            raise UserError(f"Cannot use {path}: its meshes are of no size that a body has.")
        offsets, levels = _from_planes(file.read("offsets")), _from_planes(file.read("std")).view(np.uint16)
        vertices = (centre[:, None] + step[:, None, None] * offsets).astype(np.float32)
        std = levels * np.float32(STD_STEP)
        if wanted is None or len(vertices) == wanted.sum():
            return vertices, std
        tracked = file.read("tracked")
        if len(tracked) != len(wanted) or (wanted & ~tracked).any():
            raise UserError(f"Cannot use {path}: it was changed since it was opened.")
        return vertices[wanted[tracked]], std[wanted[tracked]]


def read_faces(path: Path) -> np.ndarray:
    """The triangles (M, 3) int32 that a segment carries. Raises UserError."""
    with _open(path) as file:
        if "faces" not in file.members:
            raise UserError(f"Cannot use {path}: it carries no faces.")
        faces = file.read("faces")
        if not faces.size or not 0 <= faces.min() <= faces.max() < file.sizes["N"]:
            raise UserError(f"Cannot use {path}: its faces point at vertices that it does not have.")
        return faces


def carries_faces(number: int) -> bool:
    """Whether segment `number` repeats the faces."""
    return number & (number - 1) == 0


def check_order(path: Path, parts: list[Segment]) -> None:
    """Raises UserError where segments of the session at `path` do not follow each other, or differ in their meshes."""
    for before, part in itertools.pairwise(parts):
        rising = part.columns["timestamps_ns"][0] > before.columns["timestamps_ns"][-1]
        if part.row < before.row + len(before) or part.vertices != before.vertices or not rising:
            raise UserError(f"Cannot use {path}: {part.path.name} does not follow {before.path.name}.")


@contextlib.contextmanager
def _open(path: Path) -> Iterator[SafeNpz]:
    with SafeNpz(path, _SPECS, limit=_MAX_BYTES) as file:
        schema = int(file.read("lvd_segment"))
        if schema != SCHEMA:
            reads = f"this program reads schema {SCHEMA}"
            raise UserError(f"Cannot use {path}: it is a segment of schema {schema}, and {reads}.")
        yield file


def _to_planes(values: np.ndarray) -> np.ndarray:
    """int16 (K, N, …) to uint8 (2, K, N, …), which deflate packs well.

    Differences between frames, then between vertices (modulo 2^16, as `_from_planes` adds them up), are zigzag-coded,
    so that small ones of either sign are small numbers; all low bytes come before all high bytes.
    """
    between = values.copy()
    between[1:] -= values[:-1]
    small = between.copy()
    small[:, 1:] -= between[:, :-1]
    code = ((small << 1) ^ (small >> 15)).view(np.uint16)
    return np.stack([code & 255, code >> 8]).astype(np.uint8)


def _from_planes(planes: np.ndarray) -> np.ndarray:
    """The inverse of `_to_planes`."""
    code = planes[0] | planes[1].astype(np.uint16) << 8
    small = (code >> 1 ^ -(code & 1)).view(np.int16)
    return small.cumsum(axis=1, dtype=np.int16).cumsum(axis=0, dtype=np.int16)
