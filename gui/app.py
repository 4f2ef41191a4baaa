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


def has_display() -> bool:
    """Whether a window can be shown: Qt would end the process where it cannot."""
    if platform := os.environ.get("QT_QPA_PLATFORM"):
        return platform.split(":")[0] not in ("offscreen", "minimal")
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def application() -> QApplication:
    """The QApplication, dark at first."""
    for name in ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"):  # OpenCV sets them for its own Qt
        os.environ.pop(name, None)
    import pyqtgraph as pg
    from PySide6.QtWidgets import QApplication

    from lvd_live.gui.icon import make_icon
    from lvd_live.gui.themes import use_theme

    app = QApplication.instance()
    if not isinstance(app, QApplication):
        app = QApplication([])
    app.setStyle("Fusion")
    app.setWindowIcon(make_icon())
    use_theme(app, "dark")
    pg.setConfigOptions(background="#1a1d22", foreground="#9aa4b2", antialias=True)
    return app


def run(
    chosen: Input | None,
    make_finder: Callable[[], PersonFinder],
    make_tracker: Callable[[TrackerOptions], Tracker],
    *,
    make_file_finder: Callable[[], PersonFinder] | None = None,
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
    make_file_finder, options, on_fit : see `MainWindow`.
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
    window.make_file_finder = make_file_finder or make_finder
    window.page.controls.choose(given)
    window.record_soon, window.tracking.budget_ms = record, budget_ms
    if vmc is not None:
        window.sending.send_to(*vmc)
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
