"""A session on disk: the files in its folder, and how each is written and read.

`session.json`      what was recorded, with a checksum; replaced as a whole.
`motion/000000.npz` the meshes, about half a second each; a segment is whole or not there. No pickles.
`video.mkv`         the pictures, H.264, one per row whose `video_ms` is not -1.
`thumbnail.jpg`     a small picture of the first frame with a mesh.
`.recording`        there while it is being recorded: room kept on the disk for its end, and a lock.

A segment holds T rows, one per frame, of which K are tracked, and N vertices: the `COLUMNS`; `row` (), rows before it; `session` (), the start of `session.json`; and the meshes
vertices[k] = centre[k] + step[k] · offsets[k], std[k] = STD_STEP · std[k], whole numbers of 16 bits, stored as `_to_bytes` says: in a third of the size.
`faces` (M,3) stand in the segments 0, 1, 2, 4, 8, …
"""

import io
import json
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvd_live.errors import UserError
from lvd_live.session.files import look_up, reason, write_whole
from lvd_live.session.safe_npz import SafeNpz, Spec

try:
    import fcntl
except ImportError:  # Windows refuses to replace files that are open, which is lock enough
    fcntl = None

SCHEMA = 1
STEP = 1e-4  # metres: meshes are stored to half of it; a frame that reaches beyond 3.2 m from its centre has a larger step
STD_STEP = 5e-4  # metres
FACTS, MOTION, VIDEO, THUMBNAIL, LOCK = "session.json", "motion", "video.mkv", "thumbnail.jpg", ".recording"
_FACTS_MAX = 1 << 20  # bytes
_ARRAY_MAX = 128 << 20
_SEGMENT = re.compile(r"(\d{6})\.npz")

COLUMNS = {  # name: (shape of one row, dtype)
    "tracked": ((), np.bool_),
    "doubtful": ((), np.bool_),  # the mesh is not to be believed; segments from before it have none
    "timestamps_ns": ((), np.int64),  # rising, as the source states them
    "frame_index": ((), np.int64),
    "video_ms": ((), np.int64),  # the picture's time in the video; -1: not in it
    "missed": ((), np.int32),  # frames of the source, since the row before, that never reached the recorder
    "dropped": ((), np.int32),  # and that the recorder could not take
    "iterations": ((), np.int32),
    "intrinsics": ((3, 3), np.float64),
    "image_size": ((2,), np.int32),
    "landmarks": ((33, 3), np.float32),
}
_SPECS = {
    "lvd_segment": Spec("i4", ((),)),
    "session": Spec("S", ((),)),
    "row": Spec("i8", ((),)),
    **{name: Spec(np.dtype(dtype).str[1:], (("T", *shape),), required=name != "doubtful") for name, (shape, dtype) in COLUMNS.items()},
    "centre": Spec("f8", (("K", 3),)),
    "step": Spec("f8", (("K",),)),
    "offsets": Spec("u1", ((2, "K", "N", 3),)),
    "std": Spec("u1", ((2, "K", "N"),)),
    "faces": Spec("i4", (("M", 3),), required=False),
}


@dataclass(frozen=True)
class Segment:
    """The small part of a segment: its place, its rows' columns, the number of its mesh's vertices, the start of session.json as text."""

    path: Path
    row: int
    columns: Mapping[str, np.ndarray]
    vertices: int
    has_faces: bool
    session: str

    def __len__(self) -> int:
        return len(self.columns["tracked"])


def pack_segment(row: int, columns: Mapping[str, np.ndarray], vertices: np.ndarray, std: np.ndarray, session: str, faces: np.ndarray | None = None) -> bytes:
    """A segment as a file's bytes. columns: as `COLUMNS`, (T, …) each; vertices (K, N, 3) and std (K, N) float32, metres, of the tracked rows; faces (M, 3) or None."""
    centre = np.einsum("knc->kc", vertices, dtype=np.float64) / vertices.shape[1]
    offsets = vertices - centre[:, None].astype(np.float32)
    step = np.maximum(np.abs(offsets).max((1, 2), initial=0.0) / 32_500.0, STEP)
    offsets = np.rint(offsets * (1 / step).astype(np.float32)[:, None, None]).astype(np.int16)
    levels = np.rint(np.clip(std / STD_STEP, 0, 65_535)).astype(np.uint16)
    arrays = {name: np.asarray(columns[name], dtype) for name, (_, dtype) in COLUMNS.items()}
    arrays |= {"lvd_segment": np.int32(SCHEMA), "session": np.array(session.encode("ascii")), "row": np.int64(row)}
    arrays |= {"centre": centre, "step": step.astype(np.float64), "offsets": _to_bytes(offsets), "std": _to_bytes(levels.view(np.int16))}
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
        columns = {name: file.read(name) if name in file.members else np.zeros(file.sizes["T"], bool) for name in COLUMNS}
        text = bytes(file.read("session")).decode("ascii", "replace")
        segment = Segment(path, int(file.read("row")), columns, file.sizes["N"], "faces" in file.members, text)
        sane = (
            len(segment) > 0
            and segment.row >= 0
            and file.sizes["K"] == columns["tracked"].sum()
            and (np.diff(columns["timestamps_ns"]) > 0).all()
            and (columns["video_ms"] >= -1).all()
            and all((columns[name] >= 0).all() for name in ("missed", "dropped", "iterations"))
            and (columns["image_size"] > 0).all()
        )
        if not sane:
            raise UserError(f"Cannot use {path}: its columns contradict each other.")
        return segment


