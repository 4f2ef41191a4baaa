"""What the window shows below its toolbar: banner, picture, 3D view, colour bar, plots and controls."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QSplitter, QVBoxLayout, QWidget

from lvd_live.gui.controls import Controls
from lvd_live.gui.language import tr
from lvd_live.gui.plots import Plots
from lvd_live.gui.shading import View
from lvd_live.gui.space import SpaceView
from lvd_live.gui.views import ColourBar, PictureView
from lvd_live.pipeline.live import Result

NARROW = 740  # pixels: in a window that is no wider the details take the place of 3D view and plots
SPACE_S, SPARING_SPACE_S = 1 / 15, 1 / 3  # between two drawings of the 3D view; where the machine cannot keep up


class Page(QWidget):
    """The widgets, by name.

    view : what is shown now, or None.
    displayed : results shown since `clear`.
    in_order : whether they came in the order of their frames.
    details : whether the panel of switches and the plots may be seen.
    clean : whether nothing but the picture is seen.
    started : whether something was opened; before that the first screen has the 3D view's place, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.view: View[Result] | None = None
        self.displayed, self.in_order, self.details, self.clean, self.started = 0, True, False, False, False
        self._space_at = 0.0  # when the 3D view was drawn last, seconds
        self.banner = QLabel()
        self.banner.setObjectName("banner")
        self.banner.setWordWrap(True)
        self.banner.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.banner.setVisible(False)
        self.spares_space = False  # whether the 3D view is to be drawn rarely, because the machine cannot keep up
        self.picture, self.space, self.bar = PictureView(), SpaceView(), ColourBar()
        self.bar.hide()  # it explains nothing before something is open
        self.plots, self.controls = Plots(), Controls()
        self._lay_out()
        self.controls.shown_changed.connect(self.show_parts)
        for box in (self.controls.height_m, self.controls.fov):
            box.lineEdit().returnPressed.connect(lambda: self.picture.setFocus())

    def _lay_out(self) -> None:
        self.space.setMinimumWidth(1)  # so that a window with details can be made NARROW, where it goes
        views = QSplitter(Qt.Orientation.Horizontal)
        views.addWidget(self.picture)
        views.addWidget(self.space)
        views.setStretchFactor(0, 3)
        views.setStretchFactor(1, 2)
        views.setSizes([580, 400])
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(views, 1)
        column.addWidget(self.bar)
        column.addWidget(self.plots)
        middle = QSplitter(Qt.Orientation.Horizontal)
        middle.addWidget(left)
        middle.addWidget(self.controls)
        middle.setStretchFactor(0, 1)
        middle.setSizes([980, 280])
        self._layout = layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 0)
        layout.addWidget(self.banner)
        layout.addWidget(middle, 1)
        layout.addWidget(self.controls.essentials)
        self._put_essentials_before_details()

    def _put_essentials_before_details(self) -> None:
        """In the order of Tab, though their row lies below the details."""
        controls = self.controls
        row = [
            controls.height_m,
            controls.fov,
            controls.smoothing,
            controls.countdown,
            controls.vmc,
            controls.vmc_address,
        ]
        chain = [*self.picture.welcome.buttons.values(), *row]
        for before, after in pairwise(chain):
            QWidget.setTabOrder(before, after)

    @property
    def latency_ms(self) -> float:
        """The median from the capture of a picture to its drawing, 0 where none is known."""
        latencies = self.picture.latencies_ms
        return float(np.median(latencies)) if latencies else 0.0

    def clear(self, hint: str) -> None:
        """Show nothing but the hint; what comes next is of another input."""
        self.view, self.displayed, self.in_order = None, 0, True
        self.picture.latencies_ms.clear()
        self.started = True
        self.picture.setFocus()  # the button that was pressed goes: the keys are not to come to a box of numbers
        self.show_parts()
        self.show_hint(hint)
        self.space.forget()
        self.space.show_view(None)
        self.show_stale("")

    def show_hint(self, hint: str) -> None:
        """A text instead of a picture."""
        self.picture.hint = hint
        self.picture.welcome.hide()
        self.picture.show_picture(None)

    def show_stale(self, text: str) -> None:
        """Grey picture and mesh, with this over them, because they are not of now; "": they are."""
        self.picture.show_stale(text)
        self.space.show_stale(tr("Not live") if text else "")

    def show_bare(self, picture: np.ndarray) -> None:
        """A picture (H, W, 3) uint8 RGB, as long as there is no view to show."""
        self.picture.show_picture(picture[:, ::-1] if self.controls.look.mirror else picture)

    def show_view(self, view: View[Result], space_now: bool) -> None:
        """space_now : draw the 3D view, too, even if it was drawn a moment ago."""
        again = self.view is not None and view.of is self.view.of
        if not again:
            self.in_order &= self.view is None or view.of.frame.index > self.view.of.frame.index
            self.displayed += 1
        self.view = view
        self.picture.show_picture(view.picture, None if again else view.of.captured_ns)
        now = time.monotonic()
        every = SPARING_SPACE_S if self.spares_space else SPACE_S
        if now - self._space_at >= every or space_now:
            self.space.show_view(view)
            self._space_at = now

    def show_details(self, on: bool) -> None:
        """Open or close the panel of switches, and the plots with it."""
        self.details = on
        self.show_parts()

    def show_clean(self, on: bool) -> None:
        """Nothing but the picture, without a pointer over it, or all again."""
        self.clean = on
        self.picture.setCursor(Qt.CursorShape.BlankCursor if on else Qt.CursorShape.ArrowCursor)
        self.show_parts()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if (event.size().width() <= NARROW) != (event.oldSize().width() <= NARROW):
            self.show_parts()

    def show_parts(self) -> None:
        """Show and hide what the controls say, as far as there is room."""
        all_of_it, room = not self.clean, not self.details or self.width() > NARROW
        self.space.setVisible(all_of_it and self.started and room and self.controls.space.isChecked())
        self.controls.setVisible(all_of_it and self.details)
        self.plots.setVisible(all_of_it and self.details and room and self.controls.plots.isChecked())
        self.controls.essentials.setVisible(all_of_it)
        self.bar.setVisible(all_of_it and self.started)
        margin = 6 if all_of_it else 0
        self._layout.setContentsMargins(margin, margin, margin, 0)
        self.space.keeps_person_in_view = self.controls.keep_in_view.isChecked()

    def name_colours(self, calibrated: bool) -> None:
        """Say what the colours mean; calibrated : the tracker knows the error to expect."""
        self.bar.show_mode(self.controls.look.colour, calibrated, self.view.top_mm if self.view else 0)

    def warn(self, text: str) -> None:
        """Show the text above all, or nothing where it is ""."""
        if text != self.banner.text() or bool(text) != self.banner.isVisible():
            self.banner.setText(text)
            self.banner.setVisible(bool(text))
