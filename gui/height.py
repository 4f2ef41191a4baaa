"""The person's height: where it is typed, and whether it is this person's."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QWidget

from lvd_live.body.height import HIGHEST, LOWEST
from lvd_live.gui.language import tr

ANOTHER_S = 5.0  # without a person, after which the next one may be another
GUESS = "the scale is a guess"


class HeightField(QWidget):
    """A box for the height, metres, and a note where the scale is a guess.

    box : below LOWEST it says "not known".
    confirmed : the height was set, or kept by Enter, since it was last doubted.

    noted : `confirmed` or the note is different.
    """

    noted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.box, self.note = _height_box(), QLabel(tr(GUESS))
        self.note.setObjectName("doubt")
        self.note.setWordWrap(True)
        self.note.setMinimumWidth(110)
        self.note.setToolTip(
            tr("Set the height of the person before the camera, or press Enter in the box if it is right.")
        )
        self.confirmed = False
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        layout.addWidget(self.note)
        self.box.valueChanged.connect(lambda *_: self.confirm())
        self.box.lineEdit().returnPressed.connect(self.confirm)
        letters = LettersAreKeys(self)
        for widget in (self.box, self.box.lineEdit()):
            widget.installEventFilter(letters)

    @property
    def metres(self) -> float | None:
        """The height, None: not known."""
        return self.box.value() if self.box.value() >= LOWEST else None

    def confirm(self) -> None:
        """It is this person's height, if one is set."""
        self._note(self.metres is not None, "" if self.metres is not None else tr(GUESS))

    def doubt(self, origin: str) -> None:
        """The height may be another person's; origin : where it is from, such as "last time"."""
        if self.metres is not None:
            self._note(False, tr("from {}: {}").format(tr(origin), tr(GUESS)))

    def _note(self, confirmed: bool, text: str) -> None:
        self.confirmed = confirmed
        self.note.setText(text)
        self.note.setVisible(bool(text))
        self.noted.emit()


class Attendance:
    """Whether another person may have come: somebody is there again after nobody was for ANOTHER_S."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: nobody was there yet."""
        self._known = False
        self._gone_ns: int | None = None  # the first frame of those without anybody

    def __call__(self, present: bool, timestamp_ns: int) -> bool:
        """Take note of one frame: whether somebody was found in it, and its time."""
        if not present:
            self._gone_ns = timestamp_ns if self._gone_ns is None else self._gone_ns
            return False
        known, gone = self._known, self._gone_ns
        self._known, self._gone_ns = True, None
        return known and gone is not None and timestamp_ns - gone >= ANOTHER_S * 1e9


class LettersAreKeys(QObject):
    """An event filter for a box of numbers: letters and the space bar, which it cannot use, stay the window's keys."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            if event.text().isalpha() or event.text() == " ":
                event.ignore()
                return True
        return super().eventFilter(watched, event)


def _height_box() -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setDecimals(2)
    box.setRange(LOWEST - 0.01, HIGHEST)
    box.setSingleStep(0.01)
    box.setSuffix(" m")
    box.setSpecialValueText(tr("not known"))
    box.setAccessibleName(tr("Height"))
    box.setKeyboardTracking(False)  # 1.8 on the way to 1.83 is nobody's height
    box.setToolTip(
        tr("The person's height, metres: it sets the scale of everything that is measured, recorded or sent.")
    )
    return box
