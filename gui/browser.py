"""The recordings: listed with thumbnail, length and drops; opened, renamed, exported, put into the trash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QSize
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
from lvd_live.gui.commands import add_shortcuts, show_keys
from lvd_live.gui.completing import Completer
from lvd_live.gui.export_dialog import ExportDialog
from lvd_live.gui.language import tr
from lvd_live.gui.review import reopen_reviews, review
from lvd_live.gui.status import DROPPED, time_text
from lvd_live.session import library

COLUMNS = ("", "name", "recorded", "length", "frames", "dropped", "state")
THUMBNAIL = QSize(112, 84)
COMPLETE = "Fit the frames that there was no time for while it was recorded."
KEYS = (("Enter", "open the recording"), ("Esc", "close"), ("F1", "this sheet"))

R = TypeVar("R")


class Browser(QDialog):
    """The sessions in `root`, the newest first.

    show_take : called with the parent and a path, opens a session or a sequence. completer : fits what is not fitted.
    """

    def __init__(
        self,
        root: Path,
        parent: QWidget | None = None,
        show_take: Callable[[QWidget | None, Path], object] = review,
        completer: Completer | None = None,
    ):
        super().__init__(parent)
        self.setWindowTitle(tr("Recordings"))
        self.resize(900, 560)
        self.root, self._show_take, self._completer = Path(root), show_take, completer
        if completer is not None:
            completer.progressed.connect(self._show_completing)
            completer.ended.connect(self._end_completing)
        self.sessions: list[library.SessionInfo] = []
        self.table, self.hint = _make_table(), QLabel()
        self.hint.setWordWrap(True)
        self.buttons = {
            "open": self._button("Open", "Look at the take (Enter)", self.open_chosen),
            "rename": self._button(
                "Rename …", "Call the take something else; its folder's name changes", self.rename_chosen
            ),
            "trash": self._button("Move to trash", "Put the take into the system's trash", self.trash_chosen),
            "export": self._button("Export …", "Write all of the take for other programs", self.export_chosen),
            "complete": self._button("Fit the rest", COMPLETE, self.complete_chosen),
            "file": self._button("Open a result …", "Look at a mesh sequence in a file", self.open_file),
        }
        self.buttons["open"].setDefault(True)  # pressed by Enter in the list
        row = QHBoxLayout()
        for button in self.buttons.values():
            row.addWidget(button)
        row.insertStretch(5)
        layout = QVBoxLayout(self)
        layout.addWidget(self.table)
        layout.addWidget(self.hint)
        layout.addLayout(row)
        self.table.itemSelectionChanged.connect(self._offer)
        self.table.cellDoubleClicked.connect(lambda *_: self.open_chosen())
        add_shortcuts(self, {"F1": lambda: show_keys(self, KEYS)})
        self.refresh()

    @staticmethod
    def _button(text: str, tip: str, act: Callable[[], None]) -> QPushButton:
        button = QPushButton(tr(text))
        button.setToolTip(tr(tip))
        button.clicked.connect(lambda *_: act())
        return button

    @property
    def chosen(self) -> library.SessionInfo | None:
        """The session selected in the list."""
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
            for column, text in enumerate(_cells(info), 1):
                self.table.setItem(row, column, QTableWidgetItem(text))
        if self.sessions:
            self.table.selectRow(0)
        self._offer()

    def open_chosen(self) -> None:
        """Show the session chosen."""
        if self.chosen is not None:
            self._show_take(self.parentWidget(), self.chosen.path)

    def open_file(self) -> None:
        """Ask for a sequence's file, and show it."""
        path, _ = QFileDialog.getOpenFileName(self, tr("A result"), str(self.root), f"{tr('Mesh sequences')} (*.npz)")
        if path:
            self._show_take(self.parentWidget(), Path(path))

    def rename_chosen(self) -> None:
        """Ask for another name for the session chosen."""
        if self.chosen is None:
            return
        name, agreed = QInputDialog.getText(self, tr("Rename"), tr("Another name:"), text=self.chosen.name)
        if agreed and name.strip():
            before = self.chosen.path
            if (after := self._try(library.rename, before, name.strip())) is not None:
                reopen_reviews(before, after)
            self.refresh()

    def trash_chosen(self) -> None:
        """Put the session chosen into the trash, once that is confirmed."""
        if (info := self.chosen) is None:
            return
        question = tr("Put the recording {} ({} min) into the trash?").format(info.name, time_text(info.seconds))
        if QMessageBox.question(self, tr("Move to trash"), question) == QMessageBox.StandardButton.Yes:
            self._try(library.move_to_trash, info.path)
            self.refresh()

    def export_chosen(self) -> None:
        """Ask for format and place, and write the session chosen."""
        if self.chosen is not None:
            ExportDialog(self.chosen.path, self.root, None, self).show()

    def complete_chosen(self) -> None:
        """Fit the frames of the session chosen that wait for it, in the background."""
        if self.chosen is not None and self._completer is not None:
            self._completer.start(self.chosen.path)
            self._offer()

    def _show_completing(self, path: Path, done: int, total: int) -> None:
        if self.chosen is not None and self.chosen.path == path:
            self.hint.setText(tr("Fitting frame {} of {} that there was no time for.").format(done, total))

    def _end_completing(self, path: Path, text: str) -> None:
        if self.isVisible():
            row = self.table.currentRow()
            self.refresh()
            self.table.selectRow(row)
        self.hint.setText(text)

    def _offer(self) -> None:
        """Enable what can be done with the session chosen, and say what is known of it."""
        info = self.chosen
        for name in ("open", "rename", "trash", "export"):
            self.buttons[name].setEnabled(info is not None)
        in_hand = info is not None and self._completer is not None and self._completer.path == info.path
        for name in ("rename", "trash"):  # while its files are being written
            self.buttons[name].setEnabled(self.buttons[name].isEnabled() and not in_hand)
        waits = info is not None and info.whole and info.unfitted > 0 and self._completer is not None
        self.buttons["complete"].setEnabled(waits and not in_hand)
        if not self.sessions:
            about = tr("There are no recordings in {} yet: press Record while somebody is tracked.").format(self.root)
        elif info is None:
            about = ""
        elif not info.whole:
            said = tr("It is being recorded, or was broken off: {} repairs it.")
            about = said.format(f"python -m lvd_live recover {info.path}")
        else:
            about = _measurements(info)
        self.hint.setText(about)

    def _try(self, act: Callable[..., R], *arguments: object) -> R | None:
        """What `act` returns; None, after a message, where it cannot be done."""
        try:
            return act(*arguments)
        except UserError as error:
            QMessageBox.warning(self, tr("Recordings"), str(error))
            return None


