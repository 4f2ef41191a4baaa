"""The picture, and the bar that says what the colours mean."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from lvd_live.body.skeleton import BODY_PARTS
from lvd_live.gui.canvas import Canvas, draw_picture
from lvd_live.gui.shading import COLOUR_MAP, PART_COLOURS

LATENCIES = 90  # how many are remembered


class PictureView(Canvas):
    """A picture as large as it fits.

    picture : (H, W, 3) uint8 RGB, or None: the hint is shown.
    latencies_ms : from the capture of a picture to its drawing, the last ones.
    """

    def __init__(self) -> None:
        super().__init__(320, 240)
        self.picture: np.ndarray | None = None
        self.hint = ""
        self.latencies_ms: deque[float] = deque(maxlen=LATENCIES)
        self._captured_ns: int | None = None

    def show_picture(self, picture: np.ndarray | None, captured_ns: int | None = None) -> None:
        """Show a picture (H, W, 3) uint8 RGB, or the hint alone; captured_ns : time.monotonic_ns() of its capture."""
        self.picture = None if picture is None else np.ascontiguousarray(picture)
        self._captured_ns = captured_ns
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("#14161a"))
        if self.picture is not None:
            self._draw_picture(painter, self.picture)
        elif self.hint:
            painter.setPen(QColor("#9aa4b2"))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(24, 24, -24, -24), flags, self.hint)

    def _draw_picture(self, painter: QPainter, picture: np.ndarray) -> None:
        height, width = picture.shape[:2]
        scale = min(self.width() / width, self.height() / height)
        left, top = (self.width() - scale * width) / 2, (self.height() - scale * height) / 2
        draw_picture(painter, QRectF(left, top, scale * width, scale * height), picture)
        if self._captured_ns is not None:
            self.latencies_ms.append((time.monotonic_ns() - self._captured_ns) / 1e6)
            self._captured_ns = None


class ColourBar(QWidget):
    """What the colours mean, for each of `shading.COLOURS`; nothing for plain ones."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(44)
        self.shown = ("uncertainty", False, 0)

    def show_mode(self, mode: str, calibrated: bool, top_mm: int) -> None:
        """mode : of `shading.COLOURS`. calibrated : the uncertainty is an expected error. top_mm : 0 is not known."""
        if (mode, calibrated, top_mm) != self.shown:
            self.shown = (mode, calibrated, top_mm)
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(QColor("#c8ced8"))
        bar = self.rect().adjusted(10, 4, -10, -26)
        below = self.rect().adjusted(10, 20, -10, 0)
        mode, calibrated, top = self.shown
        if mode == "body part":
            _draw_parts(painter, bar, below)
        elif mode == "depth":
            _draw_scale(painter, bar, below, ("far", "", "near"))
        elif mode == "uncertainty":
            middle = "expected error" if calibrated else "spread, standard deviation"
            _draw_scale(painter, bar, below, ("0 mm", middle, f"≥ {top} mm" if top else ""))


def _draw_parts(painter: QPainter, bar: QRect, below: QRect) -> None:
    """A box of its colour for each part of the body, with its name below."""
    centred = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop
    width = bar.width() / len(BODY_PARTS)
    for i, name in enumerate(BODY_PARTS):
        box = QRectF(bar.left() + i * width, bar.top(), width - 2, bar.height())
        painter.fillRect(box, QColor(*map(int, PART_COLOURS[i])))
        painter.drawText(QRectF(box.left(), below.top(), width, below.height()), centred, name)


def _draw_scale(painter: QPainter, bar: QRect, below: QRect, texts: tuple[str, str, str]) -> None:
    """The colour map, and below it what its left end, its middle and its right end are."""
    gradient = QLinearGradient(bar.left(), 0, bar.right(), 0)
    for stop in np.linspace(0, 1, 9):
        gradient.setColorAt(float(stop), QColor(*map(int, COLOUR_MAP[int(stop * 255)])))
    painter.fillRect(bar, gradient)
    sides = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignRight
    for text, side in zip(texts, sides, strict=True):
        painter.drawText(below, side | Qt.AlignmentFlag.AlignTop, text)
