"""Small plots of how the tracking goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from lvd_live.gui.language import tr

if TYPE_CHECKING:  # it takes a fifth of the window's start to import: once the plots are shown
    import pyqtgraph as pg

STAGE_COLOURS = ("#5e81ac", "#88c0d0", "#a3be8c", "#ebcb8b", "#d08770", "#b48ead", "#8fbcbb")
SERIES = {
    "fits": ("fits/s", "#a3be8c"),
    "latency": ("latency, ms", "#ebcb8b"),
    "dropped": ("dropped/s", "#bf616a"),
}
REMEMBERED = 120  # values
CROP_SIDE = 2.0  # crop units


class Plots(QWidget):
    """Time by stage, convergence, fits a second, latency and dropped frames, side by side.

    `refresh` takes the values, `redraw` draws one of the plots: none of them keeps the window busy for long. They are
    made when they are first shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(128)
        self._values = {name: np.full(REMEMBERED, np.nan) for name in SERIES}
        self._stages: Mapping[str, float] = {}
        self._steps: Sequence[float] = ()
        self._turn = 0
        self.curves: dict[str, pg.PlotDataItem] = {}

    def showEvent(self, event: QShowEvent) -> None:
        if not self.curves:
            self._make()
        super().showEvent(event)

    def _make(self) -> None:
        import pyqtgraph as pg

        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self._add_stages(layout)
        self._add_convergence(layout)
        for name, (title, colour) in SERIES.items():
            plot = _plot(title)
            plot.getAxis("bottom").hide()
            plot.setXRange(0, REMEMBERED)
            layout.addWidget(plot, 2)
            self.curves[name] = plot.plot(pen=pg.mkPen(colour), connect="finite")

    def _add_stages(self, layout: QHBoxLayout) -> None:
        import pyqtgraph as pg

        self.stages, self.legend = _plot("time by stage, ms"), QLabel()
        self.legend.setWordWrap(True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setStyleSheet("font-size: 8pt")
        self._bars = pg.BarGraphItem(x0=[], y=[], height=0.8, width=[], brushes=[])
        self.stages.addItem(self._bars)
        self.stages.setYRange(-0.4, 0.4)
        self.stages.getAxis("left").hide()
        column = QVBoxLayout()
        column.setSpacing(0)
        column.addWidget(self.stages, 1)
        column.addWidget(self.legend)
        layout.addLayout(column, 3)

    def _add_convergence(self, layout: QHBoxLayout) -> None:
        import pyqtgraph as pg

        tip = "How far the mesh moved in each iteration of the last fit, thousandths of the crop's side."
        self.convergence = _plot("step, ‰", tip)
        self.convergence.setXRange(1, 8)
        blue = "#88c0d0"
        dots = {"symbol": "o", "symbolSize": 5, "symbolBrush": blue, "symbolPen": None}
        self.descent = self.convergence.plot(pen=pg.mkPen(blue), **dots)
        layout.addWidget(self.convergence, 2)

    def refresh(self, stages: Mapping[str, float], steps: Sequence[float], **values: float) -> None:
        """Take new values.

        stages : mean time by stage, ms.
        steps : the last fit's mean displacement in each iteration, crop units.
        values : the newest of SERIES.
        """
        self._stages, self._steps = stages, steps
        for name, value in values.items():
            self._values[name] = np.append(self._values[name][1:], value)

    def redraw(self) -> None:
        """Draw the next of the plots, in turns, once they were shown."""
        if not self.curves:
            return
        self._turn = (self._turn + 1) % (2 + len(SERIES))
        if self._turn == 0:
            self._draw_stages()
        elif self._turn == 1:
            steps = [1000 * step / CROP_SIDE for step in self._steps]
            self.descent.setData(np.arange(1, len(steps) + 1), steps)
            self.convergence.setYRange(0, 1.1 * max(steps, default=1.0), padding=0)
        else:
            name = list(SERIES)[self._turn - 2]
            values = self._values[name]
            self.curves[name].setData(values)
            top = np.nanmax(values) if np.isfinite(values).any() else 0.0
            self.curves[name].getViewBox().setYRange(0, 1.2 * max(float(top), 1.0), padding=0)

    def _draw_stages(self) -> None:
        import pyqtgraph as pg

        if not self._stages:
            return
        widths = list(self._stages.values())
        ends = np.cumsum(widths)
        starts = np.concatenate([[0], ends[:-1]])
        colours = [STAGE_COLOURS[i % len(STAGE_COLOURS)] for i in range(len(ends))]
        brushes = [pg.mkBrush(colour) for colour in colours]
        self._bars.setOpts(x0=starts, y=np.zeros(len(ends)), width=widths, height=0.5, brushes=brushes)
        self.stages.setXRange(0, max(float(ends[-1]) * 1.05, 1.0), padding=0)
        named = zip(colours, self._stages.items(), strict=True)
        entries = (f"<span style='color:{colour}'>■&nbsp;{name}&nbsp;{ms:.0f}</span>" for colour, (name, ms) in named)
        self.legend.setText(" ".join(entries))


def _plot(title: str, tip: str = "") -> pg.PlotWidget:
    import pyqtgraph as pg

    plot = pg.PlotWidget(title=f"<span style='font-size: 8pt'>{tr(title)}</span>")
    plot.setMinimumSize(60, 60)
    plot.setToolTip(tr(tip))
    plot.setMouseEnabled(False, False)
    plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    plot.viewport().setFocusPolicy(Qt.FocusPolicy.NoFocus)
    plot.hideButtons()
    plot.setMenuEnabled(False)
    plot.showGrid(y=True, alpha=0.15)
    plot.disableAutoRange()
    for side in ("left", "bottom"):
        plot.getAxis(side).setStyle(tickLength=-3, tickTextOffset=2)
    return plot