def _make_table() -> QTableWidget:
    table = QTableWidget(0, len(COLUMNS))
    table.setToolTip(tr("The takes, the newest first; a double click opens one"))
    table.setAccessibleName(tr("Recordings"))
    table.setShowGrid(False)
    table.setIconSize(THUMBNAIL)
    table.setHorizontalHeaderLabels([tr(name) for name in COLUMNS])
    if (dropped := table.horizontalHeaderItem(COLUMNS.index("dropped"))) is not None:
        dropped.setToolTip(tr(DROPPED))
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(THUMBNAIL.height() + 6)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
    return table


def _cells(info: library.SessionInfo) -> tuple[str, ...]:
    """A session's row, but for the thumbnail."""
    started, state = f"{info.started:%Y-%m-%d %H:%M}", tr("{} to fit").format(info.unfitted) if info.unfitted else ""
    state = state if info.whole else tr("unfinished")
    return info.name, started, time_text(info.seconds), str(info.frames), str(info.lost), state


def _measurements(info: library.SessionInfo) -> str:
    """A line about the session's person."""
    return ", ".join(
        f"{tr(name.replace('_', ' '))} {cm:.0f} cm" + (f" (±{error:.0f})" if error >= 0.5 else "")
        for name, (cm, error) in info.measurements.items()
    )
