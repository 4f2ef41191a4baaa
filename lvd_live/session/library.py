"""The sessions in a folder: listed, opened, renamed, put into the trash."""

import datetime
import functools
import operator
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from lvd_live.errors import UserError
from lvd_live.session import segments
from lvd_live.session.recorder import folder_name
from lvd_live.session.sequence import Sequence
from lvd_live.sources import Frame, VideoSource
from lvd_live.storage.files import look_up, reason

WHOLE = ("complete", "stopped", "repaired")  # the states of a session whose files are finished
MATROSKA = b"\x1aE\xdf\xa3"  # how such a file begins
_CACHED = 8  # segments whose meshes stay in memory


@dataclass(frozen=True)
class SessionInfo:
    """What a list shows of a session. whole: finished; else it is being recorded, or `recover` should see it. dropped: frames that the recorder could not take.

    measurements: of the person, name to (cm, spread in cm); empty where they were not taken.
    """

    path: Path
    name: str
    started: datetime.datetime
    seconds: float
    frames: int
    dropped: int
    thumbnail: Path | None
    whole: bool
    measurements: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Session(Sequence):
    """A recorded session: a sequence (F frames) with some more. vertices (F, N, 3) and vertex_std (F, N) are `Rows`: read from disk when indexed.

    missed, dropped (F,) int32: frames lost before each one, on their way to the recorder and in it. video: the file of the pictures, or None; video_ms (F,) int64: each frame's time in it, -1 where
    it is not in it.
    """

    missed: np.ndarray
    dropped: np.ndarray
    video_ms: np.ndarray
    video: Path | None
    path: Path
    name: str

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """The recorded pictures in order: the session's row, and the `Frame` as it was recorded, but for the video's compression. Raises UserError without a video.

        Pictures of another size than the video's, which were scaled to fit into it, are left out.
        """
        if self.video is None:
            raise UserError(f"{self.path} holds no video.")
        with open(self.video, "rb") as file:
            if file.read(4) != MATROSKA:  # another kind, such as a playlist, may point at other files
                raise UserError(f"{self.video} is no matroska video.")
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


class Rows:
    """An array (F, …) float32 whose rows are read when asked for: `rows[i]`, slices, index arrays and masks as with NumPy; `np.asarray` reads all. Zeros where not tracked."""

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        shape: tuple[int, ...],
        place: np.ndarray,
        read: Callable[[int], tuple[np.ndarray, np.ndarray]],
        which: int,
    ):
        self.shape, self._place, self._read, self._which = shape, place, read, which

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._row(index) for index in range(len(self)))

    def __getitem__(self, key) -> np.ndarray:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        if first is Ellipsis:
            first, rest = slice(None), (Ellipsis, *rest)
        chosen = np.arange(len(self))[first]
        if chosen.ndim == 0:
            return self._row(int(chosen))[rest]
        rows = np.zeros((chosen.size, *self.shape[1:]), np.float32)
        for target, index in zip(rows, chosen.ravel(), strict=True):
            target[:] = self._row(int(index))
        rows = rows.reshape(*chosen.shape, *self.shape[1:])
        return rows[(slice(None),) * chosen.ndim + rest] if rest else rows

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def _row(self, index: int) -> np.ndarray:
        segment, place = self._place[operator.index(index)]
        return (
            np.zeros(self.shape[1:], np.float32) if place < 0 else self._read(int(segment))[self._which][place].copy()
        )


def list_sessions(root: Path) -> list[SessionInfo]:
    """The sessions in `root`, the newest first; damaged ones too. Raises UserError where `root` cannot be read."""
    try:
        folders = [path for path in Path(root).iterdir() if not path.name.startswith(".") and path.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"Cannot look into {root}: {reason(error)}.") from error
    found = [
        _info(folder) for folder in folders if look_up(folder / segments.FACTS) or look_up(folder / segments.MOTION)
    ]
    return sorted(found, key=lambda info: (info.started, info.path.name), reverse=True)


def rename(path: Path, name: str) -> Path:
    """Give a session another name, and its folder one that goes with it; returns the folder. Raises UserError."""
    path = Path(path)
    facts = segments.read_facts(path)
    if segments.is_being_recorded(path):
        raise UserError(f"{path} is being recorded and cannot be renamed.", exit_code=1)
    segments.write_facts(path, facts | {"name": name})
    stem, number = folder_name(f"{_moment(facts['started'], path):%Y-%m-%d_%H-%M-%S}", name), 1
    target = path.with_name(stem)
    while target != path and look_up(target):
        number += 1
        target = path.with_name(f"{stem}-{number}")
    try:
        return path.rename(target)
    except OSError as error:
        raise UserError(f"Cannot rename {path}: {reason(error)}.", exit_code=1) from error


