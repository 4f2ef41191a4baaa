"""What the picture and the 3D view have in common."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QSizePolicy, QWidget


class Canvas(QWidget):
    """Paints all of itself, grows with the window, and takes the keyboard's focus by a click.

    width, height : the least, pixels.
    """

    def __init__(self, width: int, height: int):
        super().__init__()
        self.setMinimumSize(width, height)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)


def draw_picture(painter: QPainter, where: QRectF, picture: np.ndarray) -> None:
    """Draw a picture (H, W, 3) uint8 RGB, contiguous, scaled to a rectangle."""
    height, width = picture.shape[:2]
    image = QImage(picture.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(where, image)
