"""The recorder: frames and fits go to disk as they come, so that a crash costs less than a second of them."""

import contextlib
import datetime
import json
import logging
import queue
import re
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvd_live import draw
from lvd_live.errors import UserError
from lvd_live.session import segments
from lvd_live.session.files import is_disk_full, reason, sync_folder, write_whole
from lvd_live.session.live_video import LiveVideo, Reserve

log = logging.getLogger(__name__)

SEGMENT_S = 0.5  # of motion in a segment
IDLE_S = 1.0  # without a frame, and what is in memory is written
RETRY_S = 1.0  # between attempts to write what did not go to a full disk
MIN_FREE = 64 << 20  # bytes left on the disk at which recording stops
QUEUE_BYTES = 128 << 20  # of pictures that wait
THUMBNAIL_SIDE = 320


class Recorder:
    """Records a session into a new folder of `root`; see `segments` for what is in it. One thread writes, another calls `add`.

    faces (M, 3) int; meta: JSON values, kept for replay; fps: nominal, 0 when unknown. The clock of mesh and picture is Frame.timestamp_ns.
    path: the session's folder. frames: rows taken. seconds: from the first to the last. dropped: frames that came while the queue was full. problem: "", or the sentence why it stopped.
    Raises UserError where nothing can be recorded.
    """

    def __init__(self, root: Path, name: str = "", *, faces: np.ndarray, meta: Mapping[str, Any], fps: float = 0.0, min_free: int = MIN_FREE):
        self.faces = np.ascontiguousarray(faces, np.int32)
        self.vertices = int(self.faces.max()) + 1  # a closed mesh uses every vertex
        self.frames, self.dropped, self.seconds, self.problem = 0, 0, 0.0, ""
        started = datetime.datetime.now().astimezone()
        start = {"lvd_session": segments.SCHEMA, "name": name, "started": started.isoformat(timespec="seconds"), "fps": float(fps), "meta": dict(meta)}
        self._start = json.loads(json.dumps(start, allow_nan=False, default=str))
        self.path = _new_folder(Path(root), f"{started:%Y-%m-%d_%H-%M-%S}", name)
        try:
            (self.path / segments.MOTION).mkdir()
            self._reserve = Reserve(self.path / segments.LOCK)
            self._writer = _Writer(self.path, self._start, self.faces, self._reserve, min_free)
            self._writer.write_facts("recording", 0, 0)
        except (OSError, UserError) as error:
            shutil.rmtree(self.path, ignore_errors=True)
            why = reason(error) if isinstance(error, OSError) else reason(error.__cause__) if isinstance(error.__cause__, OSError) else str(error)
            raise UserError(f"Cannot record to {root}: {why}.") from error
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._limit = 0
        self._first_ns = self._last_ns = self._last_index = None
        self._missed = self._missed_all = self._dropped = 0  # since the last row; altogether
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def add(self, frame, person, fit) -> None:
        """Take one frame: `Frame`, `Person` or None when nobody is there, `Fit` or None. Never waits; what does not fit into the queue is dropped, counted and marked."""
        if fit is not None and fit.vertices.shape != (self.vertices, 3):
            raise ValueError(f"the mesh has {self.vertices} vertices, not {fit.vertices.shape}")
        with self._lock:
            if self.problem or self._stop.is_set():
                return
            if self._last_index is not None and frame.index > self._last_index + 1:
                self._note_missed(frame.index - self._last_index - 1)
            self._last_index = frame.index
            self._limit = self._limit or int(max(4, min(self._start["fps"] or 30, QUEUE_BYTES / frame.picture.nbytes)))
            if self._queue.qsize() >= self._limit:
                self.dropped, self._dropped = self.dropped + 1, self._dropped + 1
                return
            time_ns = frame.timestamp_ns if self._last_ns is None else max(frame.timestamp_ns, self._last_ns + 1)
            self._first_ns = time_ns if self._first_ns is None else self._first_ns
            self._last_ns, self.frames, self.seconds = time_ns, self.frames + 1, (time_ns - self._first_ns) / 1e9
            marks = {"timestamps_ns": time_ns, "frame_index": frame.index, "missed": self._missed, "dropped": self._dropped}
            self._missed = self._dropped = 0
            self._queue.put((frame.picture, None if person is None else person.landmarks, fit, marks))

    def missed(self, count: int) -> None:
        """Mark `count` frames that never came here and leave no gap in Frame.index; gaps are marked by themselves."""
        with self._lock:
            self._note_missed(count)

    def stop(self) -> Path:
        """Write what is in memory, close the files, return the session's folder; without a single frame the folder is gone. `problem` says whether something was lost."""
        with self._lock:  # nothing comes behind the end
            self._stop.set()
            self._queue.put(None)
        self._thread.join()
        return self.path

    def _note_missed(self, count: int) -> None:
        self._missed, self._missed_all = self._missed + count, self._missed_all + count

    def _run(self) -> None:
        try:
            self._record()
        except UserError as error:
            self.problem = str(error)
        except Exception as error:  # a mistake in the program costs the rest of the recording, not the run
            log.exception("the recorder stopped")
            self.problem = f"Recording stopped because of a mistake in the program ({type(error).__name__}: {error})."
        self._abandon_queue()
        while not self._try_flush() and not self._stop.wait(RETRY_S):
            pass
        if not self._try_flush():
            self.problem = self.problem or "The last frames could not be written."
        with self._lock:
            lost = self.frames - self._writer.row  # taken, and not on the disk
        if lost:
            self.problem += f" The last {lost} frames are lost."
        try:
            with self._lock:
                self.dropped, self.frames = self.dropped + lost, self._writer.row
            self._writer.close("complete" if not self.problem else "stopped", self.dropped, self._missed_all, self.problem)
        except UserError as error:
            self.problem = self.problem or str(error)

    def _record(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=IDLE_S)
            except queue.Empty:
                self._writer.flush()
                continue
            if item is None:
                self._writer.flush()
                return
            self._writer.take(*item)

    def _try_flush(self) -> bool:
        try:
            self._writer.flush(last=True)
            return True
        except UserError as error:
            self.problem = self.problem or str(error)
            return False

    def _abandon_queue(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()


class _Writer:
    """What the recorder's thread does with one frame after another. Raises UserError when recording must stop; rows not yet written stay, for another `flush`."""

    def __init__(self, folder: Path, start: dict, faces: np.ndarray, reserve: Reserve, min_free: int):
        self.folder, self.start, self.faces, self.reserve, self.min_free = folder, start, faces, reserve, min_free
        self.text = json.dumps(start)
        self.number = self.row = 0  # segments, and rows in them
        self.columns: dict[str, list] = {name: [] for name in segments.COLUMNS}
        self.vertices: list[np.ndarray] = []
        self.std: list[np.ndarray] = []
        self.video: LiveVideo | None = None
        self.first_ns = self.last_ns = 0
        self.thumbnail = ""  # "", "first" or "tracked": what it shows
        self.check_space()

    @property
    def waiting(self) -> int:
        """Rows in memory."""
        return len(self.columns["tracked"])

    def take(self, picture: np.ndarray, landmarks: np.ndarray | None, fit, marks: dict[str, int]) -> None:
        """Put the picture into the video, the rest into memory, and memory on disk when half a second is in it."""
        if fit is not None and not all(np.isfinite(array).all() for array in (fit.vertices, fit.vertex_std, fit.intrinsics)):
            fit = None
        if not self.row and not self.waiting:
            self.first_ns = marks["timestamps_ns"]
        self.last_ns = marks["timestamps_ns"]
        if self.video is None:
            self.video = LiveVideo(self.folder / segments.VIDEO, (picture.shape[1], picture.shape[0]), self.start["fps"], self.reserve)
        row = marks | {
            "tracked": fit is not None,
            "doubtful": fit is not None and fit.doubtful,
            "video_ms": self.video.write(picture, self.last_ns - self.first_ns),
            "iterations": 0 if fit is None else fit.iterations,
            "intrinsics": np.zeros((3, 3)) if fit is None else fit.intrinsics,
            "image_size": (picture.shape[1], picture.shape[0]),
            "landmarks": np.zeros((33, 3), np.float32) if landmarks is None or not np.isfinite(landmarks).all() else landmarks,
        }
        for name, value in row.items():
            self.columns[name].append(value)
        if fit is not None:
            self.vertices.append(fit.vertices)
            self.std.append(fit.vertex_std)
        if self.thumbnail != "tracked" and (fit is not None or not self.thumbnail):
            self.write_thumbnail(picture)
            self.thumbnail = "first" if fit is None else "tracked"
        if self.last_ns - self.columns["timestamps_ns"][0] >= (SEGMENT_S * 1e9):
            self.flush()

    def flush(self, last: bool = False) -> None:
        """Write the rows in memory as a segment; then see whether there is room for more, unless it is the last."""
        if self.waiting:
            count = len(self.vertices)
            vertices = np.stack(self.vertices) if count else np.zeros((0, int(self.faces.max()) + 1, 3), np.float32)
            std = np.stack(self.std) if count else np.zeros(vertices.shape[:2], np.float32)
            faces = self.faces if segments.carries_faces(self.number) else None
            data = segments.pack_segment(self.row, self.columns, vertices, std, self.text, faces)
            self.write(segments.segment_path(self.folder, self.number), data)
            self.number, self.row = self.number + 1, self.row + self.waiting
            self.columns, self.vertices, self.std = {name: [] for name in segments.COLUMNS}, [], []
            if self.video is not None:
                self.video.sync()
        if not last:
            self.check_space()

    def check_space(self) -> None:
        """Raises UserError where the disk is full, or nearly."""
        if self.reserve.used:
            raise UserError("Recording stopped: the disk is full.", exit_code=1)
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self.folder).free < self.min_free:
                raise UserError(f"Recording stopped: less than {self.min_free >> 20} MB are free on the disk.", exit_code=1)

    def write(self, path: Path, data: bytes) -> None:
        """As `write_whole`, with the reserve for a full disk."""
        try:
            write_whole(path, data)
        except UserError as error:
            if not isinstance(error.__cause__, OSError) or not is_disk_full(error.__cause__) or not self.reserve.release():
                raise UserError(f"Recording stopped: {error}", exit_code=1) from error
            write_whole(path, data)

    def write_thumbnail(self, picture: np.ndarray) -> None:
        scale = min(THUMBNAIL_SIDE / max(picture.shape[:2]), 1.0)
        small = draw.fit_into(picture, tuple(max(round(side * scale), 1) for side in picture.shape[1::-1]))
        made, data = cv2.imencode(".jpg", small[..., ::-1])
        if made:
            self.write(self.folder / segments.THUMBNAIL, data.tobytes())

    def write_facts(self, state: str, dropped: int, missed: int, problem: str = "") -> None:
        """Replace session.json."""
        seconds, pictures = (self.last_ns - self.first_ns) / 1e9, self.video.frames if self.video else 0
        counts = {"frames": self.row, "seconds": seconds, "dropped": dropped, "missed": missed, "video_frames": pictures}
        segments.write_facts(self.folder, self.start | {"state": state, "problem": problem} | counts)

    def close(self, state: str, dropped: int, missed: int, problem: str) -> None:
        """End the video, write session.json, give the lock back. Raises UserError."""
        try:
            self.reserve.release(full=False)
            if self.video is not None:
                self.video.close()
            if self.row or self.waiting:
                self.write_facts(state, dropped, missed, problem)
        finally:
            self.reserve.close()
        if not self.row and not self.waiting:
            shutil.rmtree(self.folder, ignore_errors=True)


def folder_name(started: str, name: str) -> str:
    """A session's folder: its start, and what of its name can stand in a file's name."""
    slug = re.sub(r"[^\w-]+", "-", name).strip("-")
    return f"{started}-{slug.encode()[:120].decode(errors='ignore')}".rstrip("-")


def _new_folder(root: Path, started: str, name: str) -> Path:
    """A folder that was not there before. Raises UserError."""
    stem, number = folder_name(started, name), 1
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            folder = root / (stem if number == 1 else f"{stem}-{number}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                sync_folder(root)
                return folder
            number += 1
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot record to {root}: {reason(error) if isinstance(error, OSError) else error}.") from error
