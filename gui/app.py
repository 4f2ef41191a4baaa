"""The start of the window."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvd_live.pipeline.budget import BUDGET_MS

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from lvd_live.gui.inputs import Input
    from lvd_live.person.types import PersonFinder
    from lvd_live.pipeline.observer import Observer
    from lvd_live.tracking.options import TrackerOptions
    from lvd_live.tracking.tracker import Tracker

SWITCH_S = 0.001  # Python's switch interval: with its own 5 ms, finder and tracker wait for each other
DARK = {
    "Window": "#1f2329",
    "WindowText": "#d8dee9",
    "Base": "#2b303a",
    "AlternateBase": "#262b33",
    "Text": "#d8dee9",
    "Button": "#2b303a",
    "ButtonText": "#d8dee9",
    "ToolTipBase": "#2b303a",
    "ToolTipText": "#d8dee9",
    "BrightText": "#bf616a",
    "Highlight": "#5e81ac",
    "HighlightedText": "#ffffff",
    "Link": "#88c0d0",
    "PlaceholderText": "#7a8494",
    "Light": "#3b4252",
    "Midlight": "#343a46",
    "Mid": "#2b303a",
    "Dark": "#14161a",
    "Shadow": "#0b0c0e",
}
STYLE = """
QToolBar { border: 0; spacing: 4px; padding: 4px; }
QToolButton { padding: 4px 9px; border-radius: 4px; }
QToolButton:hover, QToolButton:focus, QToolButton:checked { background: #3b4252; }
QToolButton:checked { color: #ff8a94; }
QToolButton::menu-indicator { width: 0; }
QToolButton#qt_toolbar_ext_button { background: #5e81ac; color: #fff; font-weight: bold; padding: 0; }
QPushButton#large { font-size: 22px; padding: 18px 10px; }
QPushButton#small { font-size: 15px; padding: 5px 16px; }
QToolTip { background: #2b303a; color: #d8dee9; border: 1px solid #4c566a; }
QLabel#banner { background: #8f5f2a; color: #fff; padding: 6px; border-radius: 4px; }
QLabel#recording { background: #d3222f; color: #fff; font-weight: bold; padding: 2px 10px; border-radius: 4px; }
QLabel#doubt { color: #ebcb8b; }
QFrame#card { background: rgba(20, 22, 26, 235); border: 1px solid #4c566a; border-radius: 10px; }
QFrame#card QLabel#headline { font-size: 26px; font-weight: bold; color: #fff; }
QFrame#card QLabel#why { font-size: 18px; color: #ebcb8b; }
QFrame#card QPushButton { font-size: 18px; padding: 6px 24px; }
QScrollArea { border: 0; }
"""


def has_display() -> bool:
    """Whether a window can be shown: Qt would end the process where it cannot."""
    if platform := os.environ.get("QT_QPA_PLATFORM"):
        return platform.split(":")[0] not in ("offscreen", "minimal")
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def application() -> QApplication:
    """The QApplication, dark."""
    for name in ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"):  # OpenCV sets them for its own Qt
        os.environ.pop(name, None)
    import pyqtgraph as pg
    from PySide6.QtGui import QColor, QPalette
    from PySide6.QtWidgets import QApplication

    app = QApplication.instance()
    if not isinstance(app, QApplication):
        app = QApplication([])
    app.setStyle("Fusion")
    palette = QPalette()
    for role, colour in DARK.items():
        palette.setColor(QPalette.ColorRole[role], QColor(colour))
    for role in ("WindowText", "Text", "ButtonText"):
        palette.setColor(QPalette.ColorGroup.Disabled, QPalette.ColorRole[role], QColor("#6b7484"))
    app.setPalette(palette)
    app.setStyleSheet(STYLE)
    pg.setConfigOptions(background="#1a1d22", foreground="#9aa4b2", antialias=True)
    return app


def run(
    chosen: Input | None,
    make_finder: Callable[[], PersonFinder],
    make_tracker: Callable[[TrackerOptions], Tracker],
    *,
    options: TrackerOptions,
    given: Mapping[str, Any],
    on_fit: Sequence[Observer] = (),
    record: str | None = None,
    benchmark: float | None = None,
    budget_ms: float = BUDGET_MS,
    vmc: tuple[str, int] | None = None,
) -> int:
    """Show the window until it is closed, by Ctrl-C, too; returns the exit status.

    chosen : what to track from the start, or None.
    options, on_fit : see `MainWindow`.
    given : the options that were asked for by name, over what the window remembers.
    record : the name of a session to record from the start.
    vmc : the host and port to send the motion to from the start.
    benchmark : close the window after so many seconds of fits, and print what they were like.
    budget_ms : see `Pipeline`.
    """
    _on_signals(lambda: os._exit(130))  # nothing is begun; an exception would leave Qt's imports half done
    sys.setswitchinterval(SWITCH_S)
    app = application()
    from PySide6.QtCore import QTimer

    from lvd_live.gui.window import MainWindow

    window = MainWindow(make_finder, make_tracker, options=options, on_fit=on_fit)
    window.page.controls.choose(given)
    window.record_soon, window.tracking.budget_ms = record, budget_ms
    if vmc is not None:
        window.send_to(*vmc)
    _on_signals(lambda: QTimer.singleShot(0, window.close))  # not in the middle of a paintEvent
    window.show()
    if chosen is not None:
        window.open(chosen)
    if benchmark is None:
        return app.exec()
    from lvd_live.gui.benchmark import Benchmark

    bench = Benchmark(window, benchmark)
    return app.exec() or bench.report()


def _on_signals(act: Callable[[], object]) -> None:
    """Do this where the program is asked to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: act())
