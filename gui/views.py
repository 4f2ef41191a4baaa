"""What the window shows: the picture, and what the colours mean."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QImage, QLinearGradient, QPainter
from PySide6.QtWidgets import QSizePolicy, QWidget

from lvd_live.body.skeleton import BODY_PARTS
from lvd_live.gui.shading import COLOUR_MAP, PART_COLOURS


class PictureView(QWidget):
    """A picture as large as it fits."""

    def __init__(self):
        super().__init__()
        self.setMinimumSize(320, 240)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.picture: np.ndarray | None = None
        self.hint = ""
        self.latencies_ms: deque[float] = deque(maxlen=90)
        self._captured_ns: int | None = None

    def show_picture(self, picture: np.ndarray | None, captured_ns: int | None = None) -> None:
        """picture (H, W, 3) uint8 RGB, or None: the hint alone. captured_ns: time.monotonic_ns() of its capture, for `latencies_ms`, which ends where the picture is drawn."""
        self.picture = None if picture is None else np.ascontiguousarray(picture)
        self._captured_ns = captured_ns
        self.update()

    def paintEvent(self, event) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("#14161a"))
        if self.picture is not None:
            height, width = self.picture.shape[:2]
            image = QImage(self.picture.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            k = min(self.width() / width, self.height() / height)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(
                QRectF((self.width() - k * width) / 2, (self.height() - k * height) / 2, k * width, k * height), image
            )
            if self._captured_ns is not None:
                self.latencies_ms.append((time.monotonic_ns() - self._captured_ns) / 1e6)
                self._captured_ns = None
        elif self.hint:
            painter.setPen(QColor("#9aa4b2"))
            painter.drawText(
                self.rect().adjusted(24, 24, -24, -24),
                Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap,
                self.hint,
            )


class ColourBar(QWidget):
    """What the colours mean."""

    def __init__(self):
        super().__init__()
        self.setFixedHeight(44)
        self.shown = ("uncertainty", False, 0)

    def show_mode(self, mode: str, calibrated: bool, top_mm: int) -> None:
        if (mode, calibrated, top_mm) != self.shown:
            self.shown = (mode, calibrated, top_mm)
            self.update()

    def paintEvent(self, event) -> None:
        painter = QPainter(self)
        painter.setPen(QColor("#c8ced8"))
        bar = self.rect().adjusted(10, 4, -10, -26)
        below = self.rect().adjusted(10, 20, -10, 0)
        mode, calibrated, top = self.shown
        if mode == "body part":
            width = bar.width() / len(BODY_PARTS)
            for i, name in enumerate(BODY_PARTS):
                box = QRectF(bar.left() + i * width, bar.top(), width - 2, bar.height())
                painter.fillRect(box, QColor(*map(int, PART_COLOURS[i])))
                painter.drawText(
                    QRectF(box.left(), below.top(), width, below.height()),
                    Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop,
                    name,
                )
        elif mode in ("uncertainty", "depth"):
            gradient = QLinearGradient(bar.left(), 0, bar.right(), 0)
            for stop in np.linspace(0, 1, 9):
                gradient.setColorAt(float(stop), QColor(*map(int, COLOUR_MAP[int(stop * 255)])))
            painter.fillRect(bar, gradient)
            if mode == "depth":
                ends = ("far", "", "near")
            else:
                ends = (
                    "0 mm",
                    "expected error" if calibrated else "spread, standard deviation",
                    f"≥ {top} mm" if top else "",
                )
            for text, side in zip(
                ends,
                (Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignRight),
                strict=True,
            ):
                painter.drawText(below, side | Qt.AlignmentFlag.AlignTop, text)
