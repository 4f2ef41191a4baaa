"""A mesh sequence: what the main job writes, one frame at a time, and everything else reads.

Keys of the `.npz` (F frames, N vertices, M faces; no pickles; every number finite):
`lvd_schema` () int32; `vertices` (F,N,3) float32, metres, OpenCV camera frame (x right, y down, z forward), zeros where
not tracked; `vertex_std` (F,N) float32, metres; `faces` (M,3) int32; `tracked` (F,) bool; `doubtful` (F,) bool, the mesh is not to be believed (files from
before it have none: false); `timestamps_ns` (F,) int64;
`frame_index` (F,) int64, the frame's number in its source; `iterations` (F,) int32; `intrinsics` float64 and `image_size`
int32 (width, height): (3,3) and (2,) when the same throughout, else (F,3,3) and (F,2); zero intrinsics where not tracked;
`landmarks` (F,33,3) float32, picture pixels + visibility; `fps` () float64, 0 when unknown; `meta` () unicode, JSON text.
A vertex (X, Y, Z) lies at pixel u = fx X/Z + cx, v = fy Y/Z + cy, pixel centres on whole numbers.
"""

import json
import os
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Mapping

import numpy as np

from lvd_live.errors import UserError
from lvd_live.session.npz_stream import NpzStream
from lvd_live.session.safe_npz import SafeNpz, Spec

SCHEMA = 1
LANDMARKS = 33
SPECS = {
    "lvd_schema": Spec("i4", ((),)),
    "vertices": Spec("f4", (("F", "N", 3),)),
    "vertex_std": Spec("f4", (("F", "N"),)),
    "faces": Spec("i4", (("M", 3),)),
    "tracked": Spec("b1", (("F",),)),
    "doubtful": Spec("b1", (("F",),), required=False),
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

    `faces` (M,3) int32; `meta` anything JSON can hold; `fps` 0 when unknown. Raises UserError: at construction when
    the place cannot be written (exit code 2), later on a full disk (exit code 1; `close` still keeps what was written).
    """

    def __init__(self, path: str | os.PathLike, faces: np.ndarray, n_vertices: int, meta: Mapping[str, Any], fps: float = 0.0):
        self.faces = np.ascontiguousarray(faces, np.int32)
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or (self.faces.size and not 0 <= self.faces.min() <= self.faces.max() < n_vertices):
            raise ValueError("faces must be (M,3) and point at the n_vertices vertices")
        self.n_vertices, self.meta, self.fps = int(n_vertices), dict(meta), float(fps)
        if not np.isfinite(self.fps):
            raise ValueError("fps must be finite")
        self._camera: tuple[bytes, bytes] | None = None  # of the tracked frames, while it is one and the same
        self._size: bytes | None = None
        self._one_camera = self._one_size = True
        self._camera_index = 0
        self._stream = NpzStream(
            path,
            {
                "vertices": ((self.n_vertices, 3), np.float32),
                "vertex_std": ((self.n_vertices,), np.float32),
                "landmarks": ((LANDMARKS, 3), np.float32),
                "tracked": ((), np.bool_),
                "doubtful": ((), np.bool_),
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
    ) -> None:
        """Append one frame; without `vertices` it counts as not tracked. Shapes, units and frame: see the module.

        `image_size` is (width, height). Raises UserError on a full disk, ValueError for wrong shapes or NaN.
        """
        tracked = vertices is not None
        if tracked and intrinsics is None:
            raise ValueError("a tracked frame needs its intrinsics")
        frame = {
            "vertices": vertices if tracked else np.zeros((self.n_vertices, 3), np.float32),
            "vertex_std": vertex_std if tracked and vertex_std is not None else np.zeros(self.n_vertices, np.float32),
            "landmarks": landmarks if landmarks is not None else np.zeros((LANDMARKS, 3), np.float32),
            "tracked": np.bool_(tracked),
            "doubtful": np.bool_(tracked and doubtful),
            "timestamps_ns": np.int64(timestamp_ns),
            "frame_index": np.int64(frame_index),
            "iterations": np.int32(iterations),
            "intrinsics": np.asarray(intrinsics, np.float64) if tracked else np.zeros((3, 3)),
            "image_size": np.asarray(image_size, np.int32),
        }
        for name in ("vertices", "vertex_std", "landmarks", "intrinsics"):
            if not np.isfinite(frame[name]).all():
                raise ValueError(f"{name} holds numbers that are not finite")
        self._stream.append(**frame)
        size = frame["image_size"].tobytes()
        self._one_size &= self._size in (None, size)
        self._size = size
        if tracked:
            camera = frame["intrinsics"].tobytes()
            self._one_camera &= self._camera in (None, camera)
            self._camera, self._camera_index = camera, self.frames - 1

    def close(self, **facts: Any) -> None:
        """Finish the file, with `facts` added to its meta. With no frame at all, nothing is written. Raises UserError."""
        if not self.frames:
            self._stream.abort()
            return
        whole = {
            "lvd_schema": np.int32(SCHEMA),
            "faces": self.faces,
            "fps": np.float64(self.fps),
            "meta": np.array(json.dumps(self.meta | facts, ensure_ascii=True, allow_nan=False, default=str)),
        }
        constant = ("intrinsics", "image_size") if self._one_camera and self._one_size else ()
        for name in constant:
            whole[name] = self._stream.read(name, self._camera_index)
        self._stream.close(whole, leave_out=constant)

    def abort(self) -> None:
        """Drop the file that was being written."""
        self._stream.abort()


@dataclass(frozen=True)
class Sequence:
    """A sequence as read back; see the module for shapes, dtypes, units and frames. `vertices` and `vertex_std` are
    read-only memory maps where the file allows; `intrinsics` and `image_size` always have one row per frame here."""

    vertices: np.ndarray
    vertex_std: np.ndarray
    faces: np.ndarray
    tracked: np.ndarray
    doubtful: np.ndarray
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


def load_sequence(path: str | os.PathLike) -> Sequence:
    """Read a sequence from anyone's file: nothing in it is trusted, nothing in it is run.

    Raises UserError, one sentence, when the file is not a sequence, is damaged, was made by a newer program, or
    declares what it does not hold.
    """
    with SafeNpz(path, SPECS) as file:
        schema = int(file.read("lvd_schema"))
        if schema != SCHEMA:
            raise UserError(f"Cannot use {path}: it is a sequence of schema {schema}, and this program reads schema {SCHEMA}.")
        arrays = {name: file.read(name) for name in file.members if name not in ("vertices", "vertex_std", "lvd_schema", "fps", "meta")}
        faces, frames, vertices = arrays["faces"], file.sizes["F"], file.sizes["N"]
        arrays.setdefault("doubtful", np.zeros(frames, bool))
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
            vertices=file.map("vertices"), vertex_std=file.map("vertex_std"), fps=float(file.read("fps")), meta=MappingProxyType(meta), **arrays
        )
