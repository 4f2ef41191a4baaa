"""Recording by button or key: the countdown before, the red frame meanwhile, the card afterwards."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QLabel

from lvd_live.errors import UserError
from lvd_live.gui.page import Page
from lvd_live.gui.recording import Recorded
from lvd_live.gui.status import recording_text

if TYPE_CHECKING:
    from lvd_live.gui.live_tracking import LiveTracking

TICK_MS = 50


class RecordControl(QObject):
    """Starts and stops the recording of what is tracked, and shows how it goes.

    action : checked from the countdown on until the recording ends.
    label : of the status bar, says what is recorded; no message hides it.
    remaining_s : until the recording begins, 0.0: no countdown runs.

    refused : a sentence why there is nothing to record.
    """

    refused = Signal(str)

    def __init__(self, page: Page, tracking: LiveTracking, action: QAction, root: Path, parent: QObject | None = None):
        super().__init__(parent)
        self._page, self._tracking, self.action, self._root = page, tracking, action, root
        self.label = QLabel()
        self.label.setObjectName("recording")
        self.label.hide()
        self._due: float | None = None  # when the recording begins, time.monotonic()
        self._clock = QTimer(self)
        self._clock.setInterval(TICK_MS)
        self._clock.timeout.connect(self.refresh)
        tracking.recording.running.connect(self._show_running)
        tracking.recording.ended.connect(self._show_end)
        tracking.completer.ended.connect(self._show_completed)

    @property
    def remaining_s(self) -> float:
        return 0.0 if self._due is None else max(self._due - time.monotonic(), 0.0)

    def toggle(self, on: bool) -> None:
        """Begin after the countdown that is chosen; or end, the countdown too."""
        if not on:
            self._due = None
            self._tracking.stop_recording()
            self._show_running(False)
        elif (seconds := self._page.controls.countdown.currentData()) and self._tracking.tracker is not None:
            self._due = time.monotonic() + seconds
            self._page.picture.card.hide()
            self._clock.start()
            self.refresh()
        else:
            self.start()

    def start(self, name: str = "") -> None:
        """Record from now on; name : of the session, "": the input's."""
        self._due = None
        tracking = self._tracking
        self._page.picture.card.hide()
        try:
            about = self._page.controls.person.to_json()
            tracking.recording.start(self._root, tracking.pipeline, tracking.title, name, about)
        except UserError as error:
            self._show_running(False)
            self._page.picture.card.show_take(Recorded(None, 0.0, 0, 0, str(error)))
            self.refused.emit(str(error))

    def refresh(self) -> None:
        """Bring countdown, clock and label up to date."""
        if self._due is not None and self.remaining_s <= 0:
            self.start()
        seconds = math.ceil(self.remaining_s)
        if 0 < seconds != self._page.picture.countdown:
            self._beep()
        self._page.picture.show_countdown(seconds)
        recorder = self._tracking.recording.recorder
        self._page.picture.show_clock("" if recorder is None else clock_text(recorder.seconds))
        self.label.setText(recording_text(recorder))
        self.label.setVisible(recorder is not None)

    def _show_running(self, on: bool) -> None:
        self.action.setChecked(on)
        if on and self._tracking.recording.recorder is not None:
            self._beep()
        self._page.controls.lock(on)
        self._tracking.completer.hold(on)
        if on:
            self._page.picture.setFocus()  # not in a box that is locked now
            self._clock.start()
        elif self._due is None:
            self._clock.stop()
        self.refresh()

    def _show_end(self, recorded: Recorded) -> None:
        if self._tracking.recording.recorder is None:  # another one has not begun meanwhile
            self._page.picture.card.show_take(recorded)
            self._beep()
        if recorded.path is not None and recorded.unfitted:
            self._tracking.completer.start(recorded.path)

    def _beep(self) -> None:
        if self._page.controls.sound.isChecked():
            QApplication.beep()

    def _show_completed(self, path: Path, text: str) -> None:
        """The take's other frames are fitted, or not."""
        from lvd_live.gui.review import reopen_reviews

        self._page.picture.card.show_rest(path, text)
        reopen_reviews(path, path)


def clock_text(seconds: float) -> str:
    """Minutes, seconds and tenths, as m:ss.t."""
    tenths = int(10 * seconds)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
