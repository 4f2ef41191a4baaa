"""A mesh sequence: what the main job writes, one frame at a time, and everything else reads.

Keys of the `.npz` (F frames, N vertices, M faces; no pickles; every number finite):

    lvd_schema     () int32
    vertices       (F, N, 3) float32, metres, OpenCV camera frame (x right, y down, z forward); zeros where not tracked
    vertex_std     (F, N) float32, metres
    faces          (M, 3) int32
    tracked        (F,) bool
    doubtful       (F,) bool, the mesh is not to be believed; files from before it have none: false
    hand_pose      (F, 30, 3) float32, axis-angle of SMPL-H's finger joints, see `tracking.fit`; zeros: none
    hand_states    (F, 2) uint8, of the left and the right hand: 0 as descended, 1 not seen and relaxed, 2 seen; files
                   from before them have neither: 0
    timestamps_ns  (F,) int64
    frame_index    (F,) int64, the frame's number in its source
    iterations     (F,) int32
    intrinsics     (3, 3) float64, or (F, 3, 3) where they or the image size change; zeros where not tracked
    image_size     (2,) int32, width and height, or (F, 2) likewise
    landmarks      (F, 33, 3) float32, x and y in picture pixels, visibility
    fps            () float64, 0 when unknown
    meta           () unicode, JSON text

A vertex (X, Y, Z) lies at the pixel u = fx X/Z + cx, v = fy Y/Z + cy, pixel centres on whole numbers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from lvd_live.errors import UserError
from lvd_live.person.types import describe
from lvd_live.session.rows import Rows
from lvd_live.storage.npz_stream import NpzStream
from lvd_live.storage.safe_npz import SafeNpz, Spec

if TYPE_CHECKING:
    from lvd_live.person.types import PersonFinder
    from lvd_live.tracking.fit import Fit
    from lvd_live.tracking.tracker import Tracker

SCHEMA = 1
LANDMARKS, FINGER_JOINTS = 33, 30
SPECS = {
    "lvd_schema": Spec("i4", ((),)),
    "vertices": Spec("f4", (("F", "N", 3),)),
    "vertex_std": Spec("f4", (("F", "N"),)),
    "faces": Spec("i4", (("M", 3),)),
    "tracked": Spec("b1", (("F",),)),
    "doubtful": Spec("b1", (("F",),), required=False),
    "hand_pose": Spec("f4", (("F", FINGER_JOINTS, 3),), required=False),
    "hand_states": Spec("u1", (("F", 2),), required=False),
    "timestamps_ns": Spec("i8", (("F",),)),
    "frame_index": Spec("i8", (("F",),)),
    "iterations": Spec("i4", (("F",),)),
    "intrinsics": Spec("f8", ((3, 3), ("F", 3, 3))),
    "image_size": Spec("i4", ((2,), ("F", 2))),
    "landmarks": Spec("f4", (("F", LANDMARKS, 3),)),
    "fps": Spec("f8", ((),)),
    "meta": Spec("U", ((),)),
}


class SequenceWriter:
    """Writes a sequence frame by frame; memory does not grow. `close` (call it in `finally`) makes the file valid.

    faces : (M, 3) int32. meta : anything JSON can hold. fps : 0 when unknown.

    Raises UserError: at construction when the place cannot be written (exit code 2), later on a full disk (exit code 1;
    `close` still keeps what was written).
    """

    def __init__(
        self, path: str | os.PathLike, faces: np.ndarray, n_vertices: int, meta: Mapping[str, Any], fps: float = 0.0
    ):
        self.faces = np.ascontiguousarray(faces, np.int32)
        shaped = self.faces.ndim == 2 and self.faces.shape[1] == 3
        if not shaped or (self.faces.size and not 0 <= self.faces.min() <= self.faces.max() < n_vertices):
            raise ValueError("faces must be (M,3) and point at the n_vertices vertices")
        self.n_vertices, self.meta, self.fps = int(n_vertices), dict(meta), float(fps)
        if not np.isfinite(self.fps):
            raise ValueError("fps must be finite")
        self._intrinsics: bytes | None = None  # of the last tracked frame
        self._size: bytes | None = None  # of the last frame
        self._one_camera = self._one_size = True  # so far
        self._camera_index = 0  # of the last tracked frame
        self._stream = NpzStream(
            path,
            {
                "vertices": ((self.n_vertices, 3), np.float32),
                "vertex_std": ((self.n_vertices,), np.float32),
                "landmarks": ((LANDMARKS, 3), np.float32),
                "tracked": ((), np.bool_),
                "doubtful": ((), np.bool_),
                "hand_pose": ((FINGER_JOINTS, 3), np.float32),
                "hand_states": ((2,), np.uint8),
                "timestamps_ns": ((), np.int64),
                "frame_index": ((), np.int64),
                "iterations": ((), np.int32),
                "intrinsics": ((3, 3), np.float64),
                "image_size": ((2,), np.int32),
            },
        )
        self.path = self._stream.path

    @property
    def frames(self) -> int:
        """Whole frames written so far."""
        return self._stream.frames

    def append(
        self,
        *,
        timestamp_ns: int,
        frame_index: int,
        image_size: tuple[int, int],
        vertices: np.ndarray | None = None,
        vertex_std: np.ndarray | None = None,
        intrinsics: np.ndarray | None = None,
        iterations: int = 0,
        landmarks: np.ndarray | None = None,
        doubtful: bool = False,
        hand_pose: np.ndarray | None = None,
        hand_states: tuple[int, int] = (0, 0),
    ) -> None:
        """Append one frame; without `vertices` it counts as not tracked. Shapes, units and frame: see the module.

        image_size : (width, height). Raises UserError on a full disk, ValueError for wrong shapes or NaN.
        """
        tracked = vertices is not None
        if tracked and intrinsics is None:
            raise ValueError("a tracked frame needs its intrinsics")
        if not tracked:
            vertices = vertex_std = intrinsics = hand_pose = None
        frame = {
            "vertices": _or_zeros(vertices, (self.n_vertices, 3), np.float32),
            "vertex_std": _or_zeros(vertex_std, (self.n_vertices,), np.float32),
            "landmarks": _or_zeros(landmarks, (LANDMARKS, 3), np.float32),
            "tracked": np.asarray(tracked, np.bool_),
            "doubtful": np.asarray(tracked and doubtful, np.bool_),
            "hand_pose": _or_zeros(hand_pose, (FINGER_JOINTS, 3), np.float32),
            "hand_states": np.asarray(hand_states if tracked else (0, 0), np.uint8),
            "timestamps_ns": np.asarray(timestamp_ns, np.int64),
            "frame_index": np.asarray(frame_index, np.int64),
            "iterations": np.asarray(iterations, np.int32),
            "intrinsics": _or_zeros(intrinsics, (3, 3), np.float64),
            "image_size": np.asarray(image_size, np.int32),
        }
        for name in ("vertices", "vertex_std", "landmarks", "intrinsics", "hand_pose"):
            if not np.isfinite(frame[name]).all():
                raise ValueError(f"{name} holds numbers that are not finite")
        self._stream.append(**frame)
        size = frame["image_size"].tobytes()
        self._one_size &= self._size in (None, size)
        self._size = size
        if tracked:
            camera = frame["intrinsics"].tobytes()
            self._one_camera &= self._intrinsics in (None, camera)
            self._intrinsics, self._camera_index = camera, self.frames - 1

    def close(self, **facts: Any) -> None:
        """Finish the file, with `facts` added to its meta. Without a frame nothing is written. Raises UserError."""
        if not self.frames:
            self._stream.abort()
            return
        whole: dict[str, ArrayLike] = {
            "lvd_schema": np.int32(SCHEMA),
            "faces": self.faces,
            "fps": np.float64(self.fps),
            "meta": np.array(json.dumps(self.meta | facts, ensure_ascii=True, allow_nan=False, default=str)),
        }
        constant = ("intrinsics", "image_size") if self._one_camera and self._one_size else ()
        whole |= {name: self._stream.read(name, self._camera_index) for name in constant}
        self._stream.close(whole, leave_out=constant)

    def abort(self) -> None:
        """Drop the file that was being written."""
        self._stream.abort()


@dataclass(frozen=True)
class Sequence:
    """A sequence as read back; see the module for shapes, dtypes, units and frames.

    vertices, vertex_std : read-only memory maps where the file allows, or arrays that are read row by row.
    intrinsics, image_size : always with one row per frame.
    """

    vertices: np.ndarray | Rows
    vertex_std: np.ndarray | Rows
    faces: np.ndarray
    tracked: np.ndarray
    doubtful: np.ndarray
    hand_pose: np.ndarray
    hand_states: np.ndarray
    timestamps_ns: np.ndarray
    frame_index: np.ndarray
    iterations: np.ndarray
    intrinsics: np.ndarray
    image_size: np.ndarray
    landmarks: np.ndarray
    fps: float
    meta: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.tracked)

    @property
    def seconds(self) -> np.ndarray:
        """(F,) float64, the rows' times from the first."""
        return (self.timestamps_ns - self.timestamps_ns[0]) / 1e9

    @property
    def shots(self) -> np.ndarray:
        """(F,) int64, which shot each row belongs to, 0, 1, …: one begins where the tracker saw a cut."""
        cuts = self.meta.get("cuts")
        known = [cut for cut in cuts if type(cut) is int] if isinstance(cuts, list) else []
        return np.arange(len(self.frame_index)) if self.alone else np.cumsum(np.isin(self.frame_index, known))

    @property
    def alone(self) -> bool:
        """Whether the rows are pictures that have nothing to do with each other."""
        return "names" in self.meta

    def between(self, start: float | None, end: float | None) -> Self:
        """The rows from `start` to `end`, seconds from the first row, both of them included; None: from or to its own.

        Raises UserError where there are none.
        """
        seconds = self.seconds
        begin, stop = 0.0 if start is None else start, float(seconds[-1]) if end is None else end
        rows = np.flatnonzero((seconds >= begin - 1e-6) & (seconds <= stop + 1e-6))
        if not len(rows):
            raise UserError(f"There is no frame from {begin:g} s to {stop:g} s: it is {seconds[-1]:.2f} s long.")
        first, last = int(rows[0]), int(rows[-1]) + 1
        parts: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Rows):
                parts[field.name] = value.part(first, last)
            elif isinstance(value, np.ndarray) and field.name != "faces":
                parts[field.name] = value[first:last]
        return replace(self, **parts)


