"""Starting the window."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable

import numpy as np

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
    if platform := os.environ.get("QT_QPA_PLATFORM"):
        return platform.split(":")[0] not in ("offscreen", "minimal")
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def application():
    """The QApplication, dark."""
    for name in ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"):  # OpenCV sets them for its own Qt
        os.environ.pop(name, None)
    import pyqtgraph as pg
    from PySide6.QtCore import Qt
    from PySide6.QtWidgets import QApplication

    if QApplication.instance() is None:
        QApplication.setAttribute(Qt.ApplicationAttribute.AA_ShareOpenGLContexts)  # several 3D views use pyqtgraph's shaders
    app = QApplication.instance() or QApplication([])
    app.setStyleSheet(STYLE)
    pg.setConfigOptions(background="#1a1d22", foreground="#9aa4b2", antialias=True)
    return app


def run(chosen, make_finder: Callable, make_tracker: Callable, *, benchmark: float | None = None) -> int:
    """Show the window, tracking from `chosen` (a `window.Input`, or None), until it is closed. benchmark: close it after so many seconds of fits, and print what they were like."""
    app = application()
    from gui.window import MainWindow

    window = MainWindow(make_finder, make_tracker)
    window.show()
    if chosen is not None:
        window.open(chosen)
    if benchmark is not None:
        window.benchmark = _Benchmark(window, benchmark)  # the timer alone does not keep it
    return app.exec()


class _Benchmark:
    """Waits for the first mesh, then counts for `seconds`, prints, and closes the window."""

    def __init__(self, window, seconds: float):
        from PySide6.QtCore import QTimer

        self.window, self.seconds, self.began = window, seconds, None
        self.clock = QTimer(window, interval=50, timeout=self.look)
        self.clock.start()

    def look(self) -> None:
        window = self.window
        if self.began is None:
            if window.view is not None and window.view.vertices is not None:
                window.picture.latencies_ms = deque(maxlen=1_000_000)
                self.began = (time.monotonic(), window.displayed, window.pipeline.dropped)
            return
        passed = time.monotonic() - self.began[0]
        if passed < self.seconds and window.pipeline.state not in ("ended", "failed"):
            return
        self.clock.stop()
        latencies = np.array(window.picture.latencies_ms or [np.nan])
        print(f"displayed fits a second  {(window.displayed - self.began[1]) / passed:.1f}")
        print(f"latency to the screen    median {np.median(latencies):.0f} ms, 95 % {np.percentile(latencies, 95):.0f} ms")
        print(f"frames dropped           {window.pipeline.dropped - self.began[2]}")
        print("time by stage, ms        " + ", ".join(f"{name} {ms:.1f}" for name, ms in window.pipeline.statistics.stages.items()))
        window.close()
