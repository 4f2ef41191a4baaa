"""The picture, and the bar that says what the colours mean."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QLinearGradient, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QVBoxLayout, QWidget

from lvd_live.body.skeleton import BODY_PARTS
from lvd_live.gui.canvas import Canvas, draw_picture
from lvd_live.gui.language import tr
from lvd_live.gui.shading import COLOUR_MAP, PART_COLOURS
from lvd_live.gui.take_card import TakeCard
from lvd_live.gui.welcome import Welcome

LATENCIES = 90  # how many are remembered
RECORDING, FRAME = "#d3222f", 8  # the colour and the width, pixels, of the frame of a picture that is recorded


class PictureView(Canvas):
    """A picture as large as it fits; over it, in red, whether it is recorded.

    picture : (H, W, 3) uint8 RGB, or None: the hint is shown.
    welcome : what is seen before anything is open.
    card : what became of the last recording.
    clock : how long the recording that runs is, "": none runs.
    countdown : seconds until one begins, 0: none is about to.
    advice : what the person before the camera should change, "" for nothing.
    latencies_ms : from the capture of a picture to its drawing, the last ones.
    """

    def __init__(self) -> None:
        super().__init__(220, 130)
        self.picture: np.ndarray | None = None
        self.hint = ""
        self.latencies_ms: deque[float] = deque(maxlen=LATENCIES)
        self._captured_ns: int | None = None
        self.clock, self.countdown, self.advice = "", 0, ""
        self.setAccessibleName(tr("picture with the mesh"))
        self.card, self.welcome = TakeCard(self), Welcome(self)
        layout = QVBoxLayout(self)
        layout.addWidget(self.welcome, 1)
        layout.addStretch(0)
        layout.addWidget(self.card)

    def show_clock(self, clock: str) -> None:
        """Frame the picture in red, with the clock; "" takes both away."""
        if clock != self.clock:
            self.clock = clock
            self.update()

    def show_countdown(self, seconds: int) -> None:
        """A number as large as the picture; 0 takes it away."""
        if seconds != self.countdown:
            self.countdown = seconds
            self.update()

    def show_advice(self, text: str) -> None:
        """A sentence for the person before the camera, large; "" takes it away."""
        if text != self.advice:
            self.advice = text
            self.update()

    def show_picture(self, picture: np.ndarray | None, captured_ns: int | None = None) -> None:
        """Show a picture (H, W, 3) uint8 RGB, or the hint alone; captured_ns : time.monotonic_ns() of its capture."""
        self.picture = None if picture is None else np.ascontiguousarray(picture)
        self._captured_ns = captured_ns
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.palette().window() if self.welcome.isVisible() else QColor("#14161a"))
        if self.picture is not None:
            self._draw_picture(painter, self.picture)
        elif self.hint:
            painter.setPen(QColor("#9aa4b2"))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(24, 24, -24, -24), flags, self.hint)
        self.draw_stale(painter)
        if self.advice and self.picture is not None and not self.stale and not self.card.isVisible():
            _draw_advice(painter, self.rect(), self.advice)
        if self.countdown:
            _draw_countdown(painter, self.rect(), self.countdown)
        if self.clock:
            _draw_recording(painter, self.rect(), self.clock)

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
        self.setAccessibleName(tr("what the colours mean"))
        self.shown = ("uncertainty", False, 0)

    def show_mode(self, mode: str, calibrated: bool, top_mm: int) -> None:
        """mode : of `shading.COLOURS`. calibrated : the uncertainty is an expected error. top_mm : 0 is not known."""
        if (mode, calibrated, top_mm) != self.shown:
            self.shown = (mode, calibrated, top_mm)
            self.update()

    def show_distance(self, top_mm: int, some_guessed: bool) -> None:
        """The colours are a distance from 0 to `top_mm`; some_guessed : what is grey is not in the scan."""
        self.show_mode("distance", some_guessed, top_mm)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        bar = self.rect().adjusted(10, 4, -10, -26)
        below = self.rect().adjusted(10, 20, -10, 0)
        mode, calibrated, top = self.shown
        if mode == "body part":
            _draw_parts(painter, bar, below)
        elif mode == "depth":
            _draw_scale(painter, bar, below, (tr("far"), "", tr("near")))
        elif mode == "distance" and top:
            middle = tr("distance from the scan; grey: not in it" if calibrated else "distance from the scan")
            _draw_scale(painter, bar, below, ("0 mm", middle, f"≥ {top} mm"))
        elif mode == "uncertainty":
            middle = tr("expected error" if calibrated else "spread, standard deviation")
            _draw_scale(painter, bar, below, ("0 mm", middle, f"≥ {top} mm" if top else ""))


def _draw_countdown(painter: QPainter, where: QRect, seconds: int) -> None:
    """A number that is read from across a room."""
    painter.fillRect(where, QColor(0, 0, 0, 90))
    font = QFont(painter.font())
    font.setPixelSize(max(int(0.6 * where.height()), 24))
    font.setBold(True)
    painter.setFont(font)
    painter.setPen(QColor("#ffffff"))
    painter.drawText(where, Qt.AlignmentFlag.AlignCenter, str(seconds))


def _draw_advice(painter: QPainter, where: QRect, text: str) -> None:
    """A strip along the lower edge, with a text that is read from across a room."""
    font = QFont(painter.font())
    font.setPixelSize(max(int(0.055 * where.height()), 18))
    font.setBold(True)
    painter.setFont(font)
    flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
    inner = where.adjusted(FRAME, FRAME, -FRAME, -FRAME)
    height = painter.fontMetrics().boundingRect(inner, int(flags), text).height() + FRAME
    strip = QRect(where.left(), where.bottom() - height - 2 * FRAME, where.width(), height)
    painter.fillRect(strip, QColor(0, 0, 0, 170))
    painter.setPen(QColor("#ebcb8b"))
    painter.drawText(strip.adjusted(FRAME, 0, -FRAME, 0), flags, text)


def _draw_recording(painter: QPainter, where: QRect, clock: str) -> None:
    """A red frame, and the clock in its corner."""
    painter.setPen(QPen(QColor(RECORDING), 2 * FRAME))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRect(where)  # half of the pen lies outside
    font = QFont(painter.font())
    font.setPixelSize(max(int(0.07 * where.height()), 20))
    font.setBold(True)
    painter.setFont(font)
    text = f" ● {clock} "
    size = painter.fontMetrics().size(0, text)
    box = QRect(where.left(), where.top(), size.width() + FRAME, size.height() + FRAME)
    painter.fillRect(box, QColor(RECORDING))
    painter.setPen(QColor("#ffffff"))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def _draw_parts(painter: QPainter, bar: QRect, below: QRect) -> None:
    """A box of its colour for each part of the body, with its name below."""
    centred = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop
    width = bar.width() / len(BODY_PARTS)
    for i, name in enumerate(BODY_PARTS):
        box = QRectF(bar.left() + i * width, bar.top(), width - 2, bar.height())
        painter.fillRect(box, QColor(*map(int, PART_COLOURS[i])))
        painter.drawText(QRectF(box.left(), below.top(), width, below.height()), centred, tr(name))


def _draw_scale(painter: QPainter, bar: QRect, below: QRect, texts: tuple[str, str, str]) -> None:
    """The colour map, and below it what its left end, its middle and its right end are."""
    gradient = QLinearGradient(bar.left(), 0, bar.right(), 0)
    for stop in np.linspace(0, 1, 9):
        gradient.setColorAt(float(stop), QColor(*map(int, COLOUR_MAP[int(stop * 255)])))
    painter.fillRect(bar, gradient)
    metrics, (left, middle, right) = painter.fontMetrics(), texts
    room = below.width() - 2 * max(metrics.horizontalAdvance(end) for end in (left + "  ", right + "  "))
    texts = left, metrics.elidedText(middle, Qt.TextElideMode.ElideRight, room), right
    sides = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignRight
    for text, side in zip(texts, sides, strict=True):
        painter.drawText(below, side | Qt.AlignmentFlag.AlignTop, text)
