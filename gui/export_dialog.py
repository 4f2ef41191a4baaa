"""Export from a review: the format, how it is written, where to; then its progress, and what became of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QDialog,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from lvd_live.export import FORMATS
from lvd_live.export.options import SMOOTH
from lvd_live.gui.background import is_left_alone
from lvd_live.gui.choices import check_box, combo_box
from lvd_live.gui.exporting import Exporter
from lvd_live.gui.language import tr

SMOOTHING = {0.0: "none", SMOOTH: "light (0.03 s)", 0.07: "medium (0.07 s)", 0.15: "strong (0.15 s)"}
UNITS = {"m": "metres", "cm": "centimetres"}
UPS = {"y": "y", "z": "z"}
FORMAT_FIRST = "glb"


def from_home(path: Path) -> str:
    """A path as it is typed: with ~ for the user's own folder."""
    home = Path.home()
    return f"~{os.sep}{path.relative_to(home)}" if path.is_relative_to(home) and path != home else str(path)


class ExportDialog(QDialog):
    """Exports the take at `source`, into `folder` at first.

    part : start and end, seconds from the first frame, or None: all of it.
    """

    def __init__(self, source: Path, folder: Path, part: tuple[float, float] | None, parent: QWidget | None = None):
        super().__init__(parent)
        self.setWindowTitle(tr("Export {}").format(source.stem))
        self.setMinimumWidth(520)
        self.source, self.part, self.running = source, part, False
        self._written: Path | None = None
        self._make_widgets(folder)
        self._exporter = Exporter(self)
        self._lay_out()
        self._connect()
        self._use_format()
        self.export_button.setFocus()

    def _make_widgets(self, folder: Path) -> None:
        self.format = combo_box({name: kind.title for name, kind in FORMATS.items()})
        self.rate, self.smooth = QDoubleSpinBox(), combo_box(SMOOTHING)
        self.smooth.setCurrentIndex(self.smooth.findData(SMOOTH))
        self.rate.setRange(0, 240)
        self.rate.setDecimals(2)
        self.rate.setSuffix(tr(" frames/s"))
        self.rate.setSpecialValueText(tr("the take's own"))
        self.foot_lock = check_box("hold planted feet in place", False)
        self.level = check_box("set the person upright")
        self.unit, self.up = combo_box(UNITS), combo_box(UPS)
        self.place, self.browse = QLineEdit(from_home(folder / self.source.stem)), QPushButton("…")
        self.range_label, self.bar, self.outcome = QLabel(), QProgressBar(), QLabel()
        self.bar.hide()
        self.outcome.setWordWrap(True)
        self.export_button, self.cancel_button = QPushButton(tr("Export")), QPushButton(tr("Close"))
        self.folder_button = QPushButton(tr("Open folder"))
        self.folder_button.hide()
        self.export_button.setDefault(True)
        self.format.setCurrentIndex(self.format.findData(FORMAT_FIRST))
        if self.part is None:
            self.range_label.setText(tr("all of the take"))
        else:
            self.range_label.setText(tr("{:.2f} s to {:.2f} s").format(*self.part))

    def _lay_out(self) -> None:
        where, buttons, form = QHBoxLayout(), QHBoxLayout(), QFormLayout()
        where.addWidget(self.place)
        where.addWidget(self.browse)
        for name, widget, tip in (
            ("Format", self.format, "What other programs read; GLB for Blender, Unity and most others."),
            ("Part", self.range_label, "Set by In and Out in the review."),
            ("Rate", self.rate, "Frames per second; others than the take's are interpolated."),
            ("Smoothing", self.smooth, "Takes jitter out, without delay; light: what swings faster than 6 Hz."),
            ("Feet", self.foot_lock, "Moves the whole body so that feet which stand do not slide."),
            ("Tilt", self.level, "Takes the camera's tilt out, judged by how the person stands."),
            ("Unit", self.unit, "Of lengths in the file, where the format leaves the choice."),
            ("Up axis", self.up, "Which axis points up, where the format leaves the choice."),
        ):
            widget.setToolTip(tr(tip))
            widget.setAccessibleName(tr(name))
            form.addRow(tr(name), widget)
        form.addRow(tr("Into"), where)
        self.place.setToolTip(tr("The file, or the folder for formats of one file per frame."))
        for button, about in (
            (self.browse, "Choose another place"),
            (self.export_button, "Write the file"),
            (self.cancel_button, "Stop what runs, and write nothing; close otherwise"),
            (self.folder_button, "Show where it was written"),
        ):
            button.setToolTip(tr(about))
        buttons.addWidget(self.folder_button)
        buttons.addStretch(1)
        buttons.addWidget(self.export_button)
        buttons.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.bar)
        layout.addWidget(self.outcome)
        layout.addLayout(buttons)

    def _connect(self) -> None:
        self.format.currentIndexChanged.connect(lambda *_: self._use_format())
        self.browse.clicked.connect(lambda *_: self._browse())
        self.export_button.clicked.connect(lambda *_: self.start())
        self.cancel_button.clicked.connect(lambda *_: self.reject())
        self.folder_button.clicked.connect(lambda *_: self._open_folder())
        self._exporter.advanced.connect(self._show_progress)
        self._exporter.written.connect(self._note_written)
        self._exporter.ended.connect(self._end)

    @property
    def target(self) -> Path:
        """Where it is written: what is typed, with the format's ending; never the take's own folder."""
        kind, path = FORMATS[self.format.currentData()], Path(self.place.text()).expanduser()
        if kind.folder and path.resolve() == self.source.resolve():
            return path.with_name(f"{path.name}-{self.format.currentData()}")
        suffixes = {other.suffix for other in FORMATS.values()}
        path = path.with_suffix("") if path.suffix in suffixes and path.suffix != kind.suffix else path
        return path if kind.folder or path.suffix == kind.suffix else path.with_name(path.name + kind.suffix)

    @property
    def options(self) -> dict[str, Any]:
        """The options of `export` that are chosen."""
        start, end = self.part or (None, None)
        return {
            "rate": self.rate.value() or None,
            "smooth": self.smooth.currentData(),
            "foot_lock": self.foot_lock.isChecked(),
            "level": self.level.isChecked(),
            "unit": self.unit.currentData(),
            "up": self.up.currentData(),
            "start": start,
            "end": end,
        }

    def start(self) -> None:
        """Write."""
        if 0 < self.rate.value() < 1:
            self.rate.setValue(1)
        self.running = True
        self._show_running(tr("Reading the take …"))
        self.bar.setMaximum(0)
        self._exporter.start(self.source, self.target, self.format.currentData(), **self.options)

    def reject(self) -> None:
        """Cancel what runs; close otherwise."""
        if self.running:
            self.outcome.setText(tr("Stopping …"))
            self._exporter.cancel()
        if not self.running or is_left_alone(self):
            super().reject()

    def _use_format(self) -> None:
        """Offer what the format can hold, its own default first."""
        kind = FORMATS[self.format.currentData()]
        for box, possible in ((self.unit, kind.units), (self.up, kind.ups)):
            box.setCurrentIndex(box.findData(possible[0]))
            box.setEnabled(len(possible) > 1)

    def _browse(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, tr("Export"), str(self.target))
        if path:
            self.place.setText(path)

    def _show_running(self, text: str) -> None:
        self.bar.setVisible(self.running)
        self.export_button.setEnabled(not self.running)
        self.cancel_button.setText(tr("Cancel" if self.running else "Close"))
        self.outcome.setText(text)

    def _show_progress(self, done: int, total: int) -> None:
        self.bar.setMaximum(total)
        self.bar.setValue(done)
        self.outcome.setText(tr("Frame {} of {}").format(done, total))

    def _note_written(self, path: Path) -> None:
        self._written = path
        self.folder_button.show()

    def _end(self, text: str) -> None:
        self.running = False
        self._show_running(text)

    def _open_folder(self) -> None:
        if self._written is not None:
            folder = self._written if self._written.is_dir() else self._written.parent
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
