"""An export of a take in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Signal

from lvd_live.errors import UserError
from lvd_live.export import export
from lvd_live.gui.background import PATIENCE_S
from lvd_live.gui.language import tr


class Exporter(QObject):
    """Writes one take after another to other formats.

    advanced : frames done, frames in all.
    ended : a sentence of what became of it. written : before that, the file or folder, if there is one.
    """

    advanced = Signal(int, int)
    ended = Signal(str)
    written = Signal(Path)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if (app := QCoreApplication.instance()) is not None:
            app.aboutToQuit.connect(self.close)

    def start(self, source: Path, target: Path, name: str, **options: Any) -> None:
        """Export the sequence or session at `source` to `target`.

        name : of the format in `FORMATS`. options : of `export`.
        """
        self._stop.clear()
        arguments = source, target, name, options
        self._thread = threading.Thread(target=self._run, args=arguments, name="export", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop after the frame in hand; nothing is written then."""
        self._stop.set()

    def close(self) -> None:
        """Cancel, and wait a little: nothing half written is to be left."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def _run(self, source: Path, target: Path, name: str, options: dict[str, Any]) -> None:
        try:
            done = export(source, target, format=name, progress=self._progress, **options)
            text = " ".join((tr("Exported {} frames to {}.").format(done.frames, done.path), *done.notes))
            self.written.emit(done.path)
        except UserError as error:
            text = str(error)
        except Exception as error:  # a thread's mistake must be seen, too
            text = f"The export failed: {type(error).__name__}: {error}"
        with contextlib.suppress(RuntimeError):  # the window is gone
            self.ended.emit(text)

    def _progress(self, frame: int, total: int) -> None:
        if self._stop.is_set():
            raise UserError(tr("Cancelled: nothing was written."))
        self.advanced.emit(frame + 1, total)
