"""The uncertainty of a take along its time, and where it has no mesh."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Signal

from lvd_live.gui.language import tr
from lvd_live.session.reader import Session
from lvd_live.session.sequence import Sequence

AXIS = 52  # pixels, the width of the left axis


def gaps(data: Sequence, seconds: np.ndarray) -> np.ndarray:
    """The stretches without a mesh, where nobody was tracked or frames were lost: (G, 2) seconds, beginning and end.

    seconds : (F,) of the rows. Where k frames were lost between two rows, the last k of the k + 1 equal parts of the
    time between them are a gap.
    """
    pace = np.median(np.diff(seconds)) if len(seconds) > 1 else 0.0
    ends = np.append(seconds[1:], seconds[-1] + pace)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ~data.tracked, [False]]).astype(np.int8)))
    untracked = np.column_stack([seconds[edges[::2]], ends[edges[1::2] - 1]])
    if not isinstance(data, Session):
        return untracked
    lost = (data.missed + data.dropped)[1:]
    (before,) = np.nonzero(lost > 0)
    begin, end = seconds[before], seconds[before + 1]
    return np.concatenate([untracked, np.column_stack([begin + (end - begin) / (lost[before] + 1), end])])


class Timeline(pg.PlotWidget):
    """Mean uncertainty over time, with gaps, and a cursor that can be dragged, or put somewhere by a click.

    seconds : (F,) of the rows. empty : (G, 2) seconds, see `gaps`. what : the name of what is shown.

    moved : where the cursor was put, seconds.
    """

    moved = Signal(float)

    def __init__(self, seconds: np.ndarray, empty: np.ndarray, what: str):
        super().__init__()
        self._seconds = seconds
        self._set_up(what)
        self.gaps: pg.BarGraphItem | None = None
        if len(empty):
            red = (191, 97, 106, 90)
            self.gaps = pg.BarGraphItem(x0=empty[:, 0], x1=empty[:, 1], y0=0, y1=1, brush=red, pen=None)
            self.addItem(self.gaps)
        self.curve = self.plot(pen=pg.mkPen("#88c0d0", width=2), connect="finite")
        yellow, bounds = pg.mkPen("#ebcb8b", width=2), (seconds[0], seconds[-1])
        self.cursor = pg.InfiniteLine(0, movable=True, pen=yellow, bounds=bounds)
        self.addItem(self.cursor)
        self.setXRange(seconds[0], max(seconds[-1], 1e-3), padding=0)
        self._outside = [
            pg.LinearRegionItem((0, 0), movable=False, brush=(20, 22, 26, 170), pen=None) for _ in range(2)
        ]
        for region in self._outside:
            region.hide()
            self.addItem(region)
        self.cursor.sigDragged.connect(lambda line: self.moved.emit(line.value()))
        view_box = self.getPlotItem().vb
        self.scene().sigMouseClicked.connect(
            lambda event: self.moved.emit(view_box.mapSceneToView(event.scenePos()).x())
        )

    def _set_up(self, what: str) -> None:
        self.setFixedHeight(150)
        self.setMouseEnabled(False, False)
        self.hideButtons()
        self.setMenuEnabled(False)
        self.showGrid(y=True, alpha=0.15)
        self.setLabel("left", "mm")
        said = tr("seconds  ·  the mesh's mean: {}  ·  shaded: nobody tracked, or frames dropped")
        self.setLabel("bottom", said.format(tr(what)))
        self.getAxis("left").setWidth(AXIS)

    def show_part(self, start: float, end: float) -> None:
        """Darken what is before `start` and after `end`, seconds."""
        first, last = float(self._seconds[0]), float(self._seconds[-1])
        for region, span in zip(self._outside, ((first, start), (end, last)), strict=True):
            region.setRegion(span)
            region.setVisible(span[1] > span[0])

    def show_means(self, means: np.ndarray) -> None:
        """means : (F,) mm, NaN where there is none."""
        self.curve.setData(self._seconds, means)
        top = max(1.15 * float(np.nanmax(means)) if np.isfinite(means).any() else 1.0, 1.0)
        self.setYRange(0, top, padding=0)
        if self.gaps is not None:
            self.gaps.setOpts(y1=top)
