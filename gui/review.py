"""Looking at a take: its pictures with the mesh, the mesh in space, the uncertainty along the time; and its export."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
from PySide6.QtCore import QCoreApplication, Qt
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
from lvd_live.gui.canvas import resize_on_screen
from lvd_live.gui.choices import combo_box
from lvd_live.gui.commands import add_shortcuts, show_keys
from lvd_live.gui.export_dialog import ExportDialog
from lvd_live.gui.language import tr
from lvd_live.gui.loading import load
from lvd_live.gui.reader import Reader
from lvd_live.gui.shading import COLOURS, View
from lvd_live.gui.space import SpaceView
from lvd_live.gui.timeline import AXIS, Timeline, gaps
from lvd_live.gui.transport import Transport
from lvd_live.gui.views import ColourBar, PictureView
from lvd_live.session.reader import Session
from lvd_live.session.sequence import Sequence

KEYS = (
    ("Space, Enter", "play, pause"),
    ("← →", "one frame back, on"),
    ("Shift+← →", "ten frames back, on"),
    ("Home, End", "the first frame of the part, the last"),
    ("I, O", "begin here, end here: the part that is played and exported"),
    ("L", "loop"),
    ("C", "next colours"),
    ("X", "export"),
    ("Esc", "close"),
    ("F1", "this sheet"),
    ("3D view", "drag: turn · right drag: move · wheel: zoom"),
)


class Review(QMainWindow):
    """Scrubs through a sequence or a recorded session, and exports it or a part of it.

    data, video, title : see `loading.load`. path : of the sequence's file or the session's folder, where it is exported
    from; None: it cannot be.

    shown : the View drawn last, or None.
    what : what the uncertainty is: "expected error" or "spread".
    """

    def __init__(
        self, data: Sequence, video: Path | None, title: str, parent: QWidget | None = None, path: Path | None = None
    ):
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("{} – review").format(title))
        resize_on_screen(self, 1180, 760)
        self.data, self.path = data, data.path if isinstance(data, Session) else path
        self.shown: View[int] | None = None
        self.reader = Reader(data, video)
        self.picture, self.space, self.bar = PictureView(), SpaceView(), ColourBar()
        self.picture.welcome.hide()
        self.what = "expected error" if self.reader.calibration.known else "spread"
        self.timeline = Timeline(data.seconds, gaps(data, data.seconds), self.what)
        self.transport = Transport(data.seconds)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setMaximum(len(data) - 1)
        self.slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.slider.setToolTip(tr("Which frame is shown (← →)"))
        self.slider.setAccessibleName(tr("Which frame is shown (← →)"))
        self.colour, self.export_button = combo_box({name: name for name in COLOURS}), QPushButton(tr("Export …"))
        self.colour.setMinimumContentsLength(10)
        self.partial = QLabel()
        self.partial.setObjectName("banner")
        self.partial.setWordWrap(True)
        self._lay_out()
        self._connect()
        self._connect_data()
        if video is None:
            self.statusBar().showMessage(tr("The video that belongs to this was not found: the mesh is shown alone."))
        self._show_data()
        self.reader.start()

    @property
    def play(self) -> QPushButton:
        """The button that plays."""
        return self.transport.play

    def _lay_out(self) -> None:
        middle = QSplitter(Qt.Orientation.Horizontal)
        middle.addWidget(self.picture)
        middle.addWidget(self.space)
        middle.setSizes([640, 500])
        said = QHBoxLayout()
        said.addWidget(self.transport.label, 1)
        for widget, tip in (
            (self.colour, "What the mesh's colours mean (C)"),
            (self.export_button, "Write it for other programs: all of it, or from In to Out (X)"),
        ):
            widget.setToolTip(tr(tip))
            widget.setAccessibleName(tr(tip))
            widget.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            widget.installEventFilter(self.transport.button_keys)
            said.addWidget(widget)
        scrub = QHBoxLayout()
        scrub.setContentsMargins(AXIS, 0, 0, 0)  # below the plot's own axis
        scrub.addWidget(self.slider)
        page = QWidget()
        self._layout = layout = QVBoxLayout(page)
        for part in (self.partial, middle, self.bar, self.timeline):
            layout.addWidget(part)
        layout.setStretch(1, 1)
        layout.addLayout(scrub)
        layout.addLayout(said)
        layout.addWidget(self.transport)
        self.setCentralWidget(page)

    def _connect(self) -> None:
        transport = self.transport
        self.slider.valueChanged.connect(transport.go_to)
        self.slider.sliderPressed.connect(lambda: self.play.setChecked(False))
        transport.moved.connect(self._show_row)
        transport.trimmed.connect(self._show_part)
        self.colour.currentIndexChanged.connect(lambda *_: self._use_colour())
        self.export_button.clicked.connect(lambda *_: self.export())
        slots = {
            "Left": lambda: self.step(-1),
            "Right": lambda: self.step(1),
            "Shift+Left": lambda: self.step(-10),
            "Shift+Right": lambda: self.step(10),
            "Home": lambda: transport.jump(transport.first),
            "End": lambda: transport.jump(transport.last),
            "I": transport.set_in,
            "O": transport.set_out,
            "L": transport.loop.toggle,
            "C": lambda: self.colour.setCurrentIndex((self.colour.currentIndex() + 1) % self.colour.count()),
            "X": self.export,
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
        """Go on with a session whose folder is now `path`, or that has more meshes now, at the same row. UserError."""
        data, video, title = load(path)
        self.reader.close()
        self.data, self.path, self.reader = data, path, Reader(data, video)
        self.reader.colour = self.colour.currentData()
        timeline = Timeline(data.seconds, gaps(data, data.seconds), self.what)
        self._layout.replaceWidget(self.timeline, timeline)
        self.timeline.deleteLater()
        self.timeline = timeline
        self.setWindowTitle(tr("{} – review").format(title))
        self.slider.setMaximum(len(data) - 1)
        self._connect_data()
        self.transport.set_data(data.seconds)
        self._show_data()
        self.reader.start()

    def step(self, rows: int) -> None:
        """Go on, or back, by a number of frames."""
        self.transport.jump(self.transport.row + rows)

    def export(self) -> None:
        """Ask for format and place, and write the take, or the part of it that was chosen."""
        if self.path is None:
            return
        transport, seconds = self.transport, self.data.seconds
        part = (float(seconds[transport.first]), float(seconds[transport.last])) if transport.is_part else None
        ExportDialog(self.path, self.path.parent, part, self).show()

    def closeEvent(self, event: QCloseEvent) -> None:
        self.transport.stop()
        self.reader.close()
        super().closeEvent(event)

    def _go_to(self, seconds: float) -> None:
        self.transport.jump(int(np.abs(self.data.seconds - seconds).argmin()))

    def _use_colour(self) -> None:
        self.reader.colour = self.colour.currentData()
        self.reader.want(self.transport.row)

    def _show_data(self) -> None:
        """Show what changes with the data alone."""
        self.export_button.setEnabled(self.path is not None)
        self.partial.setText(partial_text(self.data))
        self.partial.setVisible(bool(self.partial.text()))
        self.transport.all_button.setEnabled(self.transport.is_part)
        self._show_part()
        self._show_row(self.transport.row)

    def _show_part(self) -> None:
        seconds, transport = self.data.seconds, self.transport
        self.timeline.show_part(float(seconds[transport.first]), float(seconds[transport.last]))
        self._show_place(transport.row)

    def _show_row(self, row: int) -> None:
        """Put the cursor on a row, ask for its picture, and say what is known of it."""
        self.slider.setValue(row)
        self.timeline.cursor.setValue(self.data.seconds[row])
        self.reader.want(row)
        self._show_place(row)

    def _show_place(self, row: int) -> None:
        seconds, transport = self.data.seconds, self.transport
        place = tr("{:.2f} of {:.2f} s  ·  frame {} of {}").format(seconds[row], seconds[-1], row + 1, len(self.data))
        if transport.is_part:
            part = tr("part {:.2f} to {:.2f} s").format(seconds[transport.first], seconds[transport.last])
            place += f"  ·  {part}"
        transport.label.setText(f"{place}  ·  {self._state(row)}")

    def _state(self, row: int) -> str:
        if isinstance(self.data, Session) and not self.data.fitted[row]:
            return tr("not fitted yet")
        if not self.data.tracked[row]:
            return tr("nobody tracked")
        mean_mm = float(np.mean(self.reader.calibration.error_mm(self.data.vertex_std[row])))
        said = tr("{} {:.0f} mm on average, {} iterations")
        return said.format(tr(self.what), mean_mm, self.data.iterations[row])

    def _show(self, shown: View[int]) -> None:
        self.shown = shown
        self.picture.show_picture(shown.picture)
        self.bar.show_mode(self.colour.currentData(), self.reader.calibration.known, shown.top_mm)
        self.space.show_view(shown)


def partial_text(data: Sequence) -> str:
    """A sentence where a take is not whole, else ""."""
    if isinstance(data, Session):
        waiting = int((~data.fitted).sum())
        said = tr("Partial: {} of {} frames are not fitted yet; Recordings, Fit the rest goes on with them.")
        return said.format(waiting, len(data)) if waiting else ""
    ending = data.meta.get("ending", "complete")
    if ending == "complete":
        return ""
    why = tr("it was stopped") if ending == "interrupted" else str(ending).rstrip(".")
    return tr("Partial: the video goes on after these {} frames ({}).").format(len(data), why)


def reopen_reviews(old: Path, new: Path) -> None:
    """Have the windows that show the session in folder `old` go on with `new`."""
    for window in QApplication.topLevelWidgets():
        if isinstance(window, Review) and isinstance(window.data, Session) and window.data.path == old:
            with contextlib.suppress(UserError):  # it shows what it has
                window.reopen(new)


def review(parent: QWidget | None, path: Path, video: Path | None = None) -> Review | None:
    """Show a session or a sequence in a window of its own; None, after a message, where it cannot be opened."""
    try:
        window = Review(*load(path, video), parent, path)
    except UserError as error:
        QMessageBox.warning(parent, tr("Review"), str(error))
        return None
    window.show()
    return window
