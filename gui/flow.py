"""A row of widgets that goes on in a second line where it is too long for the window."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QHBoxLayout, QLayout, QLayoutItem, QWidget

GAP = 6  # pixels


class FlowLayout(QLayout):
    """Items from left to right, each as wide as it wants to be."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self.setContentsMargins(4, 0, 4, 0)

    def addItem(self, item: QLayoutItem) -> None:
        self._items.append(item)

    def count(self) -> int:
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return self._place(QRect(0, 0, width, 0), move=False)

    def sizeHint(self) -> QSize:
        sizes = [item.sizeHint() for item in self._items]
        return QSize(sum(s.width() + GAP for s in sizes), max((s.height() for s in sizes), default=0))

    def minimumSize(self) -> QSize:
        margins, sizes = self.contentsMargins(), [item.minimumSize() for item in self._items]
        widest = max((s.width() for s in sizes), default=0)
        return QSize(widest + margins.left() + margins.right(), max((s.height() for s in sizes), default=0))

    def setGeometry(self, rect: QRect) -> None:
        super().setGeometry(rect)
        self._place(rect, move=True)

    def _place(self, rect: QRect, *, move: bool) -> int:
        """Put the items into `rect`, or only say how high it must be."""
        margins = self.contentsMargins()
        inner = rect.marginsRemoved(margins)
        x, y, lines = inner.left(), inner.top(), list[list[QLayoutItem]]([[]])
        for item in self._items:
            if not item.isEmpty():
                if x > inner.left() and x + item.sizeHint().width() > inner.right() + 1:
                    x = inner.left()
                    lines.append([])
                lines[-1].append(item)
                x += item.sizeHint().width() + GAP
        for line in lines:
            x, high = inner.left(), max((item.sizeHint().height() for item in line), default=0)
            for item in line if move else ():
                size = item.sizeHint().boundedTo(QSize(inner.width(), high))
                item.setGeometry(QRect(QPoint(x, y + (high - size.height()) // 2), size))
                x += size.width() + GAP
            y += high + GAP
        return y - GAP - rect.top() + margins.bottom()


def together(*widgets: QWidget) -> QWidget:
    """Widgets that stay beside each other."""
    group = QWidget()
    layout = QHBoxLayout(group)
    layout.setContentsMargins(0, 0, 8, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return group
