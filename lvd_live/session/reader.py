"""A recorded session, opened: a sequence whose meshes stay on disk, with its pictures."""

from __future__ import annotations

import functools
import itertools
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from lvd_live.errors import UserError
from lvd_live.session import segments
from lvd_live.session.facts import read_facts
from lvd_live.session.layout import VIDEO, list_segments
from lvd_live.session.rows import Rows
from lvd_live.session.sequence import Sequence
from lvd_live.sources import Frame, VideoSource
from lvd_live.storage.files import look_up

MATROSKA = b"\x1aE\xdf\xa3"  # the first bytes of such a file
_MOST_MISSED = np.iinfo(np.int32).max
_CACHED = 8  # segments whose meshes stay in memory


@dataclass(frozen=True)
class Session(Sequence):
    """A recorded session of F frames; vertices (F, N, 3) and vertex_std (F, N) are `Rows`. See `Sequence` for the rest.

    fitted : (F,) bool; false where the tracker had no time for a frame, which waits to be fitted (`refill`).
    missed : (F,) int32; frames lost before each one on their way to the recorder; dropped : (F,) int32; in it.
    video_ms : (F,) int64; each frame's time in the video, -1 where it is not in it. video : its file, or None.
    path : the session's folder.
    """

    fitted: np.ndarray
    missed: np.ndarray
    dropped: np.ndarray
    video_ms: np.ndarray
    video: Path | None
    path: Path
    name: str

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """The recorded pictures in order: the session's row, and the `Frame` as recorded, but for the compression.

        Pictures of another size than the video's, which were scaled to fit into it, are left out. Raises UserError
        where there is no video.
        """
        if self.video is None:
            raise UserError(f"{self.path} holds no video.")
        check_is_matroska(self.video)
        rows = {int(ms): row for row, ms in enumerate(self.video_ms) if ms >= 0}
        with VideoSource(self.video) as source:
            for frame in source:
                row = rows.get(round((source.start_ns + frame.timestamp_ns) / 1e6))
                if row is None:
                    continue
                width, height = self.image_size[row]
                if frame.picture.shape[:2] == (height + height % 2, width + width % 2):
                    picture = np.ascontiguousarray(frame.picture[:height, :width])
                    yield row, Frame(picture, int(self.frame_index[row]), int(self.timestamps_ns[row]), self.video.name)


def check_is_matroska(video: Path) -> None:
    """Raises UserError where `video` is of another kind: a playlist, for one, may point at other files."""
    there = look_up(video)
    if there and stat.S_ISREG(there.st_mode):
        with open(video, "rb") as file:
            if file.read(len(MATROSKA)) == MATROSKA:
                return
    raise UserError(f"{video} is no matroska video.")


def open_session(path: Path) -> Session:
    """Open a session's folder; nothing in it is trusted.

    Raises UserError where a file is damaged: `recover` then helps.
    """
    path = Path(path)
    facts = read_facts(path)
    try:
        parts = [segments.read_segment(file) for file in list_segments(path)]
        segments.check_order(path, parts)
        faces = next((segments.read_faces(part.path) for part in parts if part.has_faces), None)
    except UserError as error:
        raise UserError(f"{str(error).removesuffix('.')}; python -m lvd_live recover {path} saves the rest.") from error
    if faces is None:
        raise UserError(f"Cannot use {path}: it holds no motion.")
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in segments.COLUMNS}
    first = 0
    for before, part in itertools.pairwise(parts):
        first += len(before)
        lost = part.row - before.row - len(before)  # the rows of a segment that is not there
        columns["missed"][first] = min(int(columns["missed"][first]) + lost, _MOST_MISSED)
    vertices, vertex_std = _lazy_meshes(parts)
    video = path / VIDEO
    return Session(
        vertices=vertices,
        vertex_std=vertex_std,
        faces=faces,
        fps=float(facts["fps"]),
        meta=MappingProxyType(facts["meta"]),
        video=video if look_up(video) else None,
        path=path,
        name=facts["name"],
        **columns,
    )


def _lazy_meshes(parts: list[segments.Segment]) -> tuple[Rows, Rows]:
    """Vertices (F, N, 3) and their std (F, N) of all rows, zeros where not tracked, read segment by segment."""
    place = np.concatenate([_places(number, part.columns["tracked"]) for number, part in enumerate(parts)])

    @functools.lru_cache(_CACHED)
    def meshes(number: int) -> tuple[np.ndarray, np.ndarray]:
        return segments.read_meshes(parts[number].path, parts[number].columns["tracked"])

    def reader(which: int, shape: tuple[int, ...]) -> Callable[[int], np.ndarray]:
        def read(row: int) -> np.ndarray:
            number, index = place[row]
            return np.zeros(shape, np.float32) if index < 0 else meshes(int(number))[which][index].copy()

        return read

    frames, n = len(place), parts[0].vertices
    return Rows((frames, n, 3), reader(0, (n, 3))), Rows((frames, n), reader(1, (n,)))


def _places(number: int, tracked: np.ndarray) -> np.ndarray:
    """Where the meshes of a segment are: (T, 2), its number and the mesh in it, -1 where `tracked` (T,) is false."""
    return np.stack([np.full(len(tracked), number), np.where(tracked, np.cumsum(tracked) - 1, -1)], axis=1)
