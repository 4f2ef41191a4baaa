"""The window: what is seen, what can be chosen, and a pipeline behind it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PySide6.QtCore import QSettings, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QFileDialog, QFormLayout, QInputDialog, QLabel, QMainWindow, QMessageBox, QScrollArea, QSlider, QSplitter, QToolBar, QVBoxLayout, QWidget

from gui.browser import Browser
from gui.job import process_video
from gui.painter import COLOURS, Look, Painter, View
from gui.views import ColourBar, PictureView, Plots, SpaceView
from lvd_live.errors import UserError
from lvd_live.live import Pipeline
from lvd_live.lvd.network import EVIDENCE
from lvd_live.paths import DEMO, MODELS, RECORDINGS
from lvd_live.smoothing import LEVELS, lag_ms
from lvd_live.sources import CameraSource, ImageSource, VideoSource
from lvd_live.tracker import Tracker

PERTURBATIONS = 8  # of Eq. 3, per vertex
VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
SEES = {"all": "picture, landmarks, maps", "maps": "picture, feature maps", "picture": "picture and mask alone"}
TROUBLE = {
    "stalled": "The camera sends no pictures at the moment; waiting for it.",
    "frozen": "The camera repeats one picture: it may have been unplugged.",
    "reconnecting": "The camera is gone; trying to reach it again.",
}
KEYS = (
    ("Space", "pause, go on"), ("N", "one frame"), ("R", "forget person and mesh, start anew"), ("M", "mirror"), ("C", "next colours"), ("V", "record, stop recording"),
    ("S", "snapshot: PNG and OBJ"), ("F", "3D view follows the person"), ("Home", "3D view from the front"), ("F11", "full screen"), ("F1", "this sheet"), ("Ctrl+O", "open a video"), ("Ctrl+Q", "quit"),
)  # fmt: skip


@dataclass(frozen=True)
class Input:
    """What to track. kind: "camera", "video" or "images"; place: a number, an address or a path."""

    kind: str
    place: str

    @property
    def title(self) -> str:
        if self.kind != "camera":
            return Path(self.place).name
        return f"camera {self.place}" if self.place.isdigit() else "camera stream"  # an address may hold a password

    def open(self):
        """The source; UserError where there is none."""
        if self.kind == "camera":
            return CameraSource(self.place)
        return VideoSource(self.place) if self.kind == "video" else ImageSource(self.place)


class MainWindow(QMainWindow):
    """LVD Live's window.

    make_finder: called in the pipeline's thread. make_tracker: likewise, with keyword options of `Tracker.load`. space: with the 3D view.
    """

    recorded = Signal(str)

    def __init__(self, make_finder: Callable, make_tracker: Callable[..., Tracker], *, settings: QSettings | None = None, space: bool = True):
        super().__init__()
        self.setWindowTitle("LVD Live")
        self.resize(1380, 780)
        self.setAcceptDrops(True)
        self._make_finder, self._make_tracker = make_finder, make_tracker
        self.settings = settings or QSettings("LVD Live", "LVD Live")
        self.input: Input | None = None
        self.pipeline: Pipeline | None = None
        self.painter: Painter | None = None
        self.recorder = None
        self.view: View | None = None
        self.displayed = 0
        self._in_space: View | None = None
        self._build(space)
        self._restore()
        self.recorded.connect(self.say)
        self._clock = QTimer(self, interval=50, timeout=self._tick)
        self._slow_clock = QTimer(self, interval=250, timeout=self._tick_slowly)
        self._clock.start()
        self._slow_clock.start()

    # -- what it is made of

    def _build(self, space: bool) -> None:
        self.banner = QLabel(objectName="banner", wordWrap=True, visible=False, alignment=Qt.AlignmentFlag.AlignCenter)
        self.picture = PictureView()
        self.picture.hint = "Choose a camera, or drop a video here.\n\nWithout either, the demo clip shows what this is about."
        self.space = SpaceView() if space else None
        self.bar, self.plots = ColourBar(), Plots()
        middle = QSplitter(Qt.Orientation.Horizontal)
        middle.addWidget(self.picture)
        if self.space is not None:
            middle.addWidget(self.space)
        middle.addWidget(self._panel())
        middle.setSizes([600, 450, 330])
        middle.setStretchFactor(0, 3)
        middle.setStretchFactor(1, 2)
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(6, 6, 6, 0)
        layout.addWidget(self.banner)
        layout.addWidget(middle, 1)
        layout.addWidget(self.bar)
        self.setCentralWidget(page)
        self._make_tools()
        self.status = QLabel()
        self.statusBar().addWidget(self.status, 1)

    def _make_tools(self) -> None:
        bar = QToolBar("tools", movable=False)
        self.addToolBar(bar)
        self.actions_by_name: dict[str, QAction] = {}
        for name, text, key, act, toggles in (
            ("camera", "Camera …", "", self._choose_camera, False), ("video", "Video …", "Ctrl+O", self._choose_video, False), ("images", "Images …", "", self._choose_images, False),
            ("demo", "Demo", "", lambda: self.open(Input("video", str(DEMO))), False), ("pause", "Pause", "Space", self._pause, True), ("step", "Step", "N", self._step, False),
            ("reset", "Reset", "R", self._reset, False), ("record", "Record", "V", self._record, True), ("snapshot", "Snapshot", "S", self.snapshot, False),
            ("process", "Process video …", "", self._process_video, False), ("recordings", "Recordings …", "", lambda: Browser(RECORDINGS, self).show(), False),
            ("fullscreen", "Full screen", "F11", self._full_screen, False), ("help", "Keys", "F1", self._help, False),
        ):  # fmt: skip
            action = QAction(text, self, checkable=toggles)
            action.triggered.connect(act if toggles else (lambda checked=False, act=act: act()))
            if key:
                action.setShortcut(QKeySequence(key))
                action.setToolTip(f"{text} ({key})")
            bar.addAction(action)
            self.actions_by_name[name] = action
        for key, act in (("M", self.mirror.toggle), ("C", self._next_colours), ("F", lambda: self.follow.toggle()), ("Home", lambda: self.space and self.space.look_from_front()), ("Ctrl+Q", self.close)):
            action = QAction(self)
            action.setShortcut(QKeySequence(key))
            action.triggered.connect(lambda checked=False, act=act: act())
            self.addAction(action)

    def _panel(self) -> QWidget:
        form = QFormLayout()
        self.colour, self.smoothing, self.iterations, self.evidence, self.preset = QComboBox(), QComboBox(), QComboBox(), QComboBox(), QComboBox()
        self.colour.addItems(COLOURS)
        for level in LEVELS:
            self.smoothing.addItem(f"{level} (lags {lag_ms(level):.0f} ms at rest)" if LEVELS[level] else level, level)
        for number in (None, *range(1, 9)):
            self.iterations.addItem("auto" if number is None else str(number), number)
        for told in EVIDENCE:
            self.evidence.addItem(SEES[told], told)
        for preset in ("live", "paper"):
            if (MODELS / "weights" / f"{preset}.safetensors").exists():
                self.preset.addItem(preset)
        for box in (self.colour, self.smoothing, self.iterations, self.evidence, self.preset):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.opacity = QSlider(Qt.Orientation.Horizontal, minimum=0, maximum=100, value=65)
        self.height_m = QDoubleSpinBox(minimum=0.0, maximum=2.6, singleStep=0.01, decimals=2, suffix=" m", specialValueText="not known")
        self.mirror, self.warm, self.follow, self.uncertainty = QCheckBox("mirror"), QCheckBox("start from the last mesh"), QCheckBox("3D view follows"), QCheckBox("estimate uncertainty")
        for box in (self.warm, self.follow, self.uncertainty):
            box.setChecked(True)
        for label, widget in (("colours", self.colour), ("opacity", self.opacity), ("smoothing", self.smoothing), ("network", self.preset), ("iterations", self.iterations), ("network sees", self.evidence), ("height", self.height_m)):
            form.addRow(label, widget)
        for box in (self.mirror, self.warm, self.uncertainty, self.follow):
            form.addRow(box)
        for signal in (self.colour.currentIndexChanged, self.smoothing.currentIndexChanged, self.opacity.valueChanged, self.mirror.toggled):
            signal.connect(self._apply_look)
        for signal in (self.iterations.currentIndexChanged, self.evidence.currentIndexChanged, self.height_m.valueChanged, self.warm.toggled, self.uncertainty.toggled):
            signal.connect(self._apply_to_tracker)
        self.preset.currentIndexChanged.connect(lambda: self.input and self.open(self.input))
        self.follow.toggled.connect(self._follow)
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.addLayout(form)
        layout.addWidget(self.plots, 1)
        area = QScrollArea(widgetResizable=True, horizontalScrollBarPolicy=Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inner)
        area.setMinimumWidth(330)
        return area

    # -- the input

    def open(self, chosen: Input) -> None:
        """Track from `chosen`, instead of what was tracked before."""
        self.stop()
        self.input, self.displayed, self.view = chosen, 0, None
        self.picture.latencies_ms.clear()
        self.picture.hint = f"Opening {chosen.title} …"
        self.picture.show_picture(None)
        if self.space is not None:
            self.space.forget()
        self.actions_by_name["pause"].setChecked(False)
        self.pipeline = Pipeline(chosen.open, self._make_finder, self._tracker_as_chosen(), live=chosen.kind == "camera", on_result=self._keep)
        self.painter = Painter(self.pipeline, self._look())
        self.painter.painted.connect(self._show)

    def stop(self) -> None:
        """End recording and pipeline."""
        if self.recorder is not None:
            self._stop_recording()
        for part in (self.painter, self.pipeline):
            if part is not None:
                part.close()
        self.painter = self.pipeline = None

    def _choose_camera(self) -> None:
        names = camera_names()
        text, chosen = QInputDialog.getItem(self, "Camera", "A camera, or the address of a stream:", names or ["0"], 0, True)
        if chosen and text.strip():
            self.open(Input("camera", text.split(":")[0].strip() if text in names else text.strip()))

    def _choose_video(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Video", "", f"Videos ({' '.join('*' + v for v in VIDEOS)});;All files (*)")
        if path:
            self.open(Input("video", path))

    def _process_video(self) -> None:
        process_video(self, self._make_finder, self._tracker_as_chosen())

    def _tracker_as_chosen(self) -> Callable[[], Tracker]:
        return partial(self._make_tracker, preset=self.preset.currentText() or "live", **self._options())

    def _choose_images(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "A folder of pictures")
        if path:
            self.open(Input("images", path))

    def dragEnterEvent(self, event) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event) -> None:
        path = Path(event.mimeData().urls()[0].toLocalFile())
        self.open(Input("images" if path.is_dir() else "video", str(path)))

    # -- what is chosen

    def _look(self) -> Look:
        return Look(self.colour.currentText(), self.opacity.value() / 100, self.mirror.isChecked(), self.smoothing.currentData())

    def _options(self) -> dict:
        return {
            "iterations": self.iterations.currentData(), "evidence": self.evidence.currentData(), "height": self.height_m.value() if self.height_m.value() >= 0.5 else None,
            "warm": self.warm.isChecked(), "uncertainty": PERTURBATIONS if self.uncertainty.isChecked() else 0,
        }  # fmt: skip

    def _apply_look(self) -> None:
        if self.painter is not None:
            self.painter.look = self._look()
        self._name_colours()

    def _apply_to_tracker(self) -> None:
        tracker = self.pipeline and self.pipeline.tracker
        if tracker:
            for name, value in self._options().items():
                setattr(tracker, name, value)

    def _name_colours(self) -> None:
        tracker = self.pipeline and self.pipeline.tracker
        self.bar.show_mode(self.colour.currentText(), bool(tracker and tracker.calibration), self.view.top_mm if self.view else 0)

    def _next_colours(self) -> None:
        self.colour.setCurrentIndex((self.colour.currentIndex() + 1) % self.colour.count())

    def _follow(self, on: bool) -> None:
        if self.space is not None:
            self.space.follow = on

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
        if self.space is not None:
            self.space.forget()

    def _full_screen(self) -> None:
        (self.showNormal if self.isFullScreen() else self.showFullScreen)()

    def _help(self) -> None:
        rows = "".join(f"<tr><td><b>{key}</b>&nbsp;&nbsp;</td><td>{what}</td></tr>" for key, what in KEYS)
        QMessageBox.information(self, "Keys", f"<table>{rows}</table>")

    # -- recording and snapshots

    def _keep(self, result) -> None:
        """In the fit's thread: hand the result to the recorder, if there is one."""
        recorder = self.recorder
        if recorder is not None:
            recorder.add(result.frame, result.person, result.fit)

    def _record(self, on: bool) -> None:
        from lvd_live.session.recorder import Recorder

        tracker = self.pipeline and self.pipeline.tracker
        if not on:
            if self.recorder is not None:
                self._stop_recording()
            return
        try:
            if not tracker:
                raise UserError("There is nothing to record yet: choose a camera or a video first.")
            meta = {"tracker": tracker.describe(), "source": self.input.title}
            self.recorder = Recorder(RECORDINGS, Path(self.input.title).stem.replace(" ", "-"), faces=tracker.faces, meta=meta, fps=self.pipeline.source.fps or 0.0)
        except UserError as error:
            self.actions_by_name["record"].setChecked(False)
            self.say(str(error))

    def _stop_recording(self) -> None:
        recorder, self.recorder = self.recorder, None
        self.actions_by_name["record"].setChecked(False)

        def finish() -> None:
            path = recorder.stop()
            with contextlib.suppress(RuntimeError):  # the window is gone
                self.recorded.emit(recorder.problem or f"Recorded {recorder.seconds:.1f} s, {recorder.frames} frames ({recorder.dropped} dropped), into {path}.")

        threading.Thread(target=finish, name="recorder's end").start()  # a slow disk must not hold the window; the program waits for it

    def snapshot(self, folder: Path | None = None) -> Path | None:
        """Write what is seen as PNG and the mesh as OBJ; the PNG's path, None where there is nothing to write."""
        if self.view is None:
            self.say("There is no picture to keep yet.")
            return None
        folder = folder or RECORDINGS / "snapshots"
        stem = folder / time.strftime("%Y-%m-%d_%H-%M-%S")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number = 0
            while (png := stem.with_name(f"{stem.name}{f'-{number}' if number else ''}.png")).exists():
                number += 1
            png.write_bytes(cv2.imencode(".png", self.view.picture[..., ::-1])[1])
            if self.view.vertices is not None:
                lines = [f"v {x:.5f} {y:.5f} {z:.5f}\n" for x, y, z in self.view.vertices * (1, -1, -1)]  # y up, z toward the viewer
                lines += [f"f {a} {b} {c}\n" for a, b, c in self.pipeline.tracker.faces + 1]
                png.with_suffix(".obj").write_text("# metres, y up\n" + "".join(lines))
        except OSError as error:
            self.say(f"Cannot write a snapshot to {folder}: {(error.strerror or str(error)).lower()}.")
            return None
        self.say(f"Snapshot: {png}")
        return png

    # -- what is shown

    def say(self, text: str, seconds: float = 8.0) -> None:
        """A sentence in the status bar."""
        self.statusBar().showMessage(text, int(1000 * seconds))

    def _show(self) -> None:
        view = self.painter and self.sender() is self.painter and self.painter.views.take(0)
        if view:
            self.view = view
            self.displayed += 1
            self.picture.show_picture(view.picture, view.result.captured_ns)

    def _tick(self) -> None:
        """Twenty times a second: the newest mesh in space; until there is one, the bare picture."""
        view = self.view
        if view is not None and self.space is not None and view is not self._in_space:
            fit, (height, width) = view.result.fit, view.result.frame.picture.shape[:2]
            self.space.show_mesh(view.vertices, self.pipeline.tracker.faces, view.colours, None if fit is None else fit.intrinsics, (width, height))
            self._in_space = view
        if self.pipeline is not None and view is None and self.pipeline.newest is not None:
            picture = self.pipeline.newest.picture
            self.picture.show_picture(picture[:, ::-1] if self.mirror.isChecked() else picture)

    def _tick_slowly(self) -> None:
        pipeline = self.pipeline
        if pipeline is None:
            self.status.setText("Nothing is open.")
            return
        state, view = pipeline.state, self.view
        self._warn(pipeline.problem or TROUBLE.get(state, ""))
        if pipeline.problem and view is None:
            self.picture.hint = "Nothing to show. Choose another camera, drop a video, or press Demo."
            self.picture.show_picture(None)
        if self.recorder is not None and self.recorder.problem:
            self._stop_recording()
        self._name_colours()
        statistics, fit = pipeline.statistics, view and view.result.fit
        latency = float(np.median(self.picture.latencies_ms)) if self.picture.latencies_ms else 0.0
        self.plots.refresh(statistics.stages, statistics.fits_per_second, latency, fit.steps if fit else ())
        parts = [self.input.title, state]
        if view is not None:
            height, width = view.result.frame.picture.shape[:2]
            parts += [f"{width}×{height}", "tracked" if fit else "nobody found"]
        if pipeline.tracker is not None:
            parts += [pipeline.tracker.runtime.provider, f"preset {pipeline.tracker.runtime.network.preset.name}"]
        if fit:
            parts += [f"{fit.iterations} iterations", f"{statistics.fits_per_second:.1f} fits/s", f"{latency:.0f} ms", f"{pipeline.dropped} dropped"]
        if self.recorder is not None:
            parts.append(f"● recording {self.recorder.seconds:.0f} s, {self.recorder.dropped} dropped")
        self.status.setText("  ·  ".join(parts))

    def _warn(self, text: str) -> None:
        if text != self.banner.text() or bool(text) != self.banner.isVisible():
            self.banner.setText(text)
            self.banner.setVisible(bool(text))

    # -- between runs

    def _kept(self) -> dict:
        """Widgets whose state is remembered, by name."""
        return {
            "colour": self.colour, "smoothing": self.smoothing, "iterations": self.iterations, "evidence": self.evidence, "opacity": self.opacity, "height": self.height_m,
            "mirror": self.mirror, "warm": self.warm, "uncertainty": self.uncertainty, "follow": self.follow,
        }  # fmt: skip

    def _restore(self) -> None:
        for name, widget in self._kept().items():
            value = self.settings.value(name)
            if value is None:
                continue
            with contextlib.suppress(TypeError, ValueError):  # a settings file that somebody edited
                if isinstance(widget, QComboBox):
                    widget.setCurrentIndex(min(max(int(value), 0), widget.count() - 1))
                elif isinstance(widget, QCheckBox):
                    widget.setChecked(value in (True, "true"))
                else:
                    widget.setValue(type(widget.value())(value))
        if (geometry := self.settings.value("geometry")) is not None:
            self.restoreGeometry(geometry)

    def closeEvent(self, event) -> None:
        for name, widget in self._kept().items():
            value = widget.currentIndex() if isinstance(widget, QComboBox) else widget.isChecked() if isinstance(widget, QCheckBox) else widget.value()
            self.settings.setValue(name, value)
        self.settings.setValue("geometry", self.saveGeometry())
        self._clock.stop()
        self._slow_clock.stop()
        self.stop()
        super().closeEvent(event)


def camera_names() -> list[str]:
    """"number: name" of each camera, where the system tells."""
    found = []
    for node in sorted(Path("/sys/class/video4linux").glob("video*")):
        with contextlib.suppress(OSError):
            found.append(f"{node.name.removeprefix('video')}: {(node / 'name').read_text().strip()}")
    return found