def read_meshes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The meshes of a segment's tracked rows: (K, N, 3) and (K, N) float32, metres. Raises UserError."""
    with _open(path) as file:
        centre, step = file.read("centre"), file.read("step")
        if not ((step > 0) & (step < 1e6)).all() or not (np.abs(centre) < 1e9).all():
            raise UserError(f"Cannot use {path}: its meshes are of no size that a body has.")
        offsets, std = (_from_bytes(file.read(name)) for name in ("offsets", "std"))
        return (centre[:, None] + step[:, None, None] * offsets).astype(np.float32), std.view(np.uint16) * np.float32(STD_STEP)


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


def segment_path(folder: Path, number: int) -> Path:
    """Where segment `number` of the session in `folder` is."""
    return folder / MOTION / f"{number:06d}.npz"


def list_segments(folder: Path) -> list[Path]:
    """The session's segment files in order, whole or not. Raises UserError."""
    try:
        return sorted(path for path in (folder / MOTION).iterdir() if _SEGMENT.fullmatch(path.name) and path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"Cannot look into {folder / MOTION}: {reason(error)}.") from error


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Replace `session.json`; a checksum is added. Raises UserError."""
    facts = {name: value for name, value in facts.items() if name != "crc32"}
    write_whole(folder / FACTS, json.dumps(facts | {"crc32": _checksum(facts)}, indent=1, allow_nan=False).encode("ascii"))


def read_facts(folder: Path) -> dict[str, Any]:
    """`session.json`, all of whose values have the types that `write_facts` is given. Raises UserError where it is damaged or missing."""
    path = folder / FACTS
    there = look_up(path)
    if there is None or not stat.S_ISREG(there.st_mode):
        raise UserError(f"{folder} is no recorded session: it holds no {FACTS}.")
    try:
        if there.st_size > _FACTS_MAX:
            raise ValueError("too long")
        facts = json.loads(path.read_bytes())
        if facts.pop("crc32") != _checksum(facts):
            raise ValueError("checksum")
    except OSError as error:
        raise UserError(f"Cannot read {path}: {reason(error)}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged: run python -m lvd_live recover on its folder.") from error
    if facts.get("lvd_session") != SCHEMA:
        raise UserError(f"Cannot use {folder}: it is a session of another version of this program.")
    if not facts_are_sane(facts):
        raise UserError(f"{path} is damaged: run python -m lvd_live recover on its folder.")
    return facts


def facts_are_sane(facts: Any) -> bool:
    """Whether the values of session.json, or of its start in a segment, have the right types. A checksum is no seal: anyone can compute one."""
    kinds = {"name": str, "started": str, "fps": (int, float), "meta": dict}
    counts = ("frames", "dropped", "missed", "seconds", "video_frames")
    return (
        isinstance(facts, dict)
        and all(isinstance(facts.get(name), kind) for name, kind in kinds.items())
        and all(isinstance(facts.get(name, 0), (int, float)) and 0 <= facts.get(name, 0) < 1e12 for name in counts)
        and 0 <= facts["fps"] < 1e6
        and isinstance(facts.get("state", ""), str)
        and isinstance(facts.get("problem", ""), str)
        and isinstance(facts.get("measurements", {}), dict)
        and all(isinstance(m, dict) and all(isinstance(m.get(k), (int, float)) and 0 <= m[k] < 1e6 for k in ("cm", "spread_cm")) for m in facts.get("measurements", {}).values())
    )


def is_being_recorded(folder: Path) -> bool:
    """Whether a program that is running holds the session's lock."""
    if fcntl is None:
        return False
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(handle)


def _open(path: Path) -> SafeNpz:
    file = SafeNpz(path, _SPECS, limit=_ARRAY_MAX)
    schema = int(file.read("lvd_segment"))
    if schema != SCHEMA:
        file.__exit__(None, None, None)
        raise UserError(f"Cannot use {path}: it is a segment of schema {schema}, and this program reads schema {SCHEMA}.")
    return file


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """int16 (K, N, …) to uint8 (2, K, N, …), which deflate packs well: differences between frames, then between vertices (with wrap-around, as the sums have it), small ones of either sign as small
    numbers, all low bytes before all high bytes.
    """
    between = values.copy()
    between[1:] -= values[:-1]
    small = between.copy()
    small[:, 1:] -= between[:, :-1]
    code = ((small << 1) ^ (small >> 15)).view(np.uint16)
    return np.stack([code & 255, code >> 8]).astype(np.uint8)


def _from_bytes(planes: np.ndarray) -> np.ndarray:
    """The inverse of `_to_bytes`."""
    code = planes[0] | planes[1].astype(np.uint16) << 8
    small = (code >> 1 ^ -(code & 1)).view(np.int16)
    return small.cumsum(axis=1, dtype=np.int16).cumsum(axis=0, dtype=np.int16)


def _checksum(facts: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())
