"""Work in a thread of its own, that can be cancelled."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Signal
from PySide6.QtWidgets import QDialog

from lvd_live.errors import UserError

PATIENCE_S = 5.0  # for a step that cannot be broken off, where the program ends


class BackgroundTask(QObject):
    """Calls `_work` in a thread once `start` is called; a subclass defines it, and looks at `cancelled` in it.

    failure : how the sentence on a mistake of ours begins.

    ended : what `_work` returned, None where it raised; a sentence of what became of it, or "".
    """

    ended = Signal(object, str)
    failure = "The work failed"

    def __init__(self, name: str):
        super().__init__()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._stop.is_set()

    def start(self) -> None:
        """Begin, once the signals are connected; it is closed where the program ends."""
        if (app := QCoreApplication.instance()) is not None:
            app.aboutToQuit.connect(self.close)
        self._thread.start()

    def cancel(self) -> None:
        """Stop after the step in hand."""
        self._stop.set()

    def close(self) -> None:
        """Cancel, and wait a little: files are whole then, and no thread is inside a library while Python ends."""
        self.cancel()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        outcome, text = None, ""
        try:
            outcome, text = self._work()
        except UserError as error:
            text = str(error)
        except Exception as error:  # a thread's mistake must be seen, too
            text = f"{self.failure}: {type(error).__name__}: {error}"
        with contextlib.suppress(RuntimeError):  # the window is gone
            self.ended.emit(outcome, text)

    def _work(self) -> tuple[Any, str]:
        """The outcome, and a sentence about it. Raises UserError."""
        raise NotImplementedError


def is_left_alone(dialog: QDialog) -> bool:
    """Whether the window that it belongs to was closed: a dialog that stays open then keeps the program from ending."""
    parent = dialog.parentWidget()
    return parent is not None and not parent.isVisible()
