"""What became of a recording, large enough to be read from three metres away, until it is dismissed."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from lvd_live.gui.commands import ButtonKeys
from lvd_live.gui.language import tr
from lvd_live.gui.recording import Recorded


class TakeCard(QFrame):
    """Hidden until `show_take`, and again once it is dismissed.

    taken : the last `Recorded`, or None.
    opened : its folder, where it is to be looked at.
    """

    opened = Signal(Path)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self.taken: Recorded | None = None
        self.headline, self.why, self.rest, self.place = QLabel(), QLabel(), QLabel(), QLabel()
        for label, name in zip(self._labels, ("headline", "why", "rest", "place"), strict=True):
            label.setObjectName(name)
            label.setWordWrap(True)
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.open_button, self.dismiss_button = QPushButton(tr("Open")), QPushButton(tr("Dismiss"))
        self.open_button.setToolTip(tr("Look at the take: its pictures, the mesh and the uncertainty along the time."))
        self.dismiss_button.setToolTip(tr("Hide this card; the take stays in Recordings."))
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        for button in (self.open_button, self.dismiss_button):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.installEventFilter(ButtonKeys(button))
            buttons.addWidget(button)
        buttons.addStretch(1)
        layout = QVBoxLayout(self)
        for label in self._labels:
            layout.addWidget(label)
        layout.addLayout(buttons)
        self.open_button.clicked.connect(self._open)
        self.dismiss_button.clicked.connect(self.hide)
        self.hide()

    @property
    def _labels(self) -> tuple[QLabel, ...]:
        return self.headline, self.why, self.rest, self.place

    def show_rest(self, path: Path, text: str) -> None:
        """What becomes of the frames that are fitted afterwards, if the card is about that take."""
        if self.taken is not None and path == self.taken.path:
            self.rest.setText(text)
            self.rest.setVisible(bool(text))

    def show_take(self, taken: Recorded) -> None:
        """Say what was recorded, and why it ended where that was not the user's wish."""
        self.taken = taken
        self.headline.setText(str(taken))
        self.why.setText(taken.why)
        self.why.setVisible(bool(taken.why))
        later = tr("{} of the frames are fitted now, in the background.")
        rest = later.format(taken.unfitted) if taken.unfitted else ""
        self.rest.setText(rest)
        self.rest.setVisible(bool(rest))
        self.place.setText("" if taken.path is None else f"{taken.path.parent.name}/{taken.path.name}")
        self.place.setToolTip(str(taken.path or ""))
        self.open_button.setVisible(taken.path is not None)
        self.show()

    def _open(self) -> None:
        if self.taken is not None and self.taken.path is not None:
            self.opened.emit(self.taken.path)
