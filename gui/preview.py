"""What a camera sees, before it is chosen: live, as long as the mouse or the focus is on its name."""

from __future__ import annotations

import threading
import time

import numpy as np
from PySide6.QtCore import QEvent, QSize, Signal
from PySide6.QtGui import QEnterEvent, QFocusEvent, QHideEvent, QIcon, QImage, QPixmap
from PySide6.QtWidgets import QPushButton

from lvd_live.render import fit_into
from lvd_live.sources.capture import open_capture, read_picture

SIZE = (160, 120)  # of the picture, pixels
TIMEOUT_MS, WARM_UP = 1500, 4  # many cameras give their first pictures dark
EVERY_S = 0.1  # between two pictures shown
PATIENCE_S = 1.0  # for the camera to be given back, before another part of the program opens it


class CameraButton(QPushButton):
    """A camera's name, and what it sees while mouse or focus are on it; its last picture stays.

    number : the camera's.
    """

    _seen = Signal(object)

    def __init__(self, text: str, number: int):
        super().__init__(text)
        self.number = number
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.setIconSize(QSize(*SIZE))
        self._seen.connect(self._show)

    def enterEvent(self, event: QEnterEvent) -> None:
        self._look()
        super().enterEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        self._look()
        super().focusInEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        if not self.hasFocus():
            self._stop.set()
        super().leaveEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        if not self.underMouse():
            self._stop.set()
        super().focusOutEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self.close_camera()
        super().hideEvent(event)

    def close_camera(self) -> None:
        """Give the camera back, waiting a little for it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def _look(self) -> None:
        if self._thread is not None and self._thread.is_alive() and not self._stop.is_set():
            return
        before, self._stop = self._thread, threading.Event()
        self._thread = threading.Thread(
            target=self._watch, args=(self._stop, before), name="camera preview", daemon=True
        )
        self._thread.start()

    def _watch(self, stop: threading.Event, before: threading.Thread | None) -> None:
        """Emit pictures until `stop` is set; before : a thread that may still have the camera."""
        if before is not None:
            before.join(PATIENCE_S)
        if stop.is_set() or (capture := open_capture(self.number, TIMEOUT_MS)) is None:
            return
        try:
            count, shown = 0, 0.0
            while not stop.is_set() and (picture := read_picture(capture)) is not None:
                count += 1
                if count >= WARM_UP and time.monotonic() - shown >= EVERY_S:
                    shown = time.monotonic()
                    self._seen.emit(picture)
                else:
                    stop.wait(0.005)  # some drivers give the same picture again at once
        except RuntimeError:  # the button is gone
            pass
        finally:
            capture.release()

    def _show(self, picture: np.ndarray) -> None:
        if self._stop.is_set():
            return
        small = np.ascontiguousarray(fit_into(picture, SIZE))
        image = QImage(small.data, *SIZE, 3 * SIZE[0], QImage.Format.Format_RGB888)
        self.setIcon(QIcon(QPixmap.fromImage(image)))
