"""The people that were calibrated, by name: chosen anew for each, and kept between runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QSettings, Signal
from PySide6.QtWidgets import QComboBox, QDialog, QHBoxLayout, QPushButton, QWidget

from lvd_live.errors import UserError
from lvd_live.gui.commands import ButtonKeys
from lvd_live.gui.language import tr
from lvd_live.tracking.calibration import Calibration

if TYPE_CHECKING:
    from lvd_live.gui.inputs import Input
    from lvd_live.gui.live_tracking import LiveTracking
    from lvd_live.pipeline.live import Result
    from lvd_live.tracking.standing import Standing

NOBODY = "anybody"
PATIENCE_S = 60.0  # until somebody stands straight


class PersonBox(QWidget):
    """A list of the people that are known, and a button that calibrates one.

    known : by name. chosen : of the person chosen, or None.

    picked : another is chosen, by the user. calibrate : the button was pressed.
    """

    picked, calibrate = Signal(), Signal()

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Calibration] = {}
        self.box, self.button = QComboBox(), QPushButton(tr("Calibrate …"))
        self.box.addItem(tr(NOBODY))
        self.box.setToolTip(tr("Who stands before the camera: sets height, scale and shape as they were calibrated."))
        self.box.setAccessibleName(tr("person"))
        self.button.setToolTip(tr("Stand straight for two seconds: with the height typed, this gives scale and shape."))
        self.button.installEventFilter(ButtonKeys(self.button))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box, 1)
        layout.addWidget(self.button)
        self.box.activated.connect(lambda *_: self.picked.emit())
        self.button.clicked.connect(lambda *_: self.calibrate.emit())

    @property
    def name(self) -> str:
        """Of the person chosen, "" for anybody."""
        return "" if self.box.currentIndex() <= 0 else self.box.currentText()

    @property
    def chosen(self) -> Calibration | None:
        return self.known.get(self.name)

    def choose(self, name: str = "") -> None:
        """Choose a person who is known, or anybody."""
        self.box.setCurrentIndex(max(self.box.findText(name), 0) if name else 0)

    def add(self, name: str, calibration: Calibration) -> None:
        """Know a person, from now on or anew, and choose them."""
        if name not in self.known:
            self.box.addItem(name)
        self.known[name] = calibration
        self.choose(name)

    def to_json(self) -> dict[str, Any]:
        """For a recording: who is chosen; {} for anybody."""
        return {} if self.chosen is None else {"calibration": self.chosen.to_json() | {"name": self.name}}

    def save(self, settings: QSettings) -> None:
        """Keep who is known."""
        settings.setValue("people", json.dumps({name: known.to_json() for name, known in self.known.items()}))

    def restore(self, settings: QSettings) -> None:
        """Know who was known; anybody is chosen."""
        if not (text := settings.value("people")):
            return
        try:
            people = json.loads(str(text)).items()
        except (ValueError, AttributeError, RecursionError):  # a settings file that somebody edited
            return
        for name, values in people:
            if name and (known := Calibration.from_json(values)) is not None:
                self.add(str(name), known)
        self.choose()


class Calibrator(QObject):
    """Has a person stand straight, and fits scale and shape to them.

    running : somebody is to stand straight now.

    advised : what to do, or how far it is; "" at the end. done : name, Calibration, and the field of view in degrees,
    None where no distance was measured. failed : a sentence.
    """

    advised, done, failed = Signal(str), Signal(str, object, object), Signal(str)

    def __init__(self, tracking: LiveTracking, parent: QObject | None = None):
        super().__init__(parent)
        self._tracking = tracking
        self._standing: Standing | None = None
        self._name, self._height, self._due_ns = "", 0.0, 0
        self._distance: float | None = None
        self._input: Input | None = None
        tracking.watchers.append(self._watch)

    @property
    def running(self) -> bool:
        return self._standing is not None

    def ask(self, parent: QWidget, names: list[str], height: float | None) -> None:
        """Ask for the name, and begin."""
        if height is None:
            self.failed.emit(tr("Type the person's height first: it is what the scale comes from."))
        elif self._tracking.tracker is None or self._tracking.pipeline is None or not self._tracking.pipeline.live:
            self.failed.emit(tr("Choose a camera first: the person must stand before it."))
        else:
            from lvd_live.gui.calibrate_dialog import CalibrateDialog

            dialog = CalibrateDialog(names, parent)
            agreed = dialog.exec() == QDialog.DialogCode.Accepted
            if agreed and dialog.name and dialog.name != tr(NOBODY):
                self.start(dialog.name, height, dialog.distance)

    def start(self, name: str, height: float, distance: float | None = None) -> None:
        """Wait for somebody of this height, metres, who stands straight; distance : see `field_of_view`."""
        from lvd_live.tracking.standing import Standing

        self._name, self._height, self._distance, self._input = name, height, distance, self._tracking.input
        self._due_ns = time.monotonic_ns() + int(PATIENCE_S * 1e9)
        self._standing = Standing()  # last: the fit's thread looks at it

    def stop(self) -> None:
        """Give it up."""
        self._standing = None
        self.advised.emit("")

    def _watch(self, result: Result) -> None:
        """Called in the fit's thread."""
        from lvd_live.tracking.standing import STAND_STILL

        standing, tracker = self._standing, self._tracking.tracker
        if standing is None or tracker is None:
            return
        if self._tracking.input is not self._input:
            self.stop()  # something else was opened: somebody else may be in it
            return
        standing(result.frame, result.person, result.fit)
        if standing.progress < 1:
            if result.done_ns > self._due_ns:
                self.stop()
                self.failed.emit(tr("The calibration was given up: nobody stood straight for two seconds."))
                return
            dots = round(10 * standing.progress)
            self.advised.emit(standing.advice or f"{tr(STAND_STILL)}  {'●' * dots}{'○' * (10 - dots)}")
            return
        self._standing = None
        work = partial(self._fit, list(standing.fits), self._name, self._height, self._distance)
        threading.Thread(target=work, name="calibrator", daemon=True).start()

    def _fit(self, fits: list, name: str, height: float, distance: float | None) -> None:
        from lvd_live.tracking.field_of_view import field_of_view
        from lvd_live.tracking.standing import calibrate

        tracker = self._tracking.tracker
        try:
            if tracker is not None:
                known = calibrate(fits, tracker.shown_body, height, tracker.options)
                fov = None if distance is None else field_of_view(fits, known, distance, tracker.options)
                self.done.emit(name, known, fov)
        except UserError as error:
            self.failed.emit(str(error))
        self.advised.emit("")


def connect_people(
    calibrator: Calibrator,
    box: PersonBox,
    set_height: Callable[[float], object],
    set_fov: Callable[[float], object],
    say: Callable[[str], object],
) -> None:
    """Have a calibration kept and used, and what goes wrong said."""

    def keep(name: str, calibration: Calibration, fov: float | None) -> None:
        box.add(name, calibration)
        if fov is not None:
            set_fov(fov)
        set_height(calibration.height)
        said = tr("{} is calibrated: {:.2f} m tall, the scale times {:.3f}.")
        seen = "" if fov is None else " " + tr("The camera's field of view is {:.1f}°.").format(fov)
        say(said.format(name, calibration.height, calibration.scale) + seen)

    def use() -> None:
        if box.chosen is not None:
            set_height(box.chosen.height)

    calibrator.done.connect(keep)
    calibrator.failed.connect(say)
    box.picked.connect(use)
