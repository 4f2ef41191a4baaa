"""The main window: its commands, and the tracking that it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, QSettings, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QMainWindow, QToolBar

from lvd_live.errors import UserError
from lvd_live.gui.about import show_about
from lvd_live.gui.canvas import resize_on_screen
from lvd_live.gui.commands import COMMANDS, MOUSE, add_commands, show_keys
from lvd_live.gui.completing import CompletionBar
from lvd_live.gui.figures import Figures
from lvd_live.gui.height import Attendance
from lvd_live.gui.inputs import Input, ask_for_camera, ask_for_images, ask_for_video
from lvd_live.gui.language import tr, use_language
from lvd_live.gui.live_tracking import LiveTracking
from lvd_live.gui.opening import Opening
from lvd_live.gui.page import Page
from lvd_live.gui.record_control import RecordControl
from lvd_live.gui.remotes import Remotes
from lvd_live.gui.sending import Sending
from lvd_live.gui.shading import View
from lvd_live.gui.snapshot import write_snapshot
from lvd_live.paths import DEMO, RECORDINGS
from lvd_live.pipeline.live import Result
from lvd_live.tracking.options import TrackerOptions

if TYPE_CHECKING:
    from lvd_live.gui.browser import Browser
    from lvd_live.person.types import PersonFinder
    from lvd_live.pipeline.observer import Observer
    from lvd_live.tracking.tracker import Tracker

TICK_MS, SLOW_TICKS = 100, 3  # a plot is drawn in every tick; texts change in every third


class MainWindow(QMainWindow):
    """LVD Live's window.

    make_finder, make_tracker : called in the pipeline's threads.
    options : of the tracker, where they are not chosen in the window.
    on_fit : see `Observer`.
    settings : where choices are remembered.
    recordings : the folder for sessions, snapshots and processed videos.

    make_file_finder : for videos that are processed, which wait; make_finder until another is set.
    record_soon : the name of a session to be recorded as soon as there are fits, or None.
    """

    def __init__(
        self,
        make_finder: Callable[[], PersonFinder],
        make_tracker: Callable[[TrackerOptions], Tracker],
        *,
        options: TrackerOptions | None = None,
        on_fit: Sequence[Observer] = (),
        settings: QSettings | None = None,
        recordings: Path | None = None,
    ):
        super().__init__()
        self.setWindowTitle("LVD Live")
        resize_on_screen(self, 1280, 760)
        self.setAcceptDrops(True)
        self.settings = settings or QSettings("LVD Live", "LVD Live")
        use_language(str(self.settings.value("language") or QLocale.system().name()[:2]))
        self.recordings = recordings or RECORDINGS
        self.make_file_finder = make_finder
        self.record_soon: str | None = None
        self.browser: Browser | None = None  # once it was asked for
        self.page, self.opening = Page(), Opening(self, self)
        self.tracking = LiveTracking(
            make_finder,
            make_tracker,
            options=options or TrackerOptions(),
            choose=self.page.controls.applied_to,
            on_fit=on_fit,
            parent=self,
        )
        self.actions_by_name = add_commands(self, self._slots())  # before the page: first in the order of Tab
        record = self.actions_by_name["record"]
        self.record_control = RecordControl(self.page, self.tracking, record, self.recordings, self)
        self.remotes = Remotes(self.page, self.tracking, record, self.say, self)
        self.sending = Sending(self.page.controls, self.tracking, self.say, self)
        self.setCentralWidget(self.page)
        self.page.picture.setFocus()  # not a button: the space bar is to pause
        self.figures = Figures(self.page, self.tracking, self.say)
        self.status = self.figures.status
        self.statusBar().addWidget(self.status, 1)
        for widget in (CompletionBar(self.tracking.completer), self.record_control.label):
            self.statusBar().addPermanentWidget(widget)  # no message hides it
        self._ticks, self._attendance, self._before_clean = 0, Attendance(), self.windowState()
        self._connect()
        self._restore()
        self._clock = QTimer(self)
        self._clock.setInterval(TICK_MS)
        self._clock.timeout.connect(self._tick)
        self._clock.start()

    def _restore(self) -> None:
        """As the last run left it."""
        self.page.controls.restore(self.settings)
        if (geometry := self.settings.value("geometry")) is not None:
            self.restoreGeometry(geometry)
        self.actions_by_name["details"].setChecked(self.settings.value("details") in (True, "true"))
        self.page.show_details(self.actions_by_name["details"].isChecked())

    def _slots(self) -> dict[str, Callable[..., object]]:
        """What the commands do, by name."""
        controls, opening = self.page.controls, self.opening
        return {
            "camera": partial(opening.choose_input, ask_for_camera),
            "video": partial(opening.choose_input, ask_for_video),
            "images": partial(opening.choose_input, ask_for_images),
            "demo": lambda: self.open(Input("video", str(DEMO))),
            "pause": self.tracking.pause,
            "step": self._step,
            "reset": self._reset,
            "mirror": controls.mirror.toggle,
            "colours": controls.next_colours,
            "record": lambda on: self.record_control.toggle(on),
            "snapshot": lambda: self.snapshot(),
            "open": opening.choose_file,
            "process": opening.choose_video_to_process,
            "result": opening.choose_result,
            "recordings": self._browse,
            "details": self.page.show_details,
            "about": lambda: show_about(self),
            "space": controls.space.toggle,
            "plots": controls.plots.toggle,
            "keep_in_view": controls.keep_in_view.toggle,
            "front": self.page.space.look_from_front,
            "fullscreen": lambda: self.setWindowState(self.windowState() ^ Qt.WindowState.WindowFullScreen),
            "help": lambda: show_keys(self, [*((c.key, c.about) for c in COMMANDS if c.key), MOUSE]),
            "clean": lambda: self.show_clean(not self.page.clean),
            "dismiss": self._dismiss,
            "quit": self.close,
        }

    def _connect(self) -> None:
        controls, tracking = self.page.controls, self.tracking
        controls.look_changed.connect(self._use_look)
        controls.options_changed.connect(tracking.use_options)
        controls.preset_changed.connect(tracking.use_preset)
        tracking.drawn.connect(self._show)
        self.record_control.refused.connect(self.say)
        self.page.picture.card.opened.connect(self.show_take)
        welcome = self.page.picture.welcome
        welcome.recordings, welcome.last = self.recordings, str(self.settings.value("camera") or "")
        welcome.chosen.connect(self.open)
        welcome.opened.connect(self.show_take)
        welcome.asked.connect(lambda name: self.actions_by_name[name].trigger())

    # -- the input

    def open(self, chosen: Input) -> None:
        """Track from `chosen`, instead of what was tracked before."""
        self.page.clear(tr("Opening {} …").format(chosen.title))
        self.figures.forget()
        self._attendance.forget()
        if self.tracking.pipeline is not None:
            self.page.controls.height_field.doubt("the last input")
        self.actions_by_name["pause"].setChecked(False)
        if chosen.listed:
            self.settings.setValue("camera", chosen.listed)
            self.page.controls.fov.use_of(chosen.listed)
        self.tracking.open(chosen, self.page.controls.look)

    def _pause_for(self) -> None:
        """Leave the machine to something else, but for a recording: it would lose what happens meanwhile."""
        pause, recording = self.actions_by_name["pause"], self.actions_by_name["record"].isChecked()
        if self.tracking.pipeline is not None and not pause.isChecked() and not recording:
            pause.trigger()

    def process(self, video: Path) -> None:
        """Track every frame of a video, with a bar, and show the result; what is tracked live pauses meanwhile."""
        from lvd_live.gui.job import process_video

        self._pause_for()
        process_video(self, video, self.make_file_finder, self.tracking.make_chosen_tracker(), self.recordings)

    def _browse(self) -> None:
        from lvd_live.gui.browser import Browser

        if self.browser is None:
            self.browser = Browser(self.recordings, self, completer=self.tracking.completer)
        self.browser.refresh()
        self.browser.show()
        self.browser.raise_()

    def show_take(self, path: Path) -> None:
        """Show a session or a sequence in a window of its own."""
        from lvd_live.gui.review import review

        review(self, path)

    def show_scan(self, path: Path) -> None:
        """Register a scan in a window of its own; what is tracked live pauses meanwhile."""
        from lvd_live.gui.scan_window import ScanWindow

        self._pause_for()
        ScanWindow(path, self).show()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().urls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what is dropped, see `Opening.open_file`, or the address of a stream."""
        self.opening.open_dropped(event.mimeData().urls(), self.say)

    # -- commands

    def _step(self) -> None:
        if self.tracking.pipeline is not None:
            self.actions_by_name["pause"].setChecked(True)
            self.tracking.pipeline.step()

    def show_clean(self, on: bool) -> None:
        """The picture alone, full screen, or the window as before."""
        self.page.show_clean(on)
        for bar in (self.statusBar(), *self.findChildren(QToolBar)):
            bar.setVisible(not on)
        self._before_clean = self.windowState() if on else self._before_clean
        self.setWindowState(self._before_clean | Qt.WindowState.WindowFullScreen if on else self._before_clean)

    def _dismiss(self) -> None:
        if self.page.picture.card.isVisible() or not self.page.clean:
            self.page.picture.card.hide()
        else:
            self.show_clean(False)

    def _reset(self) -> None:
        self.tracking.reset()
        self._attendance.forget()
        self.page.controls.doubt_person()
        self.page.space.forget()

    def snapshot(self, folder: Path | None = None) -> Path | None:
        """Write what is seen; the PNG's path, None where there is nothing to write or it cannot be written."""
        try:
            if self.page.view is None:
                raise UserError(tr("There is no picture to keep yet."))
            png = write_snapshot(self.page.view, folder or self.recordings / "snapshots")
        except UserError as error:
            self.say(str(error))
            return None
        self.say(tr("Snapshot: {}").format(png))
        return png

    # -- what is shown

    def say(self, text: str, seconds: float = 8.0) -> None:
        """A sentence in the status bar."""
        self.statusBar().showMessage(text, int(1000 * seconds))

    def refresh(self) -> None:
        """Bring status, trouble and figures up to date."""
        self.tracking.look_after(self.page.controls.measure.isChecked())
        self.figures.refresh()
        self.sending.refresh()
        if self.record_soon is not None and self.page.view is not None:
            self.record_control.start(self.record_soon)
            self.record_soon = None

    def _show(self, view: View[Result]) -> None:
        if self._attendance(view.of.fit is not None, view.of.frame.timestamp_ns):
            self.page.controls.doubt_person()
        self.page.show_view(view, space_now=self.tracking.pipeline is not None and self.tracking.pipeline.paused)

    def _use_look(self) -> None:
        self.tracking.use_look(self.page.controls.look)
        self.figures.name_colours()

    def _tick(self) -> None:
        """Until there is a mesh, the bare picture is shown."""
        pipeline = self.tracking.pipeline
        self._ticks += 1
        if pipeline is not None and self.page.view is None and pipeline.newest is not None:
            self.page.show_bare(pipeline.newest.picture)
        if self._ticks % SLOW_TICKS == 0:
            self.refresh()
        if pipeline is not None and self.page.plots.isVisible():
            self.page.plots.redraw()

    def closeEvent(self, event: QCloseEvent) -> None:
        self.page.controls.save(self.settings)
        self.settings.setValue("geometry", self.saveGeometry())
        self.settings.setValue("details", self.page.details)
        self._clock.stop()
        self.remotes.close()
        self.sending.close()
        self.tracking.close()
        super().closeEvent(event)