def move_to_trash(path: Path) -> None:
    """Put a session into the system's trash. Raises UserError."""
    import send2trash

    path = Path(path)
    if not look_up(path / segments.FACTS) and not look_up(path / segments.MOTION):
        raise UserError(f"{path} is no recorded session.")
    if segments.is_being_recorded(path):
        raise UserError(f"{path} is being recorded and cannot be deleted.", exit_code=1)
    try:
        send2trash.send2trash(os.fspath(path))
    except (OSError, send2trash.TrashPermissionError) as error:
        raise UserError(f"Cannot put {path} into the trash ({error}): delete it by hand.", exit_code=1) from error


def open_session(path: Path) -> Session:
    """Open a session's folder; nothing in it is trusted. Raises UserError where a file is damaged: `recover` then helps."""
    path = Path(path)
    facts = segments.read_facts(path)
    try:
        parts = [segments.read_segment(file) for file in segments.list_segments(path)]
        check_order(path, parts)
        faces = next((segments.read_faces(part.path) for part in parts if part.has_faces), None)
    except UserError as error:
        raise UserError(f"{str(error).removesuffix('.')}; python -m lvd_live recover {path} saves the rest.") from error
    if faces is None:
        raise UserError(f"Cannot use {path}: it holds no motion.")
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in segments.COLUMNS}
    first = 0
    for before, part in zip(parts, parts[1:]):
        first += len(before)
        columns["missed"][first] += part.row - before.row - len(before)  # the rows of a segment that was lost
    place = np.concatenate([_places(number, part.columns["tracked"]) for number, part in enumerate(parts)])
    read = functools.lru_cache(_CACHED)(lambda number: segments.read_meshes(parts[number].path))
    frames, vertices = len(place), parts[0].vertices
    video = path / segments.VIDEO
    return Session(
        vertices=Rows((frames, vertices, 3), place, read, 0),
        vertex_std=Rows((frames, vertices), place, read, 1),
        faces=faces,
        fps=float(facts["fps"]),
        meta=MappingProxyType(facts["meta"]),
        video=video if look_up(video) else None,
        path=path,
        name=facts["name"],
        **columns,
    )


def check_order(path: Path, parts: list[segments.Segment]) -> None:
    """Raises UserError where segments do not follow each other, or are of different meshes."""
    for before, part in zip(parts, parts[1:]):
        rising = part.columns["timestamps_ns"][0] > before.columns["timestamps_ns"][-1]
        if part.row < before.row + len(before) or part.vertices != before.vertices or not rising:
            raise UserError(f"Cannot use {path}: {part.path.name} does not follow {before.path.name}.")


def _places(number: int, tracked: np.ndarray) -> np.ndarray:
    """(T, 2): the segment's number, and the place of each row's mesh in it, -1 where it has none."""
    return np.stack([np.full(len(tracked), number), np.where(tracked, np.cumsum(tracked) - 1, -1)], axis=1)


def _info(folder: Path) -> SessionInfo:
    try:
        facts = segments.read_facts(folder)
    except UserError:
        facts = {"name": folder.name, "started": "", "state": "damaged"}
    thumbnail = folder / segments.THUMBNAIL
    whole = facts.get("state") in WHOLE and not look_up(folder / segments.LOCK)
    if not whole:
        facts |= _extent(folder)
    return SessionInfo(
        path=folder,
        name=facts["name"],
        started=_moment(facts["started"], folder),
        seconds=float(facts.get("seconds", 0)),
        frames=int(facts.get("frames", 0)),
        dropped=int(facts.get("dropped", 0)),
        thumbnail=thumbnail if look_up(thumbnail) else None,
        whole=whole,
        measurements={name: (m["cm"], m["spread_cm"]) for name, m in facts.get("measurements", {}).items()},
    )


def _extent(folder: Path) -> dict[str, float]:
    """Frames and seconds of a session without a finished session.json, from its first and last segment."""
    try:
        first, last = (
            segments.read_segment(path) for path in operator.itemgetter(0, -1)(segments.list_segments(folder))
        )
    except (UserError, IndexError):
        return {}
    return {
        "frames": last.row + len(last),
        "seconds": (last.columns["timestamps_ns"][-1] - first.columns["timestamps_ns"][0]) / 1e9,
    }


def _moment(text: str, folder: Path) -> datetime.datetime:
    """The stated start of a session, or when its folder was changed last."""
    try:
        moment = datetime.datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError):
        return datetime.datetime.fromtimestamp(folder.stat().st_mtime).astimezone()
