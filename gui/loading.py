"""What a review looks at: a sequence or a session, and the pictures of its video."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lvd_live.errors import UserError
from lvd_live.gui.inputs import SCANS, VIDEOS
from lvd_live.paths import DEMO
from lvd_live.session.reader import Session, check_is_matroska, open_session
from lvd_live.session.sequence import Sequence, load_sequence
from lvd_live.sources import Frame, VideoSource

TOLERANCE_NS = 500_000  # a video's container states times to the millisecond
FAR_AHEAD_NS = 2_000_000_000  # beyond this a seek is quicker than decoding what lies between


def load(path: Path, video: Path | None = None) -> tuple[Sequence, Path | None, str]:
    """Open a session's folder or a sequence's file.

    video : of a sequence; None: the one beside it that it names, if that is there.

    Returns what is in it, its video, None where there is none, and a title. Raises UserError.
    """
    path = Path(path)
    if path.is_dir():
        session = open_session(path)
        return session, session.video, session.name
    if is_motion(path):
        raise UserError(
            f"{path} is a motion for other programs: open the recording or the result it was exported from."
        )
    data = load_sequence(path)
    if not len(data):
        raise UserError(f"There is no frame in {path}.")
    return data, video or _video_beside(path, data), path.stem


def is_motion(path: Path) -> bool:
    """Whether this is an AMASS motion, such as the program exports: it has no camera to be drawn through."""
    try:
        with zipfile.ZipFile(path) as file:
            names = set(file.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return {"poses.npy", "trans.npy"} <= names and "vertices.npy" not in names


def is_scan(path: Path) -> bool:
    """Whether this is a scan's file by its name; of an .npz by what is in it: one mesh, or points."""
    suffix = path.suffix.lower()
    if suffix != ".npz":
        return suffix in SCANS
    try:
        with zipfile.ZipFile(path) as file:
            names = set(file.namelist())
            if "vertices.npy" in names and "vertex_std.npy" not in names:
                with file.open("vertices.npy") as array:
                    version = np.lib.format.read_magic(array)
                    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
                    return read is not None and len(read(array)[0]) == 2
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError):
        return False
    return "vertices.npy" not in names and bool({"points.npy", "xyz.npy", "verts.npy"} & names)


def _video_beside(path: Path, data: Sequence) -> Path | None:
    """The video of the name that a sequence states, in its folder, unless that is the overlay made with it.

    The demo's own lies with the program.
    """
    name = Path(str(data.meta.get("source", ""))).name
    beside = path.parent / name
    if beside.suffix.lower() in VIDEOS and beside.is_file() and name != data.meta.get("overlay"):
        return beside
    return DEMO if name == DEMO.name and DEMO.is_file() else None


class Pictures:
    """The pictures of a sequence or session, by row, from its video; for one thread.

    Raises UserError where the video cannot be opened.
    """

    def __init__(self, data: Sequence, video: Path):
        self._data = data
        if isinstance(data, Session):
            check_is_matroska(video)
        self._source = VideoSource(video)
        next(iter(self._source), None)  # from then on `start_ns` is known
        self._frames: Iterator[Frame] = iter(())
        self._newest: Frame | None = None

    def read(self, row: int) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB of the frame's own size, or None where the video has none for it. Raises UserError."""
        wanted = self._time_ns(row)
        if wanted is None:
            return None
        frame = self._seek(wanted)
        if frame is None or frame.timestamp_ns > wanted + TOLERANCE_NS:
            return None
        picture, (width, height) = frame.picture, self._data.image_size[row]
        even = height + height % 2, width + width % 2  # what the codec of a session's video needs
        if isinstance(self._data, Session) and picture.shape[:2] == even:
            picture = picture[:height, :width]
        return np.ascontiguousarray(picture) if picture.shape[:2] == (height, width) else None

    def close(self) -> None:
        """Close the video."""
        self._source.close()

    def _seek(self, wanted: int) -> Frame | None:
        """The first frame that is no earlier than `wanted`, nanoseconds; None behind the last."""
        newest = self._newest
        if newest is None or not newest.timestamp_ns <= wanted <= newest.timestamp_ns + FAR_AHEAD_NS:
            self._frames = self._source.frames_from(wanted)
            newest = next(self._frames, None)
        while newest is not None and newest.timestamp_ns < wanted - TOLERANCE_NS:
            newest = next(self._frames, None)
        self._newest = newest
        return newest

    def _time_ns(self, row: int) -> int | None:
        """A row's time since the video's first frame, nanoseconds; None where it is not in the video."""
        if not isinstance(self._data, Session):
            return int(self._data.timestamps_ns[row])
        ms = int(self._data.video_ms[row])
        return None if ms < 0 else ms * 1_000_000 - self._source.start_ns
