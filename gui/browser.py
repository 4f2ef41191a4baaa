"""The recordings: listed with thumbnail, length and drops; opened, renamed, exported, put into the trash."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QIcon, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QInputDialog,
    QLabel,
    QMessageBox,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from lvd_live.errors import UserError
from lvd_live.export import FORMATS, export
from lvd_live.gui.job import time_text
from lvd_live.gui.review import review
from lvd_live.session import library

COLUMNS = ("", "name", "recorded", "length", "frames", "dropped", "state")
THUMBNAIL = QSize(112, 84)


class Browser(QDialog):
    """The sessions in `root`, the newest first. show_take(parent, path): opens a session or a sequence."""

    exporting = Signal(str, bool)  # how it goes, whether it is over

    def __init__(self, root: Path, parent: QWidget | None = None, show_take: Callable = review):
        super().__init__(parent)
        self.setWindowTitle("Recordings")
        self.resize(900, 560)
        self.root, self._show_take = Path(root), show_take
        self.sessions: list[library.SessionInfo] = []
        self.table = QTableWidget(0, len(COLUMNS), showGrid=False, iconSize=THUMBNAIL)
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(THUMBNAIL.height() + 6)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.hint = QLabel(wordWrap=True)
        row = QHBoxLayout()
        self.buttons: dict[str, QPushButton] = {}
        for name, text, act in (
            ("open", "Open", self.open_chosen),
            ("rename", "Rename …", self.rename_chosen),
            ("trash", "Move to trash", self.trash_chosen),
            ("export", "Export …", self.export_chosen),
            ("file", "Open a result …", self.open_file),
        ):
            self.buttons[name] = QPushButton(text, autoDefault=False)
            self.buttons[name].clicked.connect(lambda checked=False, act=act: act())
            row.addWidget(self.buttons[name])
        row.insertStretch(4)
        self.exporting.connect(self._tell)
        self._busy = False
        layout = QVBoxLayout(self)
        for widget in (self.table, self.hint):
            layout.addWidget(widget)
        layout.addLayout(row)
        self.table.itemSelectionChanged.connect(self._offer)
        self.table.cellDoubleClicked.connect(lambda *_: self.open_chosen())
        self.refresh()

    @property
    def chosen(self) -> library.SessionInfo | None:
        rows = self.table.selectionModel().selectedRows()
        return self.sessions[rows[0].row()] if rows else None

    def refresh(self) -> None:
        """Look into the folder again."""
        self.sessions = self._try(library.list_sessions, self.root) or []
        self.table.setRowCount(len(self.sessions))
        for row, info in enumerate(self.sessions):
            thumbnail = QTableWidgetItem()
            if info.thumbnail is not None:
                thumbnail.setIcon(QIcon(QPixmap(str(info.thumbnail))))
            self.table.setItem(row, 0, thumbnail)
            state = "" if info.whole else "unfinished"
            for column, text in enumerate(
                (
                    info.name,
                    f"{info.started:%Y-%m-%d %H:%M}",
                    time_text(info.seconds),
                    str(info.frames),
                    str(info.dropped),
                    state,
                ),
                1,
            ):
                self.table.setItem(row, column, QTableWidgetItem(text))
        if self.sessions:
            self.table.selectRow(0)
        self._offer()

    def open_chosen(self) -> None:
        if self.chosen is not None:
            self._show_take(self.parentWidget(), self.chosen.path)

    def open_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "A result", str(self.root), "Mesh sequences (*.npz)")
        if path:
            self._show_take(self.parentWidget(), Path(path))

    def rename_chosen(self) -> None:
        if self.chosen is None:
            return
        name, agreed = QInputDialog.getText(self, "Rename", "Another name:", text=self.chosen.name)
        if agreed and name.strip():
            self._try(library.rename, self.chosen.path, name.strip())
            self.refresh()

    def trash_chosen(self) -> None:
        if self.chosen is None:
            return
        if (
            QMessageBox.question(
                self,
                "Move to trash",
                f"Put the recording {self.chosen.name} ({time_text(self.chosen.seconds)}) into the trash?",
            )
            == QMessageBox.StandardButton.Yes
        ):
            self._try(library.move_to_trash, self.chosen.path)
            self.refresh()

    def export_chosen(self) -> None:
        """Ask for a format and a place, and write in a thread."""
        info, names = self.chosen, {kind.title: name for name, kind in FORMATS.items()}
        title, agreed = QInputDialog.getItem(self, "Export", "As:", list(names), 0, False)
        if info is None or not agreed:
            return
        kind = FORMATS[names[title]]
        proposed = self.root / (info.path.name + ("" if kind.folder else kind.suffix))
        target, _ = QFileDialog.getSaveFileName(self, title, str(proposed))
        if target:
            path = Path(target) if kind.folder or Path(target).suffix else Path(target + kind.suffix)
            self._busy = True
            self._offer()
            threading.Thread(
                target=self._export, args=(info.path, path, names[title]), name="export", daemon=True
            ).start()

    def _export(self, source: Path, target: Path, name: str) -> None:
        try:
            done = export(
                source,
                target,
                format=name,
                progress=lambda frame, total: self.exporting.emit(f"Exporting: frame {frame + 1} of {total}", False),
            )
            text = " ".join((f"Exported {done.frames} frames to {done.path}.", *done.notes))
        except UserError as error:
            text = str(error)
        except Exception as error:  # a thread's mistake must be seen, too
            text = f"The export failed: {type(error).__name__}: {error}"
        self.exporting.emit(text, True)

    def _tell(self, text: str, over: bool) -> None:
        self._busy = self._busy and not over
        self._offer()
        self.hint.setText(text)

    def _offer(self) -> None:
        for name in ("open", "rename", "trash", "export"):
            self.buttons[name].setEnabled(self.chosen is not None and not (self._busy and name != "open"))
        unfinished = self.chosen is not None and not self.chosen.whole
        about = (
            f"It is being recorded, or was broken off: python -m lvd_live recover {self.chosen.path} repairs it."
            if unfinished
            else self._measurements()
        )
        self.hint.setText(
            about
            if self.sessions
            else f"There are no recordings in {self.root} yet: press Record while somebody is tracked."
        )

    def _measurements(self) -> str:
        """Of the chosen session's person, a line."""
        found = {} if self.chosen is None else self.chosen.measurements
        return ", ".join(
            f"{name.replace('_', ' ')} {cm:.0f} cm" + (f" (±{spread:.0f})" if spread >= 0.5 else "")
            for name, (cm, spread) in found.items()
        )

    def _try(self, act: Callable, *arguments):
        """What `act` returns; None, after a message, where it cannot be done."""
        try:
            return act(*arguments)
        except UserError as error:
            QMessageBox.warning(self, "Recordings", str(error))
            return None