def load_sequence(path: str | os.PathLike) -> Sequence:
    """Read a sequence from anyone's file: nothing in it is trusted, nothing in it is run.

    Raises UserError, one sentence, when the file is not a sequence, is damaged, was made by a newer program, or
    declares what it does not hold.
    """
    with SafeNpz(path, SPECS) as file:
        schema = int(file.read("lvd_schema"))
        if schema != SCHEMA:
            reads = f"this program reads schema {SCHEMA}"
            raise UserError(f"Cannot use {path}: it is a sequence of schema {schema}, and {reads}.")
        apart = ("vertices", "vertex_std", "lvd_schema", "fps", "meta")
        arrays = {name: file.read(name) for name in file.members if name not in apart}
        arrays.setdefault("doubtful", np.zeros(file.sizes["F"], bool))
        arrays.setdefault("hand_pose", np.zeros((file.sizes["F"], FINGER_JOINTS, 3), np.float32))
        arrays.setdefault("hand_states", np.zeros((file.sizes["F"], 2), np.uint8))
        faces, frames, vertices = arrays["faces"], file.sizes["F"], file.sizes["N"]
        if faces.size and not 0 <= faces.min() <= faces.max() < vertices:
            raise UserError(f"Cannot use {path}: its faces point at vertices that it does not have.")
        for name, shape in (("intrinsics", (frames, 3, 3)), ("image_size", (frames, 2))):
            arrays[name] = np.broadcast_to(arrays[name], shape)
        try:
            meta = json.loads(str(file.read("meta")))
        except (ValueError, RecursionError) as error:
            raise UserError(f"Cannot use {path}: its meta is not JSON.") from error
        if not isinstance(meta, dict):
            raise UserError(f"Cannot use {path}: its meta is not a JSON object.")
        return Sequence(
            vertices=file.map("vertices"),
            vertex_std=file.map("vertex_std"),
            fps=float(file.read("fps")),
            meta=MappingProxyType(meta),
            **arrays,
        )


def is_finite(fit: Fit) -> bool:
    """Whether all that is stored of a fit is finite."""
    return all(np.isfinite(array).all() for array in (fit.vertices, fit.vertex_std, fit.intrinsics))


def describe_run(finder: PersonFinder, tracker: Tracker) -> dict[str, Any]:
    """What a file remembers of who found and who tracked: JSON values."""
    return {"person": describe(finder), "tracker": tracker.describe()}


def _or_zeros(array: np.ndarray | None, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    return np.zeros(shape, dtype) if array is None else np.asarray(array, dtype)
