"""The window: what is seen, what can be chosen, and a pipeline behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QSettings, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QLabel, QMainWindow, QMessageBox, QSplitter, QToolBar, QVBoxLayout, QWidget

from lvd_live.errors import UserError
from lvd_live.gui.controls import Controls
from lvd_live.gui.inputs import Input, ask_for_camera, ask_for_images, ask_for_video
from lvd_live.gui.painter import Painter
from lvd_live.gui.plots import Plots
from lvd_live.gui.recording import Recording
from lvd_live.gui.shading import View
from lvd_live.gui.snapshot import write_snapshot
from lvd_live.gui.space import SpaceView
from lvd_live.gui.status import TROUBLE, facts
from lvd_live.gui.views import ColourBar, PictureView
from lvd_live.paths import DEMO, RECORDINGS
from lvd_live.pipeline.live import Pipeline, Result
from lvd_live.pipeline.measuring import Measurer
from lvd_live.sources.images import SUFFIXES as PICTURES
from lvd_live.tracking.options import TrackerOptions

if TYPE_CHECKING:
    from lvd_live.person.types import PersonFinder
    from lvd_live.pipeline.observer import Observer
    from lvd_live.session.recorder import Recorder
    from lvd_live.tracking.tracker import Tracker

SPACE_S = 1 / 15  # between two drawings of the 3D view
TICK_MS, SLOW_TICKS = 100, 3  # a plot is drawn in every tick; texts change in every third
KEYS = (
    ("Space", "pause, go on"),
    ("N", "one frame"),
    ("R", "forget person and mesh, start anew"),
    ("M", "mirror"),
    ("C", "next colours"),
    ("V", "record, stop recording"),
    ("S", "snapshot: PNG and OBJ"),
    ("D", "3D view on, off"),
    ("P", "plots on, off"),
    ("F", "3D view follows the person"),
    ("Home", "3D view from the front"),
    ("F11", "full screen"),
    ("F1", "this sheet"),
    ("Ctrl+O", "open a video"),
    ("Ctrl+Q", "quit"),
    ("3D view", "drag: turn · right drag: move · wheel: zoom"),
)


class MainWindow(QMainWindow):
    """LVD Live's window.

    make_finder: called in the pipeline's thread. make_tracker: likewise. options: of the tracker, where they are not chosen in the window. on_fit: see `Observer`. record_soon: the name of a session to be recorded as soon as there are fits.
    """

    painted = Signal(object)

    def __init__(
        self,
        make_finder: Callable[[], PersonFinder],
        make_tracker: Callable[[TrackerOptions], Tracker],
        *,
        options: TrackerOptions | None = None,
        on_fit: Sequence[Observer] = (),
        settings: QSettings | None = None,
    ):
        super().__init__()
        self.setWindowTitle("LVD Live")
        self.resize(1280, 760)
        self.setAcceptDrops(True)
        self._make_finder, self._make_tracker = make_finder, make_tracker
        self.options, self._on_fit = options or TrackerOptions(), on_fit
        self.settings = settings or QSettings("LVD Live", "LVD Live")
        self.input: Input | None = None
        self.pipeline: Pipeline | None = None
        self.painter: Painter | None = None
        self.measurer: Measurer | None = None
        self.recording, self.record_soon = Recording(), None
        self.view: View | None = None
        self.displayed, self.in_order = 0, True
        self._space_at, self._ticks, self._dropped = 0.0, 0, (0, 0.0)
        self._told = None  # the tracker that knows what is chosen
        self._browser = None  # of the recordings, once it was asked for
        self._build()
        self.controls.restore(self.settings)
        if (geometry := self.settings.value("geometry")) is not None:
            self.restoreGeometry(geometry)
        self._show_parts()
        self.recording.ended.connect(self.say)
        self.painted.connect(self._show)
        self._clock = QTimer(self, interval=TICK_MS, timeout=self._tick)
        self._clock.start()

    # -- what it is made of

    def _build(self) -> None:
        self.banner = QLabel(objectName="banner", wordWrap=True, visible=False, alignment=Qt.AlignmentFlag.AlignCenter)
        self.picture, self.space, self.bar, self.plots, self.controls = (
            PictureView(),
            SpaceView(),
            ColourBar(),
            Plots(),
            Controls(),
        )
        self.picture.hint = (
            "Choose a camera, or drop a video here.\n\nWithout either, the demo clip shows what this is about."
        )
        views = QSplitter(Qt.Orientation.Horizontal)
        for widget, stretch in ((self.picture, 3), (self.space, 2)):
            views.addWidget(widget)
            views.setStretchFactor(views.indexOf(widget), stretch)
        views.setSizes([580, 400])
        left = QWidget()
        layout = QVBoxLayout(left)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget, stretch in ((views, 1), (self.bar, 0), (self.plots, 0)):
            layout.addWidget(widget, stretch)
        middle = QSplitter(Qt.Orientation.Horizontal)
        middle.addWidget(left)
        middle.addWidget(self.controls)
        middle.setStretchFactor(0, 1)
        middle.setSizes([980, 280])
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(6, 6, 6, 0)
        layout.addWidget(self.banner)
        layout.addWidget(middle, 1)
        self.setCentralWidget(page)
        self._make_tools()
        self.status = QLabel()
        self.statusBar().addWidget(self.status, 1)
        for signal, act in (
            (self.controls.look_changed, self._apply_look),
            (self.controls.options_changed, self._apply_options),
            (self.controls.preset_changed, self._apply_preset),
            (self.controls.shown_changed, self._show_parts),
        ):
            signal.connect(act)

    def _make_tools(self) -> None:
        bar = QToolBar("tools", movable=False)
        self.addToolBar(bar)
        self.actions_by_name: dict[str, QAction] = {}
        for name, text, key, act, toggles in (
            ("camera", "Camera …", "", partial(self._open_chosen, ask_for_camera), False),
            ("video", "Video …", "Ctrl+O", partial(self._open_chosen, ask_for_video), False),
            ("images", "Images …", "", partial(self._open_chosen, ask_for_images), False),
            ("demo", "Demo", "", lambda: self.open(Input("video", str(DEMO))), False),
            ("pause", "Pause", "Space", self._pause, True),
            ("step", "Step", "N", self._step, False),
            ("reset", "Reset", "R", self._reset, False),
            ("record", "Record", "V", self._record, True),
            ("snapshot", "Snapshot", "S", self.snapshot, False),
            ("process", "Process video …", "", self._choose_video_to_process, False),
            ("recordings", "Recordings …", "", self._browse, False),
            ("fullscreen", "Full screen", "F11", self._full_screen, False),
            ("help", "Keys", "F1", self._help, False),
        ):
            action = QAction(text, self, checkable=toggles)
            action.triggered.connect(act if toggles else (lambda checked=False, act=act: act()))
            if key:
                action.setShortcut(QKeySequence(key))
                action.setToolTip(f"{text} ({key})")
            bar.addAction(action)
            self.actions_by_name[name] = action
        controls = self.controls
        for key, act in (
            ("M", controls.mirror.toggle),
            ("C", controls.next_colours),
            ("D", controls.space.toggle),
            ("P", controls.plots.toggle),
            ("F", controls.follow.toggle),
            ("Home", self.space.look_from_front),
            ("Ctrl+Q", self.close),
        ):
            action = QAction(self)
            action.setShortcut(QKeySequence(key))
            action.triggered.connect(lambda checked=False, act=act: act())
            self.addAction(action)

    # -- the input

    def open(self, chosen: Input) -> None:
        """Track from `chosen`, instead of what was tracked before."""
        self.stop(wait=False)
        self.input, self.displayed, self.in_order, self.view, self._dropped = chosen, 0, True, None, (0, 0.0)
        self.picture.latencies_ms.clear()
        self.picture.hint = f"Opening {chosen.title} …"
        self.picture.show_picture(None)
        self.space.forget()
        self.space.show_view(None)
        self.actions_by_name["pause"].setChecked(False)
        self.pipeline = Pipeline(
            chosen.open,
            self._make_finder,
            self._tracker_as_chosen(),
            live=chosen.kind == "camera",
            stills=chosen.kind == "images",
            on_result=self._keep,
        )
        self.painter = Painter(self.pipeline, self.controls.look, self.painted.emit)

    def stop(self, wait: bool = True) -> None:
        """End recording and pipeline. wait: until their threads have ended, or for about a second."""
        self._stop_recording()
        parts = [part for part in (self.measurer, self.painter, self.pipeline) if part is not None]
        self.measurer = self.painter = self.pipeline = None
        if wait:
            _close(parts)
        else:  # a camera or a model that takes its time must not hold the window
            threading.Thread(target=_close, args=(parts,), name="closer", daemon=True).start()

    def _open_chosen(self, ask: Callable[[QWidget], Input | None]) -> None:
        if (chosen := ask(self)) is not None:
            self.open(chosen)

    def _choose_video_to_process(self) -> None:
        if (chosen := ask_for_video(self, "Process a video, every frame of it")) is not None:
            self.process(Path(chosen.place))

    def process(self, video: Path) -> None:
        """Track every frame of a video, with a bar, and show the result; what is tracked live pauses meanwhile."""
        from lvd_live.gui.job import process_video

        if self.pipeline is not None and not self.pipeline.paused:
            self.actions_by_name["pause"].trigger()
        process_video(self, video, self._make_finder, self._tracker_as_chosen(), RECORDINGS)

    def _browse(self) -> None:
        from lvd_live.gui.browser import Browser

        if self._browser is None:
            self._browser = Browser(RECORDINGS, self)
        self._browser.refresh()
        self._browser.show()
        self._browser.raise_()

    def _tracker_as_chosen(self) -> Callable[[], Tracker]:
        return partial(self._make_tracker, self.controls.applied_to(self.options))

    def dragEnterEvent(self, event) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event) -> None:
        """A video is processed, a picture or a folder of them opened, a result or a recording shown, the address of a stream followed."""
        url = event.mimeData().urls()[0]
        path = Path(url.toLocalFile())
        if not url.isLocalFile():
            self.open(Input("camera", url.toString()))
        elif path.suffix.lower() == ".npz" or (path / "session.json").exists():
            from lvd_live.gui.review import review

            review(self, path)
        elif path.is_dir() or path.suffix.lower() in PICTURES:
            self.open(Input("images", str(path)))
        else:
            self.process(path)

    # -- what is chosen

    def _apply_look(self) -> None:
        if self.painter is not None:
            self.painter.look = self.controls.look
        self._name_colours()

    def _apply_options(self) -> None:
        """Tell the tracker what is chosen. A recording has one set of options: it ends where they change."""
        tracker = self.pipeline and self.pipeline.tracker
        if tracker:
            before, tracker.options = tracker.options, self.controls.applied_to(tracker.options)
            if tracker.options != before:
                self._stop_recording()

    def _apply_preset(self) -> None:
        if self.pipeline is not None:
            self._stop_recording()
            self.pipeline.use(self._tracker_as_chosen())

    def _show_parts(self) -> None:
        self.space.setVisible(self.controls.space.isChecked())
        self.plots.setVisible(self.controls.plots.isChecked())
        self.space.follow = self.controls.follow.isChecked()

    def _name_colours(self) -> None:
        tracker = self.pipeline and self.pipeline.tracker
        self.bar.show_mode(
            self.controls.look.colour, bool(tracker and tracker.calibration), self.view.top_mm if self.view else 0
        )

    def _pause(self, on: bool) -> None:
        if self.pipeline is not None:
            self.pipeline.paused = on

    def _step(self) -> None:
        if self.pipeline is not None:
            self.actions_by_name["pause"].setChecked(True)
            self.pipeline.step()

    def _reset(self) -> None:
        if self.pipeline is not None:
            self.pipeline.reset()
        if self.measurer is not None:
            self.measurer.forget()
        self.space.forget()

    def _full_screen(self) -> None:
        (self.showNormal if self.isFullScreen() else self.showFullScreen)()

    def _help(self) -> None:
        rows = "".join(f"<tr><td><b>{key}</b>&nbsp;&nbsp;</td><td>{what}</td></tr>" for key, what in KEYS)
        QMessageBox.information(self, "Keys", f"<table>{rows}</table>")

    # -- recording and snapshots

    @property
    def recorder(self) -> Recorder | None:
        return self.recording.recorder

    def _keep(self, result: Result) -> None:
        """In the fit's thread: hand the result to the recorder and to the measurer, if there are any."""
        self.recording.add(result)
        for observe in self._on_fit:
            observe(result.frame, result.person, result.fit)
        if (measurer := self.measurer) is not None:
            measurer.offer(result.fit)

    def _record(self, on: bool, name: str = "") -> None:
        if not on:
            self._stop_recording()
            return
        try:
            self.recording.start(RECORDINGS, self.pipeline, self.input.title if self.input else "", name)
        except UserError as error:
            self.actions_by_name["record"].setChecked(False)
            self.say(str(error))

    def _stop_recording(self) -> None:
        self.actions_by_name["record"].setChecked(False)
        self.recording.stop(self.measurer)

    def snapshot(self, folder: Path | None = None) -> Path | None:
        """Write what is seen; the PNG's path, None where there is nothing to write or it cannot be written."""
        try:
            if self.view is None:
                raise UserError("There is no picture to keep yet.")
            png = write_snapshot(self.view, folder or RECORDINGS / "snapshots")
        except UserError as error:
            self.say(str(error))
            return None
        self.say(f"Snapshot: {png}")
        return png

    # -- what is shown

    def say(self, text: str, seconds: float = 8.0) -> None:
        """A sentence in the status bar."""
        self.statusBar().showMessage(text, int(1000 * seconds))

    def _show(self, painter: Painter) -> None:
        view = painter.views.take(0) if painter is self.painter else None
        if view is None:
            return
        again = self.view is not None and view.of is self.view.of
        if not again:
            self.in_order &= self.view is None or view.of.frame.index > self.view.of.frame.index
            self.displayed += 1
        self.view = view
        self.picture.show_picture(view.picture, None if again else view.of.captured_ns)
        now = time.monotonic()
        if now - self._space_at >= SPACE_S or self.pipeline.paused:
            self.space.show_view(view)
            self._space_at = now

    def _tick(self) -> None:
        """Ten times a second. Until there is a mesh, the bare picture is shown."""
        pipeline = self.pipeline
        self._ticks += 1
        if pipeline is not None and self.view is None and pipeline.newest is not None:
            picture = pipeline.newest.picture
            self.picture.show_picture(picture[:, ::-1] if self.controls.look.mirror else picture)
        if self._ticks % SLOW_TICKS == 0:
            self._tell()
        if pipeline is not None and self.plots.isVisible():
            self.plots.redraw()

    def _tell(self) -> None:
        """Status, trouble, figures."""
        pipeline, view = self.pipeline, self.view
        if pipeline is None:
            self.status.setText("Nothing is open.")
            return
        if pipeline.tracker is not self._told:  # a new one: what was chosen while it was made
            self._told = pipeline.tracker
            self._apply_options()
        self._warn(pipeline.problem or TROUBLE.get(pipeline.state, ""))
        if pipeline.notice:
            self.say(pipeline.notice)
            pipeline.notice = ""
        if pipeline.problem and view is None:
            self.picture.hint = "Nothing to show. Choose another camera, drop a video, or press Demo."
            self.picture.show_picture(None)
        if self.recorder is not None and self.recorder.problem:
            self._stop_recording()
        if self.record_soon is not None and view is not None:
            self.actions_by_name["record"].setChecked(True)
            self._record(True, self.record_soon)
            self.record_soon = None
        self._name_colours()
        self._measure()
        latency = float(np.median(self.picture.latencies_ms)) if self.picture.latencies_ms else 0.0
        statistics, fit = pipeline.statistics, view and view.of.fit
        (before, then), now = self._dropped, time.monotonic()
        self._dropped = pipeline.dropped, now
        lost = (pipeline.dropped - before) / (now - then) if then else 0.0
        self.plots.refresh(
            statistics.stages, fit.steps if fit else (), fits=statistics.fits_per_second, latency=latency, dropped=lost
        )
        self.status.setText("  ·  ".join(facts(self.input.title, pipeline, view, latency, self.recorder)))

    def _measure(self) -> None:
        """Keep the measurer as it is chosen, and show what it found."""
        tracker = self.pipeline.tracker
        if self.measurer is None and tracker is not None and not self.pipeline.stills:
            self.measurer = Measurer(tracker)
        if self.measurer is None:
            return
        self.measurer.tracker, self.measurer.on = tracker, self.controls.measure.isChecked()
        found = self.measurer.latest
        rows = "".join(
            f"<tr><td>{name.replace('_', ' ')}&nbsp;&nbsp;</td><td align=right>{m.cm:.0f} cm</td></tr>"
            for name, m in found.items()
        )
        scale = "" if tracker.options.height else "<br><i>the scale is a guess: set the height</i>"
        self.controls.measurements.setText(f"<table>{rows}</table>{scale}" if found else "")

    def _warn(self, text: str) -> None:
        if text != self.banner.text() or bool(text) != self.banner.isVisible():
            self.banner.setText(text)
            self.banner.setVisible(bool(text))

    def closeEvent(self, event) -> None:
        self.controls.save(self.settings)
        self.settings.setValue("geometry", self.saveGeometry())
        self._clock.stop()
        self.stop()
        super().closeEvent(event)


def _close(parts: list) -> None:
    for part in parts:
        part.close()
