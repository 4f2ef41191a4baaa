"""A scan and the body or hand in it: registered here, shown beside each other in space, and saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QProgressBar,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from lvd_live.errors import UserError
from lvd_live.gui.canvas import resize_on_screen
from lvd_live.gui.choices import combo_box
from lvd_live.gui.commands import add_shortcuts, show_keys
from lvd_live.gui.language import tr
from lvd_live.gui.points import PointsView, seen_alike
from lvd_live.gui.scan_job import FOUND, KINDS, UNITS, UPS, Found, ScanJob, Told
from lvd_live.gui.shading import Mesh, scaled
from lvd_live.gui.space import SpaceView
from lvd_live.gui.views import ColourBar

TOPS_MM = (5, 10, 20, 50)  # where the distance's colours may end
GUESSED_MM, HAND_GUESSED_MM, GREY = 50.0, 15.0, 140  # from where on the scan does not show a part; its colour
KEYS = (
    ("Ctrl+S", "save the fit"),
    ("Home", "from the front"),
    ("Esc", "stop; close once nothing runs"),
    ("F1", "this sheet"),
    ("3D view", "drag: turn · right drag: move · wheel: zoom"),
)


class ScanWindow(QMainWindow):
    """Registers the scan at `path`, and again where something else is said of it.

    register : as `lvd_live.register`; None: that. found : what is shown, or None. job : the last one.
    """

    def __init__(self, path: Path, parent: QWidget | None = None, register: Callable[..., Any] | None = None):
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("{} – scan").format(path.name))
        resize_on_screen(self, 1180, 760)
        self.path, self._register = Path(path), register
        self.found: Found | None = None
        self.scan, self.fit, self.bar = PointsView(), SpaceView(), ColourBar()
        self.progress, self.said, self.banner = QProgressBar(), QLabel(), QLabel()
        self.kind = combo_box({kind: kind for kind in KINDS})
        self.unit, self.up = (
            combo_box({None: tr(FOUND)} | {name: name for name in names}, ready=True) for names in (UNITS, UPS)
        )
        self.again, self.save_button = QPushButton(tr("Register again")), QPushButton(tr("Save …"))
        self.stop_button = QPushButton(tr("Stop"))
        self._lay_out()
        self._connect()
        self.job: ScanJob | None = None
        self.start()

    def _lay_out(self) -> None:
        self.banner.setObjectName("banner")
        self.banner.hide()
        self.bar.hide()  # it explains nothing before there is a fit
        for label in (self.said, self.banner):
            label.setWordWrap(True)
        self.said.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.scan.setAccessibleName(tr("the scan"))
        self.fit.setAccessibleName(tr("the fit, coloured by its distance from the scan"))
        views = QSplitter(Qt.Orientation.Horizontal)
        for view, title in ((self.scan, "the scan"), (self.fit, "the fit, coloured by its distance from the scan")):
            column = QWidget()
            layout = QVBoxLayout(column)
            layout.setContentsMargins(0, 0, 0, 0)
            layout.addWidget(QLabel(tr(title)))
            layout.addWidget(view, 1)
            views.addWidget(column)
            column.setMinimumWidth(200)
        views.setSizes([500, 500])
        working = QHBoxLayout()
        working.addWidget(self.progress, 1)
        working.addWidget(self.stop_button)
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.addWidget(self.banner)
        layout.addWidget(views, 1)
        for part in (self.bar, self.said):
            layout.addWidget(part)
        layout.addLayout(working)
        layout.addLayout(self._choices())
        self.setCentralWidget(page)

    def _choices(self) -> QHBoxLayout:
        """What the user may say of the scan, and the buttons."""
        row = QHBoxLayout()
        for name, box, tip in (
            ("It shows", self.kind, "A body or a hand: found by trying both, unless you say so."),
            ("Unit", self.unit, "Of the file's lengths; found from the size of people's bones."),
            ("Up axis", self.up, "Which of the file's axes points up; found, unless you say so."),
        ):
            label = QLabel(tr(name))
            label.setBuddy(box)
            box.setToolTip(tr(tip))
            box.setAccessibleName(tr(name))
            box.setMinimumContentsLength(7)
            row.addWidget(label)
            row.addWidget(box)
        row.addWidget(self.again)
        row.addStretch(1)
        row.addWidget(self.save_button)
        self.again.setToolTip(tr("Fit anew with what is said of the scan here"))
        self.save_button.setToolTip(tr("As OBJ, PLY, GLB or NPZ, or as a picture of scan and fit from four sides"))
        self.stop_button.setToolTip(tr("Stop the fit; nothing is written"))
        return row

    def _connect(self) -> None:
        self.scan.moved.connect(lambda: self.fit.look_as(self.scan))
        self.fit.moved.connect(lambda: self.scan.look_as(self.fit))
        self.again.clicked.connect(lambda *_: self.start())
        self.save_button.clicked.connect(lambda *_: self.save())
        self.stop_button.clicked.connect(lambda *_: self.stop())
        slots = {"Ctrl+S": self.save, "Home": self.fit.look_from_front, "Esc": self._escape}
        add_shortcuts(self, slots | {"F1": lambda: show_keys(self, KEYS)})

    @property
    def running(self) -> bool:
        return self.stop_button.isEnabled()

    def start(self) -> None:
        """Register the scan with what is said of it."""
        told = Told(self.kind.currentData(), self.unit.currentData(), self.up.currentData())
        self.job = job = ScanJob(self.path, told, self._register)
        job.progressed.connect(lambda share, words: self._show_progress(job, share, words))
        job.ended.connect(lambda found, text: self._end(job, found, text))
        self._show_running(True)
        self.progress.setMaximum(0)  # the models are loaded first
        self.said.setText(tr("Loading the models …"))
        job.start()

    def stop(self) -> None:
        """Stop what runs."""
        if self.job is not None and self.running:
            self.job.cancel()
            self.said.setText(tr("Stopping …"))

    def _escape(self) -> None:
        (self.stop if self.running else self.close)()

    def _show_running(self, on: bool) -> None:
        self.progress.setVisible(on)
        self.stop_button.setVisible(on)
        self.stop_button.setEnabled(on)
        self.again.setEnabled(not on)
        self.save_button.setEnabled(not on and self.found is not None)

    def _show_progress(self, job: ScanJob, share: float, words: str) -> None:
        if job is self.job and not job.cancelled:
            self.progress.setMaximum(1000)
            self.progress.setValue(int(1000 * share))
            self.said.setText(f"{words[:1].upper()}{words[1:]} …")

    def _end(self, job: ScanJob, found: Found | None, text: str) -> None:
        if job is not self.job:
            return
        if found is not None:
            self.show_found(found)
        else:
            self.said.setText("" if self.found is None else self._summary(self.found))
            self.warn(text)
        self._show_running(False)

    def warn(self, text: str) -> None:
        """A sentence above all, or nothing where it is ""."""
        self.banner.setText(text)
        self.banner.setVisible(bool(text))

    def show_found(self, found: Found) -> None:
        """Show a registration."""
        self.found = found
        fit = found.fit
        distance_mm = 1000 * found.distance
        there = distance_mm <= (HAND_GUESSED_MM if found.hand else GUESSED_MM)
        high = float(np.percentile(distance_mm[there], 98)) if there.any() else np.inf
        top = next((top for top in TOPS_MM if top >= high), TOPS_MM[-1])
        colours = np.where(there[:, None], scaled(distance_mm, 0, top), np.uint8(GREY))
        mesh = Mesh(found.vertices, fit.faces, colours, None)
        view = seen_alike(mesh)
        for canvas in (self.scan, self.fit):
            canvas.has_floor = not found.hand
            canvas.forget()
        self.fit.show_view(view)
        self.scan.show_points(found.points, found.normals, view)
        self.scan.look_as(self.fit)
        self.bar.show_distance(top, not there.all())
        self.bar.show()
        self.said.setText(self._summary(found))
        lies = (
            "The fit does not explain the scan: too much of it lies far away. Say what it shows, its unit or its axes."
        )
        self.warn("" if fit.explained else tr(lies))

    @staticmethod
    def _summary(found: Found) -> str:
        from lvd_live.scan.output import lines

        return "\n".join(lines(found.fit))

    def save(self) -> None:
        """Ask where to, and write the fit, or the sheet of pictures."""
        if self.found is None or self.running:
            return
        kinds = {"Wavefront OBJ": ".obj", "Stanford PLY": ".ply", "glTF": ".glb", "NPZ": ".npz", "PNG": ".png"}
        filters = ";;".join(f"{name} (*{suffix})" for name, suffix in kinds.items())
        proposed = self.path.with_name(f"{self.path.stem}-fit.obj")
        text, chosen = QFileDialog.getSaveFileName(self, tr("Save the fit"), str(proposed), filters)
        if not text:
            return
        path = Path(text)
        if path.suffix.lower() not in kinds.values():
            path = path.with_name(path.name + next((s for name, s in kinds.items() if chosen.startswith(name)), ".obj"))
        try:
            write_found(self.found, path, self.path.name)
        except UserError as error:
            self.warn(str(error))
        else:
            self.statusBar().showMessage(tr("Saved: {}").format(path))

    def closeEvent(self, event: QCloseEvent) -> None:
        if self.job is not None:
            self.job.cancel()
            self.job = None  # what it still says is for nobody
        super().closeEvent(event)


def write_found(found: Found, path: Path, source: str) -> None:
    """Write a fit as `register --to` does, or, where the name ends in .png, the sheet of `register --picture`.

    Raises UserError where it cannot be written.
    """
    from lvd_live.scan.output import write_registration

    if path.suffix.lower() != ".png":
        write_registration(found.fit, path, {"scan": source})
        return
    import cv2

    from lvd_live.scan.picture import sheet
    from lvd_live.storage.files import write_whole

    _, data = cv2.imencode(".png", sheet(found.fit)[..., ::-1])
    write_whole(path, data.tobytes())
