"""Fitting, after a recording, the frames that the tracker had no time for: in the background, one take at a time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from lvd_live.errors import UserError
from lvd_live.gui.language import tr

if TYPE_CHECKING:
    from lvd_live.person.types import PersonFinder
    from lvd_live.pipeline.completion import Completion
    from lvd_live.tracking.options import TrackerOptions
    from lvd_live.tracking.tracker import Tracker

NICE = 10  # how much other threads come first, where the system lets a thread say so
PATIENCE_S = 3.0  # for the segment in hand, where the window closes


class Completer(QObject):
    """Completes takes, in the order in which they are given, each with the options that it was recorded with.

    make_finder, make_tracker : called in a thread. options : of the tracker, where the take states none: body, device.

    path : the folder of the take in hand, or None.

    progressed : the folder, frames done and frames in all. ended : the folder, and a sentence of what became of it.
    """

    progressed = Signal(Path, int, int)
    ended = Signal(Path, str)

    def __init__(
        self,
        make_finder: Callable[[], PersonFinder],
        make_tracker: Callable[[TrackerOptions], Tracker],
        options: TrackerOptions,
        parent: QObject | None = None,
    ):
        super().__init__(parent)
        self._make_finder, self._make_tracker, self._options = make_finder, make_tracker, options
        self.path: Path | None = None
        self._waiting: list[Path] = []
        self._stop, self._go = threading.Event(), threading.Event()
        self._go.set()
        self._closed = False
        self._lock = threading.Lock()  # guards path and _waiting
        self._thread: threading.Thread | None = None

    def start(self, path: Path) -> None:
        """Complete the session in folder `path`, once those before it are done."""
        with self._lock:
            if self._closed or path == self.path or path in self._waiting:
                return
            self._waiting.append(path)
            if self.path is None:
                self._stop.clear()
                self._next()
                self._thread = threading.Thread(target=self._run, name="completer", daemon=True)
                self._thread.start()

    def hold(self, on: bool) -> None:
        """Let the machine to a recording, or go on."""
        (self._go.clear if on else self._go.set)()

    def cancel(self) -> None:
        """Stop after the frame in hand; what is not fitted still waits."""
        with self._lock:
            self._waiting.clear()
        self._stop.set()

    def close(self) -> None:
        """Cancel, and wait a little for the files to be whole; nothing is started any more."""
        self._closed = True
        self.cancel()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def _next(self) -> None:
        self.path = self._waiting.pop(0) if self._waiting else None

    def _run(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # Linux alone gives threads priorities of their own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while (path := self.path) is not None:
            try:
                text = _sentence(self._complete(path))
            except UserError as error:
                text = str(error)
            except Exception as error:  # a thread's mistake must be seen, too
                text = f"The frames could not be fitted: {type(error).__name__}: {error}"
            with self._lock:
                self._next()
                self._stop.clear()
            with contextlib.suppress(RuntimeError):  # the window is gone
                self.ended.emit(path, text)

    def _complete(self, path: Path) -> Completion:
        from lvd_live.person.types import look_for_hands
        from lvd_live.pipeline.completion import complete
        from lvd_live.pipeline.replay import recorded_options
        from lvd_live.session.reader import open_session
        from lvd_live.threads import limit_threads, network_threads

        limit_threads(network_threads())
        recorded, own = recorded_options(open_session(path)), self._options
        options = replace(recorded, weights=own.weights, body=own.body, device=own.device, engine=own.engine)
        finder, tracker = self._make_finder(), self._make_tracker(options)
        look_for_hands(finder, options.hands)

        def report(done: int, total: int) -> None:
            with contextlib.suppress(RuntimeError):
                self.progressed.emit(path, done, total)

        return complete(path, finder, tracker, progress=report, stop=self._stop, go=self._go)


def _sentence(done: Completion) -> str:
    if done.left:
        return tr("{} frames fitted; {} still wait: Recordings goes on with them.").format(done.filled, done.left)
    return tr("{} frames fitted; the take has all of the camera's frames.").format(done.filled)


class CompletionBar(QWidget):
    """How far the completer is, and a button that stops it; hidden while nothing is to be done."""

    def __init__(self, completer: Completer):
        super().__init__()
        self.label, self.bar, self.stop_button = QLabel(), QProgressBar(), QPushButton(tr("Stop"))
        self.bar.setFixedWidth(120)
        self.bar.setTextVisible(False)
        self.stop_button.setToolTip(tr("Stop fitting the take's other frames; Recordings can go on with them later."))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.label, self.bar, self.stop_button):
            layout.addWidget(widget)
        self.hide()
        completer.progressed.connect(self._show)
        completer.ended.connect(lambda *_: self.hide())
        self.stop_button.clicked.connect(lambda *_: completer.cancel())

    def _show(self, path: Path, done: int, total: int) -> None:
        self.label.setText(tr("Fitting frame {} of {}").format(done, total))
        self.label.setToolTip(tr("Frames of {} that there was no time for while it was recorded.").format(path.name))
        self.bar.setMaximum(total)
        self.bar.setValue(done)
        self.show()
