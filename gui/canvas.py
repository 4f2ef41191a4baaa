"""What the picture and the 3D view have in common."""

from __future__ import annotations

import cv2
import numpy as np
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QImage, QPainter
from PySide6.QtWidgets import QSizePolicy, QWidget

VEIL = QColor(60, 62, 66, 185)


class Canvas(QWidget):
    """Paints all of itself, grows with the window, and takes the keyboard's focus by a click.

    width, height : the least, pixels.

    stale : whether what is shown is not of now: it is greyed, and the text of `show_stale` is over it.
    """

    def __init__(self, width: int, height: int):
        super().__init__()
        self.setMinimumSize(width, height)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._stale = ""

    @property
    def stale(self) -> bool:
        return bool(self._stale)

    def show_stale(self, text: str) -> None:
        """Grey what is shown, and say why; "": it is of now."""
        if text != self._stale:
            self._stale = text
            self.update()

    def draw_stale(self, painter: QPainter) -> None:
        """The grey and the text, if it is stale; to be called once all else is drawn."""
        if not self._stale:
            return
        painter.fillRect(self.rect(), VEIL)
        font = QFont(painter.font())
        font.setPixelSize(max(int(0.05 * self.height()), 16))
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(QColor("#ebcb8b"))
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        painter.drawText(self.rect().adjusted(24, 24, -24, -24), flags, self._stale)


def resize_on_screen(window: QWidget, width: int, height: int) -> None:
    """Make a window this large, pixels, or as large as its screen."""
    screen = window.screen().availableSize()
    window.resize(min(width, screen.width()), min(height, screen.height()))


def draw_picture(painter: QPainter, where: QRectF, picture: np.ndarray) -> None:
    """Draw a picture (H, W, 3) uint8 RGB, scaled to a rectangle."""
    height, width = picture.shape[:2]
    pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2BGRA)  # Qt scales these in a third of the time
    image = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGB32)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(where, image)
