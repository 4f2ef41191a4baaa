"""The recorder: frames and fits go to disk as they come, so that a crash costs less than a second of them."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lvd_live.errors import UserError
from lvd_live.person.types import Person
from lvd_live.session.facts import SCHEMA
from lvd_live.session.layout import make_folder
from lvd_live.session.session_writer import SessionWriter
from lvd_live.sources.frame import Frame
from lvd_live.storage.files import reason
from lvd_live.tracking.fit import Fit

log = logging.getLogger(__name__)

IDLE_S = 1.0  # without a frame, after which what is in memory is written
RETRY_S = 1.0  # between attempts to write what did not go to a full disk
MIN_FREE = 64 << 20  # bytes left on the disk at which recording stops
QUEUE_BYTES = 128 << 20  # of pictures that wait

_Item = Callable[[], None]  # a method of the SessionWriter with its arguments


class Recorder:
    """Records a session into a new folder of `root`, whose files `layout` lists. One thread writes, one calls `add`.

    faces : (M, 3) int. meta : JSON values, kept for replay. fps : nominal, 0 when unknown. min_free : bytes left on the
    disk at which recording stops. Mesh and picture share the clock of Frame.timestamp_ns.
    every_frame : pictures come by `see`, as the camera gives them, and what was fitted to some of them by `add`; else
    both come by `add`.

    path : the session's folder. frames : rows taken. dropped : frames that came while the queue was full. problem : "",
    or the sentence why it stopped. People are told of `lost`, which they know as frames dropped.

    Raises UserError where nothing can be recorded.
    """

    def __init__(
        self,
        root: Path,
        name: str = "",
        *,
        faces: np.ndarray,
        meta: Mapping[str, Any],
        fps: float = 0.0,
        min_free: int = MIN_FREE,
        every_frame: bool = False,
    ):
        self.every_frame = every_frame
        self.faces = np.ascontiguousarray(faces, np.int32)
        self.vertices = int(self.faces.max()) + 1  # a closed mesh uses every vertex
        self.frames, self.dropped, self.problem = 0, 0, ""
        started = datetime.datetime.now().astimezone()
        start = _start_facts(name, started, fps, meta)
        self.path = make_folder(Path(root), f"{started:%Y-%m-%d_%H-%M-%S}", name)
        try:
            self._writer = SessionWriter(self.path, start, self.faces, min_free)
        except (OSError, UserError) as error:
            shutil.rmtree(self.path, ignore_errors=True)
            cause = error.__cause__ if isinstance(error, UserError) else error
            why = reason(cause) if isinstance(cause, OSError) else _cause_of(error)
            raise UserError(f"Cannot record to {root}: {why}.") from error
        self._fps = fps
        self._lock = threading.Lock()  # guards the counts and the end of the queue
        self._marks = _Marks()
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._limit = 0  # items in the queue; set by the first picture
        self._seen = self._settled = -1  # index of the last frame that `see` and `add` were given
        self._closed = False  # no more pictures
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        """From the first row to the last."""
        return self._marks.seconds

    @property
    def lost(self) -> int:
        """Frames of the source, from the first row on, that are not in the session: `dropped`, or never fitted."""
        return self.dropped + self._marks.missed_in_all

    @property
    def unfitted(self) -> int:
        """Rows so far that the tracker had no time for."""
        return self._writer.unfitted

    @property
    def waiting(self) -> int:
        """Frames that were taken and wait to be written."""
        return self._queue.qsize()

    def add(self, frame: Frame, person: Person | None, fit: Fit | None) -> None:
        """Take one frame. Never waits: what does not fit into the queue is dropped, counted and marked.

        Raises ValueError for a mesh that has not the vertices of `faces`.
        """
        if fit is not None and fit.vertices.shape != (self.vertices, 3):
            raise ValueError(f"the mesh has {self.vertices} vertices, not {fit.vertices.shape}")
        landmarks = None if person is None else person.landmarks
        with self._lock:
            if self.every_frame and not self._stop.is_set():
                self._settled = frame.index
                self._queue.put(partial(self._writer.settle, frame.index, landmarks, fit))
            elif self._has_room(frame):
                self._queue.put(partial(self._writer.take, frame.picture, landmarks, fit, self._marks.of_row(frame)))

    def see(self, frame: Frame) -> None:
        """Take a picture, in the order of Frame.index; what was fitted to it comes by `add`. Never waits, see there."""
        with self._lock:
            if not self._closed and self._has_room(frame):
                self._seen = frame.index
                self._queue.put(partial(self._writer.take_picture, frame.picture, self._marks.of_row(frame)))

    def _has_room(self, frame: Frame) -> bool:
        """Whether the frame can be taken; it is counted, as a row or as dropped."""
        if self.problem or self._stop.is_set():
            return False
        self._marks.note_index(frame.index)
        pictures = max(4, min(self._fps or 30, QUEUE_BYTES / frame.picture.nbytes))
        self._limit = self._limit or int(pictures * (1 + self.every_frame))  # a fit is an item of its own then
        if self._queue.qsize() >= self._limit:
            self.dropped += 1
            self._marks.dropped += 1
            return False
        self.frames += 1
        return True

    def missed(self, count: int) -> None:
        """Mark `count` frames that never came here and leave no gap in Frame.index; gaps are marked by themselves."""
        with self._lock:
            self._marks.note_missed(count)

    def stop(self, patience_s: float = 0.0) -> Path:
        """Write what is in memory, close the files, return the session's folder, which is gone without a single frame.

        `problem` says whether something was lost. patience_s : seconds to wait for fits of pictures that were taken.
        """
        self._closed = True
        end = time.monotonic() + patience_s
        while self._settled < self._seen and time.monotonic() < end and not self.problem:
            time.sleep(0.005)
        with self._lock:  # nothing is put behind the end
            self._stop.set()
            self._queue.put(None)
        self._thread.join()
        return self.path

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
        self._finish()

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
            item()

    def _abandon_queue(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()

    def _try_flush(self) -> bool:
        try:
            self._writer.flush(last=True)
            return True
        except UserError as error:
            self.problem = self.problem or str(error)
            return False

    def _finish(self) -> None:
        """Count what was taken and is not on the disk as lost, and close the files."""
        with self._lock:
            lost = self.frames - self._writer.row
            self.dropped, self.frames = self.dropped + lost, self._writer.row
        if lost:
            self.problem += " The last frame is lost." if lost == 1 else f" The last {lost} frames are lost."
        try:
            state = "stopped" if self.problem else "complete"
            self._writer.close(state, self.problem, self.dropped, self._marks.missed_in_all)
        except UserError as error:
            self.problem = self.problem or str(error)


class _Marks:
    """The time of each row, and what was lost before it.

    missed, dropped : frames since the last row. missed_in_all : since the start.
    """

    def __init__(self) -> None:
        self.missed = self.dropped = self.missed_in_all = 0
        self._last_index: int | None = None
        self._first_ns: int | None = None
        self._last_ns = 0

    @property
    def seconds(self) -> float:
        return 0.0 if self._first_ns is None else (self._last_ns - self._first_ns) / 1e9

    def note_missed(self, count: int) -> None:
        self.missed += count
        self.missed_in_all += count

    def note_index(self, index: int) -> None:
        """Frame `index` came: those between the last and this one were missed."""
        if self._last_index is not None and index > self._last_index + 1:
            self.note_missed(index - self._last_index - 1)
        self._last_index = index

    def of_row(self, frame: Frame) -> dict[str, int]:
        """The marks of the row that `frame` becomes; its time is made to rise."""
        if self._first_ns is None:
            self._first_ns = self._last_ns = frame.timestamp_ns
        else:
            self._last_ns = max(frame.timestamp_ns, self._last_ns + 1)
        marks = {"timestamps_ns": self._last_ns, "frame_index": frame.index}
        marks |= {"missed": self.missed, "dropped": self.dropped}
        self.missed = self.dropped = 0
        return marks


def _start_facts(name: str, started: datetime.datetime, fps: float, meta: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a session at its start, for session.json: JSON values only."""
    start = {
        "lvd_session": SCHEMA,
        "name": name,
        "started": started.isoformat(timespec="seconds"),
        "fps": float(fps),
        "meta": dict(meta),
    }
    return json.loads(json.dumps(start, allow_nan=False, default=str))


def _cause_of(error: Exception) -> str:
    """What a writer's sentence says, to stand in another one."""
    return str(error).removeprefix("Recording stopped: ").rstrip(".")
