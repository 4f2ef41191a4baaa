"""Starting the window."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

STYLE = """
QWidget { background: #1f2329; color: #d8dee9; font-size: 10pt; }
QToolBar { border: 0; spacing: 4px; padding: 4px; }
QToolButton { padding: 4px 9px; border-radius: 4px; }
QToolButton:hover, QToolButton:checked { background: #3b4252; }
QToolButton:checked { color: #bf616a; }
QComboBox, QDoubleSpinBox, QLineEdit { background: #2b303a; border: 1px solid #3b4252; border-radius: 4px; padding: 2px 6px; }
QLabel#banner { background: #8f5f2a; color: #fff; padding: 6px; border-radius: 4px; }
QScrollArea { border: 0; }
QSplitter::handle { background: #2b303a; }
"""


def has_display() -> bool:
    """Whether a window can be shown: Qt would end the process where it cannot."""
    if os.environ.get("QT_QPA_PLATFORM") or sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def application():
    """The QApplication, dark."""
    for name in ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"):  # OpenCV sets them for its own Qt
        os.environ.pop(name, None)
    import pyqtgraph as pg
    from PySide6.QtWidgets import QApplication

    app = QApplication.instance() or QApplication([])
    app.setStyleSheet(STYLE)
    pg.setConfigOptions(background="#1a1d22", foreground="#9aa4b2", antialias=True)
    return app


def run(chosen, make_finder: Callable, make_tracker: Callable) -> int:
    """Show the window, tracking from `chosen` (a `window.Input`, or None), until it is closed."""
    app = application()
    from gui.window import MainWindow

    window = MainWindow(make_finder, make_tracker)
    window.show()
    if chosen is not None:
        window.open(chosen)
    return app.exec()
