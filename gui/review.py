"""Looking at a result: its pictures with the mesh, the mesh in space, and the uncertainty along the timeline."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
from PySide6.QtCore import QCoreApplication, Qt, QTimer
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QMessageBox,
    QPushButton,
    QSlider,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from lvd_live.errors import UserError
from lvd_live.gui.commands import add_shortcuts, show_keys
from lvd_live.gui.loading import load
from lvd_live.gui.reader import Reader
from lvd_live.gui.shading import View
from lvd_live.gui.space import SpaceView
from lvd_live.gui.timeline import AXIS, Timeline, gaps
from lvd_live.gui.views import ColourBar, PictureView
from lvd_live.session.reader import Session
from lvd_live.session.sequence import Sequence

CLOCK_MS = 15  # between steps while it plays
KEYS = (
    ("Space, Enter", "play, pause"),
    ("← →", "one frame back, on"),
    ("Shift+← →", "ten frames back, on"),
    ("Home, End", "the first frame, the last"),
    ("Esc", "close"),
    ("F1", "this sheet"),
    ("3D view", "drag: turn · right drag: move · wheel: zoom"),
)


class Review(QMainWindow):
    """Scrubs through a sequence or a recorded session.

    data, video, title : see `loading.load`.

    shown : the View drawn last, or None.
    seconds : (F,) the rows' times, from the first.
    what : what the uncertainty is: "expected error" or "spread".
    """

    def __init__(self, data: Sequence, video: Path | None, title: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"{title} – review")
        self.resize(1180, 760)
        self.data = data
        self.shown: View[int] | None = None
        self.seconds = (data.timestamps_ns - data.timestamps_ns[0]) / 1e9
        self.reader = Reader(data, video)
        self.picture, self.space, self.bar = PictureView(), SpaceView(), ColourBar()
        self.what = "expected error" if self.reader.calibration.known else "spread"
        self.timeline = Timeline(self.seconds, gaps(data, self.seconds), self.what)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setMaximum(len(data) - 1)
        self.play = QPushButton("Play")
        self.play.setCheckable(True)
        for widget in (self.slider, self.play):
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.label = QLabel()
        self._lay_out()
        self._clock, self._started = QTimer(self), 0.0
        self._clock.setInterval(CLOCK_MS)
        self._connect()
        self._connect_data()
        if video is None:
            self.statusBar().showMessage("The video that belongs to this was not found: the mesh is shown alone.")
        self._show_row(0)
        self.reader.start()

    def _lay_out(self) -> None:
        middle = QSplitter(Qt.Orientation.Horizontal)
        middle.addWidget(self.picture)
        middle.addWidget(self.space)
        middle.setSizes([640, 500])
        controls = QHBoxLayout()
        controls.addWidget(self.play)
        controls.addWidget(self.label, 1)
        scrub = QHBoxLayout()
        scrub.setContentsMargins(AXIS, 0, 0, 0)  # below the plot's own axis
        scrub.addWidget(self.slider)
        page = QWidget()
        self._layout = layout = QVBoxLayout(page)
        for widget in (middle, self.bar, self.timeline):
            layout.addWidget(widget)
        layout.setStretch(0, 1)
        layout.addLayout(scrub)
        layout.addLayout(controls)
        self.setCentralWidget(page)

    def _connect(self) -> None:
        self._clock.timeout.connect(self._advance)
        self.slider.valueChanged.connect(self._show_row)
        self.play.toggled.connect(self._play)
        slots = {
            "Left": lambda: self.step(-1),
            "Right": lambda: self.step(1),
            "Shift+Left": lambda: self.step(-10),
            "Shift+Right": lambda: self.step(10),
            "Home": lambda: self.slider.setValue(0),
            "End": lambda: self.slider.setValue(self.slider.maximum()),
            "Esc": self.close,
            "F1": lambda: show_keys(self, KEYS),
        }
        add_shortcuts(self, slots | dict.fromkeys(("Space", "Return", "Enter"), self.play.toggle))

    def _connect_data(self) -> None:
        """Connect what belongs to the data, and is made anew by `reopen`."""
        self.reader.drawn.connect(self._show)
        self.reader.summed.connect(self.timeline.show_means)
        self.reader.failed.connect(self.statusBar().showMessage)
        self.timeline.moved.connect(self._go_to)
        if (app := QCoreApplication.instance()) is not None:
            app.aboutToQuit.connect(self.reader.close)

    def reopen(self, path: Path) -> None:
        """Go on with a session whose folder is now `path`, or whose meshes are others, at the same row."""
        data, video, title = load(path)
        self.reader.close()
        self.data, self.reader = data, Reader(data, video)
        self.seconds = (data.timestamps_ns - data.timestamps_ns[0]) / 1e9
        timeline = Timeline(self.seconds, gaps(data, self.seconds), self.what)
        self._layout.replaceWidget(self.timeline, timeline)
        self.timeline.deleteLater()
        self.timeline = timeline
        self.setWindowTitle(f"{title} – review")
        self.slider.setMaximum(len(data) - 1)
        self._connect_data()
        self._show_row(self.slider.value())
        self.reader.start()

    def step(self, rows: int) -> None:
        """Go on, or back, by a number of frames."""
        self.play.setChecked(False)
        self.slider.setValue(self.slider.value() + rows)

    def closeEvent(self, event: QCloseEvent) -> None:
        self._clock.stop()
        self.reader.close()
        super().closeEvent(event)

    def _go_to(self, seconds: float) -> None:
        self.play.setChecked(False)
        self.slider.setValue(int(np.abs(self.seconds - seconds).argmin()))

    def _show_row(self, row: int) -> None:
        """Put the cursor on a row, ask for its picture, and say what is known of it."""
        self.timeline.cursor.setValue(self.seconds[row])
        self.reader.want(row)
        place = f"{self.seconds[row]:.2f} of {self.seconds[-1]:.2f} s  ·  frame {row + 1} of {len(self.data)}"
        self.label.setText(f"{place}  ·  {self._state(row)}")

    def _state(self, row: int) -> str:
        if not self.data.tracked[row]:
            return "nobody tracked"
        mean_mm = float(np.mean(self.reader.calibration.error_mm(self.data.vertex_std[row])))
        return f"{self.what} {mean_mm:.0f} mm on average, {self.data.iterations[row]} iterations"

    def _play(self, on: bool) -> None:
        self.play.setText("Pause" if on else "Play")
        if not on:
            self._clock.stop()
            return
        if self.slider.value() == self.slider.maximum():
            self.slider.setValue(0)
        self._started = time.monotonic() - self.seconds[self.slider.value()]
        self._clock.start()

    def _advance(self) -> None:
        now = time.monotonic() - self._started
        self.slider.setValue(int(np.searchsorted(self.seconds, now, side="right")) - 1)
        if now >= self.seconds[-1]:
            self.play.setChecked(False)

    def _show(self, shown: View[int]) -> None:
        self.shown = shown
        self.picture.show_picture(shown.picture)
        self.bar.show_mode("uncertainty", self.reader.calibration.known, shown.top_mm)
        self.space.show_view(shown)


def reopen_reviews(old: Path, new: Path) -> None:
    """Have the windows that show the session in folder `old` go on with `new`."""
    for window in QApplication.topLevelWidgets():
        if isinstance(window, Review) and isinstance(window.data, Session) and window.data.path == old:
            with contextlib.suppress(UserError):  # it shows what it has
                window.reopen(new)


def review(parent: QWidget | None, path: Path, video: Path | None = None) -> Review | None:
    """Show a session or a sequence in a window of its own; None, after a message, where it cannot be opened."""
    try:
        window = Review(*load(path, video), parent)
    except UserError as error:
        QMessageBox.warning(parent, "Review", str(error))
        return None
    window.show()
    return window
