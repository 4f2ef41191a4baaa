"""The threads of a review: one reads and draws the row that is wanted, one sums the uncertainty up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, Signal

from lvd_live.body.balance import feet_seen, up_direction
from lvd_live.errors import UserError
from lvd_live.gui.calibration import Calibration
from lvd_live.gui.loading import Pictures
from lvd_live.gui.shading import MAX_SIDE, TOPS_MM, Mesh, View, draw_over, top_for, vertex_colours
from lvd_live.gui.upright import FLIP, Upright
from lvd_live.paths import MODELS
from lvd_live.resize import shrink_within
from lvd_live.session.sequence import Sequence

NO_PICTURE = (26, 29, 34)  # RGB, where the video has none
OPACITY = 0.65
ROWS_AT_A_TIME = 200
BODY = MODELS / "body" / "lvd_body.npz"
LOOKED_AT, LEAST = 64, 5  # rows, for what is up, and in how many of them the person must stand


class Reader(QObject):
    """Draws the rows of a sequence or session with their pictures, in threads, the newest wish first.

    drawn : a View of a row.
    summed : (F,) float64, the mean error to expect, mm, or the mean U(v) without a calibration; NaN where not tracked
        or not known yet.
    failed : a sentence.

    colour : how the mesh is coloured, one of `shading.COLOURS`; `want` a row to see it.
    """

    drawn = Signal(object)
    summed = Signal(object)
    failed = Signal(str)

    def __init__(self, data: Sequence, video: Path | None):
        super().__init__()
        self.data, self._video, self.calibration = data, video, Calibration(data.meta)
        self.colour, self._upright = "uncertainty", Upright()
        self._labels: np.ndarray | None = None  # (N,) int, see `shading.vertex_colours`; once they were asked for
        self._wanted: int | None = None
        self._news = threading.Condition()
        self._stop = False
        self.threads = [
            threading.Thread(target=self._guard, args=(work,), name=name, daemon=True)
            for name, work in (("review's pictures", self._draw_wanted), ("review's means", self._sum_up))
        ]

    def start(self) -> None:
        """Begin, once the signals are connected."""
        for thread in self.threads:
            thread.start()

    def want(self, row: int) -> None:
        """Draw `row` soon; an older wish that was not begun is forgotten."""
        with self._news:
            self._wanted = row
            self._news.notify()

    def close(self) -> None:
        """End the threads."""
        with self._news:
            self._stop = True
            self._news.notify()
        for thread in self.threads:
            thread.join(2.0)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (UserError, OSError, ValueError) as error:
            self.failed.emit(str(error))

    def _draw_wanted(self) -> None:
        pictures = self._open_pictures()
        self._learn_what_is_up()
        top_mm = colour_top(self.data, self.calibration)
        while (row := self._next_row()) is not None:
            picture = None
            if pictures is not None:
                try:
                    picture = pictures.read(row)
                except UserError as error:
                    self.failed.emit(str(error))
            self.drawn.emit(self._draw(row, picture, top_mm))
        if pictures is not None:
            pictures.close()

    def _learn_what_is_up(self) -> None:
        """From some of the rows, where the mesh is the bundled body's and one camera took them all."""
        data = self.data
        rows = np.flatnonzero(data.tracked & ~data.doubtful)
        with np.load(BODY, allow_pickle=False) as body:
            if not len(rows) or data.alone or not np.array_equal(body["f"], data.faces):
                return
            regressor = body["J_regressor"]
        some = rows[np.unique(np.linspace(0, len(rows) - 1, LOOKED_AT).astype(int))]
        joints = np.stack([regressor @ data.vertices[row] for row in some]) * FLIP
        up = up_direction(joints, feet_seen(data.landmarks[some], data.image_size[some]), LEAST)
        if up is not None:
            self._upright.up = up * FLIP

    def _open_pictures(self) -> Pictures | None:
        if self._video is None:
            return None
        try:
            return Pictures(self.data, self._video)
        except (UserError, OSError) as error:
            self.failed.emit(str(error))
            return None

    def _next_row(self) -> int | None:
        """Wait for a row that is wanted; None: it is over."""
        with self._news:
            self._news.wait_for(lambda: self._wanted is not None or self._stop)
            row, self._wanted = self._wanted, None
            return None if self._stop else row

    def _draw(self, row: int, picture: np.ndarray | None, top_mm: int) -> View[int]:
        width, height = (max(int(side), 1) for side in self.data.image_size[row])
        if picture is None:
            scale = min(1.0, MAX_SIDE / max(width, height))
            shape = max(round(height * scale), 1), max(round(width * scale), 1), 3
            picture = np.full(shape, NO_PICTURE, np.uint8)
        else:
            picture, scale = shrink_within(picture, MAX_SIDE)
        mesh = self._mesh(row, top_mm) if self.data.tracked[row] else None
        if mesh is not None:
            picture = draw_over(picture, scale, mesh, OPACITY)
            mesh = self._upright(mesh, int(self.data.timestamps_ns[row]))
        return View(row, picture, mesh, (width, height), top_mm)

    def _mesh(self, row: int, top_mm: int) -> Mesh:
        vertices = np.array(self.data.vertices[row])
        error_mm = self.calibration.error_mm(self.data.vertex_std[row])
        if self.colour == "body part" and self._labels is None:
            self._labels = body_part_labels(self.data.faces)
        colours = vertex_colours(self.colour, vertices, error_mm, top_mm, self._labels)
        return Mesh(vertices, self.data.faces, colours, self.data.intrinsics[row])

    def _sum_up(self) -> None:
        means = np.full(len(self.data), np.nan)
        for first in range(0, len(means), ROWS_AT_A_TIME):
            rows = slice(first, first + ROWS_AT_A_TIME)
            error_mm = self.calibration.error_mm(self.data.vertex_std[rows]).mean(1, dtype=np.float64)
            means[rows] = np.where(self.data.tracked[rows], error_mm, np.nan)
            if self._stop:
                return
            self.summed.emit(means.copy())


def body_part_labels(faces: np.ndarray) -> np.ndarray | None:
    """(N,) int, the joint that moves each vertex of the bundled body most; None for faces that are another's."""
    from lvd_live.body.model import BodyModel  # imports torch, which most reviews do without

    body = BodyModel.load(BODY)
    return body.part_labels.numpy() if np.array_equal(body.faces.numpy(), faces) else None


def colour_top(data: Sequence, calibration: Calibration) -> int:
    """Where the uncertainty's colours may end, mm: above nearly all of it, judged from a few frames."""
    rows = np.flatnonzero(data.tracked)
    if not len(rows):
        return TOPS_MM[0]
    few = rows[np.linspace(0, len(rows) - 1, min(len(rows), 8)).astype(int)]
    return top_for(float(np.percentile(calibration.error_mm(data.vertex_std[few]), 98)))
