"""Writes a session's files, one frame after another."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvd_live import render
from lvd_live.errors import UserError
from lvd_live.session import layout, segments
from lvd_live.session.facts import write_facts
from lvd_live.session.live_video import LiveVideo
from lvd_live.session.reserve import Reserve
from lvd_live.session.sequence import LANDMARKS, is_finite
from lvd_live.storage.files import is_disk_full, write_whole
from lvd_live.tracking.fit import Fit

SEGMENT_S = 0.5  # of motion in a segment
LONGEST_OPEN_S = 2.0  # that a row waits for its fit: a crash would cost it
THUMBNAIL_SIDE = 320  # pixels


class SessionWriter:
    """Writes a session into an empty folder; used by one thread.

    start : the part of session.json that is known at the start. faces : (M, 3) int32. min_free : bytes left on the disk
    at which recording stops. row : rows written; those in memory come on top. unfitted : rows that the tracker had no
    time for.

    Raises UserError, in the methods too, where recording must stop; rows in memory stay there for another `flush`.
    """

    def __init__(self, folder: Path, start: dict[str, Any], faces: np.ndarray, min_free: int):
        self.folder, self.row, self.unfitted = folder, 0, 0
        self._start, self._start_text = start, json.dumps(start)
        self._faces, self._min_free = faces, min_free
        self._number = 0  # of the next segment
        self._first_ns = self._last_ns = 0
        self._thumbnail_shows = ""  # "first" frame, or one after somebody was "tracked"
        self._tracked = False  # somebody was, so far
        self._video: LiveVideo | None = None
        self._open: deque[dict[str, Any]] = deque()  # rows whose picture is written and whose fit is not known yet
        self._clear()
        (folder / layout.MOTION).mkdir()
        self._reserve = Reserve(folder / layout.LOCK)
        try:
            self._check_space()
            self._write_facts("recording", "", 0, 0)
        except BaseException:
            self._reserve.close()
            raise

    def take(
        self, picture: np.ndarray, landmarks: np.ndarray | None, fit: Fit | None, marks: Mapping[str, int]
    ) -> None:
        """Put a picture (h, w, 3) uint8 RGB into the video, the rest into memory; every half a second write a segment.

        landmarks : (33, 3) float32 or None. marks : the columns timestamps_ns, frame_index, missed, dropped.
        """
        self._tracked |= fit is not None and is_finite(fit)
        self.take_picture(picture, marks)
        self._close_row(landmarks, fit, fitted=True)

    def take_picture(self, picture: np.ndarray, marks: Mapping[str, int]) -> None:
        """Put a picture into the video, and leave its row open until `settle` says what was fitted to it."""
        self._last_ns = marks["timestamps_ns"]
        size = (picture.shape[1], picture.shape[0])
        if self._video is None:
            self._first_ns = self._last_ns
            self._video = LiveVideo(self.folder / layout.VIDEO, size, self._start["fps"], self._reserve)
        video_ms = self._video.write(picture, self._last_ns - self._first_ns)
        self._open.append({**marks, "video_ms": video_ms, "image_size": size})
        if self._thumbnail_shows != "tracked" and (self._tracked or not self._thumbnail_shows):
            self._write_thumbnail(picture)
            self._thumbnail_shows = "tracked" if self._tracked else "first"
        while self._last_ns - self._open[0]["timestamps_ns"] > LONGEST_OPEN_S * 1e9:
            self._close_row(None, None, fitted=False)

    def settle(self, index: int, landmarks: np.ndarray | None, fit: Fit | None) -> None:
        """Complete the row of frame `index`; the tracker had no time for those before it that are still open."""
        while self._open and self._open[0]["frame_index"] < index:
            self._close_row(None, None, fitted=False)
        if self._open and self._open[0]["frame_index"] == index:
            self._close_row(landmarks, fit, fitted=True)

    def _close_row(self, landmarks: np.ndarray | None, fit: Fit | None, *, fitted: bool) -> None:
        """Complete the first of the open rows; every half a second write a segment."""
        if fit is not None and not is_finite(fit):
            fit = None
        opened = self._open.popleft()
        row = opened | {"fitted": fitted} | fitted_columns(landmarks, fit)
        for name, column in self._columns.items():
            column.append(row[name])
        self.unfitted += not fitted
        self._tracked |= fit is not None
        if fit is not None:
            self._vertices.append(fit.vertices)
            self._std.append(fit.vertex_std)
        if opened["timestamps_ns"] - self._columns["timestamps_ns"][0] >= SEGMENT_S * 1e9:
            self.flush()

    def flush(self, last: bool = False) -> None:
        """Write the rows in memory as a segment; then check that there is space for more, unless it is the last.

        With the last, rows that are open are closed: the tracker had no time for them.
        """
        while last and self._open:
            self._close_row(None, None, fitted=False)
        if self._waiting:
            count, n = len(self._vertices), int(self._faces.max()) + 1
            vertices = np.stack(self._vertices) if count else np.zeros((0, n, 3), np.float32)
            std = np.stack(self._std) if count else np.zeros((0, n), np.float32)
            faces = self._faces if segments.carries_faces(self._number) else None
            data = segments.pack_segment(self.row, self._columns, vertices, std, self._start_text, faces)
            self._write(layout.segment_path(self.folder, self._number), data)
            self._number, self.row = self._number + 1, self.row + self._waiting
            self._clear()
            if self._video is not None:
                self._video.sync()
        if not last:
            self._check_space()

    def close(self, state: str, problem: str, dropped: int, missed: int) -> None:
        """End the video, write session.json, give the lock back; without a single row the folder is removed.

        state, problem, dropped, missed : for session.json.
        """
        empty = not self.row and not self._waiting
        try:
            self._reserve.release(full=False)
            if self._video is not None:
                self._video.close()
            if not empty:
                self._write_facts(state, problem, dropped, missed)
        finally:
            self._reserve.close()
        if empty:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _waiting(self) -> int:
        """Rows in memory."""
        return len(self._columns["tracked"])

    def _clear(self) -> None:
        self._columns: dict[str, list] = {name: [] for name in segments.COLUMNS}
        self._vertices: list[np.ndarray] = []
        self._std: list[np.ndarray] = []

    def _check_space(self) -> None:
        if self._reserve.used:
            raise UserError("Recording stopped: the disk is full.", exit_code=1)
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self.folder).free < self._min_free:
                free = f"less than {self._min_free >> 20} MB are free on the disk"
                raise UserError(f"Recording stopped: {free}.", exit_code=1)

    def _write(self, path: Path, data: bytes) -> None:
        """As `write_whole`, once more with the reserve where the disk is full."""
        try:
            write_whole(path, data)
        except UserError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or not is_disk_full(cause) or not self._reserve.release():
                raise UserError(f"Recording stopped: {error}", exit_code=1) from error
            write_whole(path, data)

    def _write_thumbnail(self, picture: np.ndarray) -> None:
        height, width = picture.shape[:2]
        scale = min(THUMBNAIL_SIDE / max(height, width), 1.0)
        small = render.fit_into(picture, (max(round(width * scale), 1), max(round(height * scale), 1)))
        made, data = cv2.imencode(".jpg", small[..., ::-1])
        if made:
            self._write(self.folder / layout.THUMBNAIL, data.tobytes())

    def _write_facts(self, state: str, problem: str, dropped: int, missed: int) -> None:
        """Replace session.json."""
        counts = {
            "frames": self.row,
            "seconds": (self._last_ns - self._first_ns) / 1e9,
            "dropped": dropped,
            "missed": missed,
            "unfitted": self.unfitted,
            "video_frames": self._video.frames if self._video else 0,
        }
        write_facts(self.folder, self._start | {"state": state, "problem": problem} | counts)


def fitted_columns(landmarks: np.ndarray | None, fit: Fit | None) -> dict[str, Any]:
    """A row's columns that person and fit state; landmarks : (33, 3) or None. fit : finite."""
    if landmarks is None or not np.isfinite(landmarks).all():
        landmarks = np.zeros((LANDMARKS, 3), np.float32)
    return {
        "tracked": fit is not None,
        "doubtful": fit is not None and fit.doubtful,
        "hand_pose": np.zeros((30, 3), np.float32) if fit is None or fit.hand_pose is None else fit.hand_pose,
        "hand_states": (0, 0) if fit is None else fit.hand_states,
        "iterations": 0 if fit is None else fit.iterations,
        "intrinsics": np.zeros((3, 3)) if fit is None else fit.intrinsics,
        "landmarks": landmarks,
    }
