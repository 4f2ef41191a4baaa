"""An export of a session in a thread of its own."""

from __future__ import annotations

import threading
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from lvd_live.errors import UserError
from lvd_live.export import export


class Exporter(QObject):
    """Writes one take after another to other formats.

    progressed : a sentence about the export that runs.
    ended : a sentence of what became of it.
    """

    progressed = Signal(str)
    ended = Signal(str)

    def start(self, source: Path, target: Path, name: str) -> None:
        """Export the session in folder `source` to `target`; name : of the format in `FORMATS`."""
        threading.Thread(target=self._run, args=(source, target, name), name="export", daemon=True).start()

    def _run(self, source: Path, target: Path, name: str) -> None:
        try:
            done = export(source, target, format=name, progress=self._progress)
            text = " ".join((f"Exported {done.frames} frames to {done.path}.", *done.notes))
        except UserError as error:
            text = str(error)
        except Exception as error:  # a thread's mistake must be seen, too
            text = f"The export failed: {type(error).__name__}: {error}"
        self.ended.emit(text)

    def _progress(self, frame: int, total: int) -> None:
        self.progressed.emit(f"Exporting: frame {frame + 1} of {total}")
