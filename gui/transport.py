"""Playing a take: play, speed, loop, and the part from in to out."""

from __future__ import annotations

import time

import numpy as np
from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from lvd_live.gui.choices import check_box, combo_box
from lvd_live.gui.commands import ButtonKeys
from lvd_live.gui.language import tr

CLOCK_MS = 15  # between steps while it plays
SPEEDS = (0.25, 0.5, 1.0, 2.0)


class Transport(QWidget):
    """Buttons for a take whose rows are at `seconds` (F,), and the row that is shown.

    row : what is shown. first, last : the rows of the part that is played and exported.

    moved : the row is another. trimmed : the part is another.
    """

    moved, trimmed = Signal(int), Signal()

    def __init__(self, seconds: np.ndarray):
        super().__init__()
        self.seconds, self.row = seconds, 0
        self.first, self.last = 0, len(seconds) - 1
        self.play, self.speed = QPushButton(tr("Play")), combo_box({speed: f"{speed:g}×" for speed in SPEEDS})
        self.loop: QCheckBox = check_box("Loop", False)
        self.in_button, self.out_button = QPushButton(tr("In")), QPushButton(tr("Out"))
        self.all_button = QPushButton(tr("All"))
        self.label = QLabel()
        self.play.setCheckable(True)
        self.speed.setMinimumContentsLength(5)
        self.speed.setCurrentIndex(SPEEDS.index(1.0))
        self._clock, self._started = QTimer(self), 0.0
        self._clock.setInterval(CLOCK_MS)
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        self.button_keys = ButtonKeys(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget, tip in (
            (self.play, "Play, pause (Space)"),
            (self.speed, "How fast it plays."),
            (self.loop, "Begin anew at the end (L)"),
            (self.in_button, "Begin here: what is before is neither played nor exported (I)"),
            (self.out_button, "End here: what is after is neither played nor exported (O)"),
            (self.all_button, "Play and export all of it again"),
        ):
            widget.setToolTip(tr(tip))
            widget.setAccessibleName(tr(tip).partition(" (")[0])
            widget.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            widget.installEventFilter(self.button_keys)
            layout.addWidget(widget)
        layout.addStretch(1)
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def _connect(self) -> None:
        self._clock.timeout.connect(self._advance)
        self.play.toggled.connect(self._play)
        self.speed.currentIndexChanged.connect(lambda *_: self._restart())
        self.in_button.clicked.connect(lambda *_: self.set_in())
        self.out_button.clicked.connect(lambda *_: self.set_out())
        self.all_button.clicked.connect(lambda *_: self.set_part(0, len(self.seconds) - 1))

    @property
    def is_part(self) -> bool:
        """Whether something is left out."""
        return (self.first, self.last) != (0, len(self.seconds) - 1)

    def set_data(self, seconds: np.ndarray) -> None:
        """The same take, with rows at other times; the part stays where it was in time."""
        start, end, whole = self.seconds[self.first], self.seconds[self.last], not self.is_part
        self.seconds, last = seconds, len(seconds) - 1
        self.row = min(self.row, last)
        if whole:
            self.set_part(0, last)
        else:
            self.set_part(int(np.abs(seconds - start).argmin()), int(np.abs(seconds - end).argmin()))

    def set_in(self) -> None:
        """Begin at the row that is shown."""
        self.set_part(self.row, max(self.last, self.row))

    def set_out(self) -> None:
        """End at the row that is shown."""
        self.set_part(min(self.first, self.row), self.row)

    def set_part(self, first: int, last: int) -> None:
        """Play and export the rows first … last."""
        self.first, self.last = first, last
        self.all_button.setEnabled(self.is_part)
        self.trimmed.emit()

    def go_to(self, row: int) -> None:
        """Show a row; while it plays, go on from there."""
        row = min(max(row, 0), len(self.seconds) - 1)
        if row != self.row:
            self.row = row
            self.moved.emit(row)

    def jump(self, row: int) -> None:
        """Pause, and show a row."""
        self.play.setChecked(False)
        self.go_to(row)

    def stop(self) -> None:
        """End the clock."""
        self._clock.stop()

    def _play(self, on: bool) -> None:
        self.play.setText(tr("Pause" if on else "Play"))
        if not on:
            self._clock.stop()
            return
        if not self.first <= self.row < self.last:
            self.go_to(self.first)
        self._restart()
        self._clock.start()

    def _restart(self) -> None:
        """The clock's zero, so that the row is shown now."""
        self._started = time.monotonic() - self.seconds[self.row] / self.speed.currentData()

    def _advance(self) -> None:
        now = (time.monotonic() - self._started) * self.speed.currentData()
        row = int(np.searchsorted(self.seconds, now, side="right")) - 1
        if now < self.seconds[self.last]:
            self.go_to(row)
        elif self.loop.isChecked() and self.last > self.first:
            self.go_to(self.first)
            self._restart()
        else:
            self.go_to(self.last)
            self.play.setChecked(False)
