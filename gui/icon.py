"""The program's icon: a figure in a frame, drawn."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPen, QPixmap

SIZES = (16, 24, 32, 48, 64, 128, 256)
_LIMBS = (  # in a square of side 1: neck to hips, arms, legs
    ((0.5, 0.33), (0.5, 0.56)),
    ((0.5, 0.36), (0.33, 0.22)),
    ((0.5, 0.36), (0.67, 0.22)),
    ((0.5, 0.56), (0.38, 0.84)),
    ((0.5, 0.56), (0.62, 0.84)),
)


def make_icon() -> QIcon:
    """In all SIZES."""
    icon = QIcon()
    for size in SIZES:
        icon.addPixmap(_draw(size))
    return icon


def _draw(size: int) -> QPixmap:
    pixmap = QPixmap(size, size)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor("#2b303a"))
    painter.drawRoundedRect(QRectF(0, 0, size, size), 0.18 * size, 0.18 * size)
    painter.setBrush(QColor("#88c0d0"))
    painter.drawEllipse(QPointF(0.5 * size, 0.21 * size), 0.085 * size, 0.085 * size)
    painter.setPen(QPen(QColor("#88c0d0"), 0.1 * size, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    for start, end in _LIMBS:
        painter.drawLine(QPointF(*start) * size, QPointF(*end) * size)
    painter.end()
    return pixmap
