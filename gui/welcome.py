"""What is seen before anything is open: three large buttons, the cameras that are plugged in, and the last takes."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from lvd_live.errors import UserError
from lvd_live.gui.commands import ButtonKeys
from lvd_live.gui.inputs import Input, camera_names
from lvd_live.gui.language import tr
from lvd_live.gui.preview import CameraButton
from lvd_live.gui.status import time_text
from lvd_live.session import library

LOOK_MS = 2000  # between two looks for cameras
WIDEST = 320  # pixels, of a large button
TAKES = 4  # the last ones shown


class Welcome(QWidget):
    """Lists cameras and takes as long as it is visible.

    recordings : the folder of the takes. last : the camera that was tracked last, as it is listed, or "".
    cameras, takes : the buttons of each list.

    chosen : an Input to track. asked : the name of the command to do, "camera", "open" or "demo". opened : a take.
    """

    chosen, asked, opened = Signal(Input), Signal(str), Signal(Path)
    _found = Signal(list, list)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.recordings: Path | None = None
        self.last = ""
        self.cameras: list[QPushButton] = []
        self.takes: list[QPushButton] = []
        self.buttons = {
            "camera": _button(
                "Camera", "Track the last camera, or the first; without any, ask for an address.", large=True
            ),
            "open": _button("Open", "Track a video, fit pictures, or look at a result.", large=True),
            "demo": _button("Demo", "Play the bundled clip: it shows what this is about.", large=True),
        }
        self.hint = QLabel(tr("No camera is plugged in: plug one in, or drop a video here."))
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setWordWrap(True)
        self._names: list[str] | None = None
        self._sessions: list[library.SessionInfo] = []
        self._thread: threading.Thread | None = None
        self._clock = QTimer(self)
        self._clock.setInterval(LOOK_MS)
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addStretch(1)
        for button in self.buttons.values():
            button.setMaximumWidth(WIDEST)
            row.addWidget(button, 4)
        row.addStretch(1)
        self._camera_list, self._take_list = QVBoxLayout(), QVBoxLayout()
        self._takes_title = QLabel(tr("Last takes"))
        self._takes_title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._takes_title.hide()
        layout = QVBoxLayout(self)
        layout.addStretch(2)
        layout.addLayout(row)
        layout.addWidget(self.hint)
        layout.addLayout(self._camera_list)
        layout.addStretch(1)
        layout.addWidget(self._takes_title)
        layout.addLayout(self._take_list)
        layout.addStretch(2)

    def _connect(self) -> None:
        self.buttons["camera"].clicked.connect(lambda *_: self._choose_first())
        for name in ("open", "demo"):
            self.buttons[name].clicked.connect(lambda *_, name=name: self.asked.emit(name))
        self._clock.timeout.connect(self.look)
        self._found.connect(self._show_found)

    def showEvent(self, event: QShowEvent) -> None:
        self.look()
        self._clock.start()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._clock.stop()
        super().hideEvent(event)

    def look(self) -> None:
        """Look again for cameras and takes, in a thread: some systems and disks are slow to answer."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._look, name="first screen", daemon=True)
            self._thread.start()

    def _look(self) -> None:
        try:
            takes = [] if self.recordings is None else library.list_sessions(self.recordings)[:TAKES]
        except UserError:
            takes = []
        names = camera_names()
        with contextlib.suppress(RuntimeError):  # the window is gone
            self._found.emit(names, takes)

    def _show_found(self, names: list[str], takes: list[library.SessionInfo]) -> None:
        self._show_cameras(names)
        self._show_takes(takes)

    def _choose_first(self) -> None:
        if self._names:
            self.chosen.emit(_input(self.last if self.last in self._names else self._names[0]))
        else:
            self.asked.emit("camera")

    def _show_cameras(self, names: list[str]) -> None:
        if names == self._names:
            return
        self._names = names
        self.hint.setVisible(not names)
        buttons: list[QPushButton] = []
        for name in names:
            number, _, text = name.partition(": ")
            text = (text or name) + (tr(" (last time)") if name == self.last and len(names) > 1 else "")
            buttons.append(_prepare(CameraButton(text, int(number)) if number.isdigit() else QPushButton(text)))
        _refill(self._camera_list, self.cameras, buttons)
        self.cameras = buttons
        for button, name in zip(self.cameras, names, strict=True):
            button.setToolTip(tr("Track from camera {}; point at it to see what it sees").format(name))
            button.clicked.connect(lambda *_, name=name: self.chosen.emit(_input(name)))

    def _show_takes(self, found: list[library.SessionInfo]) -> None:
        if found == self._sessions:
            return
        self._sessions = found
        self._takes_title.setVisible(bool(found))
        texts = [f"{info.name}  ·  {info.started:%d %b, %H:%M}  ·  {time_text(info.seconds)} min" for info in found]
        takes = [_prepare(QPushButton(text)) for text in texts]
        _refill(self._take_list, self.takes, takes)
        self.takes = takes
        for button, info in zip(self.takes, found, strict=True):
            button.setToolTip(tr("Look at {}").format(info.path))
            button.clicked.connect(lambda *_, path=info.path: self.opened.emit(path))


def _input(name: str) -> Input:
    return Input("camera", name.partition(":")[0].strip())


def _prepare(button: QPushButton, tip: str = "", large: bool = False) -> QPushButton:
    button.setObjectName("large" if large else "small")
    button.setToolTip(tr(tip))
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.installEventFilter(ButtonKeys(button))
    return button


def _button(text: str, tip: str, large: bool) -> QPushButton:
    return _prepare(QPushButton(tr(text)), tip, large)


def _refill(layout: QVBoxLayout, old: list[QPushButton], buttons: list[QPushButton]) -> None:
    """Put buttons in the place of the old ones."""
    for button in old:
        if isinstance(button, CameraButton):
            button.close_camera()
        layout.removeWidget(button)
        button.deleteLater()
    for button in buttons:
        layout.addWidget(button, 0, Qt.AlignmentFlag.AlignCenter)
