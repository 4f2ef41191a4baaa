"""What a camera sees, before it is chosen: one picture, taken when the mouse is over its name."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QEnterEvent, QFocusEvent, QIcon, QImage, QPixmap
from PySide6.QtWidgets import QPushButton

from lvd_live.render import fit_into
from lvd_live.sources.capture import open_capture, read_picture

SIZE = (160, 120)  # of the picture, pixels
TIMEOUT_MS, WARM_UP = 1500, 4  # many cameras give their first pictures dark


class CameraButton(QPushButton):
    """A camera's name, and what it sees once mouse or focus came to it.

    number : the camera's.
    """

    _seen = Signal(object)

    def __init__(self, text: str, number: int):
        super().__init__(text)
        self.number = number
        self._asked = False
        self.setIconSize(QSize(*SIZE))
        self._seen.connect(self._show)

    def enterEvent(self, event: QEnterEvent) -> None:
        self._look()
        super().enterEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        self._look()
        super().focusInEvent(event)

    def _look(self) -> None:
        if not self._asked:
            self._asked = True
            threading.Thread(target=self._take, name="camera preview", daemon=True).start()

    def _take(self) -> None:
        if (picture := take_picture(self.number)) is not None:
            with contextlib.suppress(RuntimeError):  # the button is gone
                self._seen.emit(picture)

    def _show(self, picture: np.ndarray) -> None:
        small = np.ascontiguousarray(fit_into(picture, SIZE))
        image = QImage(small.data, *SIZE, 3 * SIZE[0], QImage.Format.Format_RGB888)
        self.setIcon(QIcon(QPixmap.fromImage(image)))


def take_picture(number: int) -> np.ndarray | None:
    """One picture (H, W, 3) uint8 RGB of a camera, None where it gives none; the camera is free again afterwards."""
    if (capture := open_capture(number, TIMEOUT_MS)) is None:
        return None
    try:
        picture = None
        for _ in range(WARM_UP):
            picture = read_picture(capture)
        return picture
    finally:
        capture.release()
