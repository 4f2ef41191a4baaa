"""For somebody three metres from the keyboard: advice in the picture, and recording by a gesture or from afar."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QAction

from lvd_live.gui.guide import Gesture, Guide
from lvd_live.gui.language import tr
from lvd_live.gui.live_tracking import LiveTracking
from lvd_live.gui.page import Page
from lvd_live.gui.people import Calibrator, connect_people
from lvd_live.gui.remote import OscRemote
from lvd_live.pipeline.live import Result

TICK_MS = 100
STEPS = 10  # of the bar that says how long the hands were up


class Remotes(QObject):
    """Shows a guide's advice, and triggers `record` by gesture and by OSC, each while its switch is on.

    Advice and gesture are for cameras: nobody in a file can follow the one, or means the other.
    """

    _raised = Signal()

    def __init__(
        self,
        page: Page,
        tracking: LiveTracking,
        record: QAction,
        say: Callable[[str], object],
        parent: QObject | None = None,
    ):
        super().__init__(parent)
        self._page, self._tracking, self._record, self._say = page, tracking, record, say
        self._guided = self._gestures = False  # the switches, as other threads may read them
        self.guide, self.osc = Guide(self), OscRemote(self)
        self.gesture = Gesture(self._raised.emit)
        self._raised.connect(record.trigger)
        self.osc.asked.connect(self._obey)
        self.osc.failed.connect(self._refuse)
        page.controls.osc.toggled.connect(lambda on: self.osc.switch_on() if on else self.osc.switch_off())
        tracking.watchers.append(self._watch)
        self.calibrator, self._instruction = Calibrator(tracking, self), ""
        connect_people(self.calibrator, page.controls.person, self._set_height, self._set_fov, say)
        page.controls.person.calibrate.connect(self.toggle_calibration)
        self.calibrator.advised.connect(self._instruct)
        tracking.recording.running.connect(lambda on: self.calibrator.stop() if on else None)  # it has one scale
        self._clock = QTimer(self)
        self._clock.setInterval(TICK_MS)
        self._clock.timeout.connect(self.refresh)
        self._clock.start()

    def close(self) -> None:
        """End the threads."""
        self._clock.stop()
        self.guide.close()
        self.osc.switch_off()

    def refresh(self) -> None:
        """Show what the gesture has come to, or else the advice."""
        controls, pipeline = self._page.controls, self._tracking.pipeline
        live = pipeline is not None and pipeline.live
        self._guided, self._gestures = controls.guidance.isChecked(), controls.gesture.isChecked()
        if self._instruction:
            self._page.picture.show_advice(self._instruction)
            return
        self.guide.finder = None if pipeline is None else pipeline.finder
        text = tr(self.guide.text) if live and self._guided else ""
        if live and self.gesture.progress > 0:
            done = round(STEPS * self.gesture.progress)
            what = "Hands up: recording stops" if self._record.isChecked() else "Hands up: recording starts"
            text = f"{tr(what)}  {'●' * done}{'○' * (STEPS - done)}"
        self._page.picture.show_advice(text)

    def toggle_calibration(self) -> None:
        """Ask who is to be calibrated, or give up the calibration that runs."""
        controls = self._page.controls
        if self.calibrator.running:
            self.calibrator.stop()
        elif self._record.isChecked():
            self._say(tr("Stop the recording first: it has one scale."))
        else:
            self.calibrator.ask(self._page, list(controls.person.known), controls.height_field.metres)

    def _instruct(self, text: str) -> None:
        self._instruction = tr(text)
        self.refresh()

    def _set_height(self, metres: float) -> None:
        field = self._page.controls.height_field
        field.box.setValue(metres)
        field.confirm()
        self._page.controls.options_changed.emit()

    def _set_fov(self, degrees: float) -> None:
        chosen = self._tracking.input
        self._page.controls.fov.keep(degrees, "" if chosen is None else chosen.listed)

    def _watch(self, result: Result) -> None:
        """Called in the fit's thread."""
        pipeline = self._tracking.pipeline
        if pipeline is None or not pipeline.live:
            return
        if self._guided:
            self.guide.offer(result)
        if self._gestures:
            self.gesture(result.person, result.frame.timestamp_ns)
        else:
            self.gesture.forget()

    def _obey(self, wanted: bool | None) -> None:
        if wanted is None or wanted != self._record.isChecked():
            self._record.trigger()

    def _refuse(self, why: str) -> None:
        self._page.controls.osc.setChecked(False)
        self._say(why)
