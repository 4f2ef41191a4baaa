"""What a run shows of itself: a video with the mesh over the picture, and a contact sheet."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lvd_live import render
from lvd_live.errors import UserError
from lvd_live.resize import shrink_within
from lvd_live.session.video import VideoWriter
from lvd_live.sources.frame import Frame
from lvd_live.storage.files import write_whole
from lvd_live.tracking.fit import Fit

OVERLAY_SIDE = 1920  # pixels: overlay videos are made no larger
SHEET_PICTURES, SHEET_COLUMNS = 12, 4
THUMBNAIL = (320, 320)  # pixels
BACKGROUND = 24  # grey level behind a thumbnail


class Overlay:
    """Draws the mesh over each picture; writes a video, keeps thumbnails for a sheet, or both.

    faces : (M, 3) int32. video, sheet : where to, or None. fps : the video's pace; frames keep their own times where
    `timed`. opacity : 0..1.
    """

    def __init__(
        self,
        faces: np.ndarray,
        video: str | Path | None,
        sheet: str | Path | None,
        *,
        fps: float,
        timed: bool,
        opacity: float,
    ):
        self.faces = faces
        self.video, self.sheet = (None if path is None else Path(path) for path in (video, sheet))
        self._fps, self._timed, self._opacity = fps, timed, opacity
        self._writer: VideoWriter | None = None
        self._thumbnails = Thumbnails(2 * SHEET_PICTURES)

    def draw(self, frame: Frame, fit: Fit | None) -> None:
        """Add one frame. Raises UserError where it cannot be written."""
        if self.video is None and self.sheet is None:
            return
        picture, scale = shrink_within(frame.picture, OVERLAY_SIDE)
        if fit is not None:
            intrinsics = fit.intrinsics.copy()
            intrinsics[:2] *= scale
            intrinsics[:2, 2] += (scale - 1) / 2  # pixel centres stay on whole numbers
            picture = render.overlay(picture, fit.vertices, self.faces, intrinsics, self._opacity)
        if self.sheet is not None:
            self._thumbnails.offer(picture)
        if self.video is not None:
            if self._writer is None:
                self._writer = VideoWriter(self.video, self._fps, (picture.shape[1], picture.shape[0]))
            self._writer.write(picture, frame.timestamp_ns if self._timed else None)

    def close_video(self) -> Path | None:
        """Finish the video; its path, None where there is none. Raises UserError."""
        if self._writer is None:
            return None
        self._writer.close()
        return self._writer.path if self._writer.frames else None

    def write_sheet(self) -> Path | None:
        """Write the contact sheet; its path, None where there is none. Raises UserError."""
        if self.sheet is None or not self._thumbnails.kept:
            return None
        drawn = render.contact_sheet(self._thumbnails.choose(SHEET_PICTURES), columns=SHEET_COLUMNS)
        ok, data = cv2.imencode(".png", drawn[..., ::-1])
        if not ok:
            raise UserError(f"Could not write {self.sheet}: the picture could not be encoded.", exit_code=1)
        write_whole(self.sheet, data.tobytes())
        return self.sheet


class Thumbnails:
    """Small pictures spread evenly over a run of unknown length, at most `limit` of them in memory."""

    def __init__(self, limit: int):
        self.limit, self.every, self.seen = limit, 1, 0
        self.kept: list[np.ndarray] = []

    def offer(self, picture: np.ndarray) -> None:
        """Keep a picture (H, W, 3) uint8 if it is its turn."""
        if self.seen % self.every == 0:
            self.kept.append(render.fit_into(picture, THUMBNAIL, BACKGROUND))
            if len(self.kept) >= self.limit:
                self.kept, self.every = self.kept[::2], self.every * 2
        self.seen += 1

    def choose(self, count: int) -> list[np.ndarray]:
        """`count` of them at most, evenly spread."""
        indices = np.unique(np.linspace(0, len(self.kept) - 1, min(count, len(self.kept))).round().astype(int))
        return [self.kept[index] for index in indices]
