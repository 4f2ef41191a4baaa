"""Looking at a result: its pictures with the mesh, the mesh in space, and the uncertainty along the timeline."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QMessageBox,
    QPushButton,
    QSlider,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from lvd_live.errors import UserError
from lvd_live.gui.inputs import VIDEOS
from lvd_live.gui.shading import MAX_SIDE, TOPS_MM, Calibration, View, draw_over, scaled, shrink, top_for
from lvd_live.gui.space import SpaceView
from lvd_live.gui.views import ColourBar, PictureView
from lvd_live.session.reader import MATROSKA, Session, open_session
from lvd_live.session.sequence import Sequence, load_sequence
from lvd_live.sources import VideoSource

NO_PICTURE = (26, 29, 34)
AXIS = 52  # pixels, the width of the timeline's left axis
TOLERANCE_NS = 500_000  # a video's container states times to the millisecond
FAR_AHEAD_NS = 2_000_000_000  # beyond this a seek is quicker than decoding what lies between
ROWS_AT_A_TIME = 200


class Pictures:
    """The pictures of a sequence or session, by row, from its video; read by one thread. Raises UserError where it cannot be opened."""

    def __init__(self, data: Sequence | Session, video: Path):
        self._data = data
        if isinstance(data, Session):
            with open(video, "rb") as file:
                if file.read(len(MATROSKA)) != MATROSKA:  # another kind, such as a playlist, may point at other files
                    raise UserError(f"{video} is no matroska video.")
        self._source = VideoSource(video)
        next(iter(self._source), None)  # tells start_ns
        self._frames, self._newest = iter(()), None

    def read(self, row: int) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB of the frame's own size, or None where the video has none for it. Raises UserError."""
        wanted, last = self._time_ns(row), -1 if self._newest is None else self._newest.timestamp_ns
        if wanted is None:
            return None
        if not last <= wanted <= last + FAR_AHEAD_NS or self._newest is None:
            self._frames = self._source.frames_from(wanted)
            self._newest = next(self._frames, None)
        while self._newest is not None and self._newest.timestamp_ns < wanted - TOLERANCE_NS:
            self._newest = next(self._frames, None)
        if self._newest is None or self._newest.timestamp_ns > wanted + TOLERANCE_NS:
            return None
        picture, (width, height) = self._newest.picture, self._data.image_size[row]
        if isinstance(self._data, Session) and picture.shape[:2] == (
            height + height % 2,
            width + width % 2,
        ):  # made even for the codec
            picture = picture[:height, :width]
        return np.ascontiguousarray(picture) if picture.shape[:2] == (height, width) else None

    def close(self) -> None:
        self._source.close()

    def _time_ns(self, row: int) -> int | None:
        """Since the video's first frame."""
        if not isinstance(self._data, Session):
            return int(self._data.timestamps_ns[row])
        ms = int(self._data.video_ms[row])
        return None if ms < 0 else ms * 1_000_000 - self._source.start_ns


class Reader(QObject):
    """Reads and draws rows in a thread of its own, the newest wish first, and sums the uncertainty up in another.

    drawn: a View. summed: (F,) float64, mean error to expect in mm so far (the spread itself without a calibration), NaN where not tracked or not known yet. failed: a sentence.
    """

    drawn = Signal(object)
    summed = Signal(object)
    failed = Signal(str)

    def __init__(self, data: Sequence | Session, video: Path | None):
        super().__init__()
        self.data, self._video, self.opacity, self.calibration = data, video, 0.65, Calibration(data.meta)
        self._wanted: int | None = None
        self._news = threading.Condition()
        self._stop = False
        self._threads = [
            threading.Thread(target=self._guard, args=(work,), name=work.__name__, daemon=True)
            for work in (self._draw_wanted, self._sum_up)
        ]

    def start(self) -> None:
        """Begin, once the signals are connected."""
        for thread in self._threads:
            thread.start()

    def want(self, row: int) -> None:
        """Draw `row` soon; an older wish that was not begun is forgotten."""
        with self._news:
            self._wanted = row
            self._news.notify()

    def close(self) -> None:
        with self._news:
            self._stop = True
            self._news.notify()
        for thread in self._threads:
            thread.join(2.0)

    def _guard(self, work) -> None:
        try:
            work()
        except (UserError, OSError, ValueError) as error:
            self.failed.emit(str(error))

    def _draw_wanted(self) -> None:
        pictures = None
        try:
            pictures = Pictures(self.data, self._video) if self._video is not None else None
        except (UserError, OSError) as error:
            self.failed.emit(str(error))
        top_mm = colour_top(self.data, self.calibration)
        while True:
            with self._news:
                self._news.wait_for(lambda: self._wanted is not None or self._stop)
                if self._stop:
                    break
                row, self._wanted = self._wanted, None
            picture = None
            if pictures is not None:
                try:
                    picture = pictures.read(row)
                except UserError as error:
                    self.failed.emit(str(error))
            self.drawn.emit(self._draw(row, picture, top_mm))
        if pictures is not None:
            pictures.close()

    def _draw(self, row: int, picture: np.ndarray | None, top_mm: int) -> View:
        data = self.data
        width, height = (max(int(side), 1) for side in data.image_size[row])
        if picture is None:
            scale = min(1.0, MAX_SIDE / max(width, height))
            picture = np.full((max(round(height * scale), 1), max(round(width * scale), 1), 3), NO_PICTURE, np.uint8)
        else:
            picture, scale = shrink(picture)
        vertices = colours = None
        if data.tracked[row]:
            vertices = np.array(data.vertices[row])
            colours = scaled(self.calibration.error_mm(data.vertex_std[row]), 0, top_mm)
            picture = draw_over(picture, scale, vertices, data.faces, colours, data.intrinsics[row], self.opacity)
        return View(row, picture, vertices, data.faces, colours, data.intrinsics[row], (width, height), top_mm)

    def _sum_up(self) -> None:
        means = np.full(len(self.data), np.nan)
        for first in range(0, len(means), ROWS_AT_A_TIME):
            rows = slice(first, first + ROWS_AT_A_TIME)
            means[rows] = np.where(
                self.data.tracked[rows],
                self.calibration.error_mm(self.data.vertex_std[rows]).mean(1, dtype=np.float64),
                np.nan,
            )
            if self._stop:
                return
            self.summed.emit(means.copy())


def colour_top(data: Sequence | Session, calibration: Calibration) -> int:
    """Where the uncertainty's colours may end, mm: above nearly all of it, judged from a few frames."""
    rows = np.flatnonzero(data.tracked)
    if not len(rows):
        return TOPS_MM[0]
    few = rows[np.linspace(0, len(rows) - 1, min(len(rows), 8)).astype(int)]
    return top_for(float(np.percentile(calibration.error_mm(data.vertex_std[few]), 98)))


def gaps(data: Sequence | Session, seconds: np.ndarray) -> np.ndarray:
    """(G, 2) seconds: the stretches without a mesh, where nobody was tracked or frames were lost."""
    pace = np.median(np.diff(seconds)) if len(seconds) > 1 else 0.0
    ends = np.append(seconds[1:], seconds[-1] + pace)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ~data.tracked, [False]]).astype(np.int8)))
    untracked = np.column_stack([seconds[edges[::2]], ends[edges[1::2] - 1]])
    if not isinstance(data, Session):
        return untracked
    lost = np.flatnonzero((data.missed[1:] > 0) | (data.dropped[1:] > 0)) + 1
    return np.concatenate(
        [untracked, np.column_stack([ends[lost - 1] - np.diff(seconds)[lost - 1] + pace, seconds[lost]])]
    )


class Timeline(pg.PlotWidget):
    """Mean uncertainty over time, with gaps and a cursor that can be dragged or put somewhere by a click. what: its name. moved: seconds."""

    moved = Signal(float)

    def __init__(self, seconds: np.ndarray, empty: np.ndarray, what: str):
        super().__init__()
        self.setFixedHeight(150)
        self.setMouseEnabled(False, False)
        self.hideButtons()
        self.setMenuEnabled(False)
        self.showGrid(y=True, alpha=0.15)
        self.setLabel("left", "mm")
        self.setLabel("bottom", f"seconds  ·  the mesh's mean {what}  ·  shaded: nobody tracked, or frames lost")
        self.getAxis("left").setWidth(AXIS)
        self._seconds = seconds
        self._gaps = (
            pg.BarGraphItem(x0=empty[:, 0], x1=empty[:, 1], y0=0, y1=1, brush=(191, 97, 106, 90), pen=None)
            if len(empty)
            else None
        )
        if self._gaps is not None:
            self.addItem(self._gaps)
        self.curve = self.plot(pen=pg.mkPen("#88c0d0", width=2), connect="finite")
        self.cursor = pg.InfiniteLine(
            0, movable=True, pen=pg.mkPen("#ebcb8b", width=2), bounds=(seconds[0], seconds[-1])
        )
        self.addItem(self.cursor)
        self.setXRange(seconds[0], max(seconds[-1], 1e-3), padding=0)
        self.cursor.sigDragged.connect(lambda line: self.moved.emit(line.value()))
        self.scene().sigMouseClicked.connect(
            lambda event: self.moved.emit(self.getPlotItem().vb.mapSceneToView(event.scenePos()).x())
        )

    def show_means(self, means: np.ndarray) -> None:
        """means (F,) mm, NaN where there is none."""
        self.curve.setData(self._seconds, means)
        top = 1.15 * float(np.nanmax(means)) if np.isfinite(means).any() else 1.0
        self.setYRange(0, max(top, 1.0), padding=0)
        if self._gaps is not None:
            self._gaps.setOpts(y1=max(top, 1.0))


class Review(QMainWindow):
    """Scrubs through a sequence or a recorded session."""

    def __init__(self, data: Sequence | Session, video: Path | None, title: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"{title} – review")
        self.resize(1180, 760)
        self.data, self.shown = data, None
        self.seconds = (data.timestamps_ns - data.timestamps_ns[0]) / 1e9
        self.reader = Reader(data, video)
        self.picture, self.space, self.bar = PictureView(), SpaceView(), ColourBar()
        self.what = "expected error" if self.reader.calibration.known else "spread"
        self.timeline = Timeline(self.seconds, gaps(data, self.seconds), self.what)
        self.slider = QSlider(Qt.Orientation.Horizontal, maximum=len(data) - 1, focusPolicy=Qt.FocusPolicy.NoFocus)
        self.play = QPushButton("Play", checkable=True, focusPolicy=Qt.FocusPolicy.NoFocus)
        self.label = QLabel()
        self._lay_out()
        self._clock = QTimer(self, interval=15, timeout=self._advance)
        self._started = 0.0
        self.reader.drawn.connect(self._show)
        self.reader.summed.connect(self.timeline.show_means)
        self.reader.failed.connect(lambda text: self.statusBar().showMessage(text))
        if video is None:
            self.statusBar().showMessage("The video that belongs to this was not found: the mesh is shown alone.")
        self.slider.valueChanged.connect(self._moved)
        self.timeline.moved.connect(self._go_to)
        self.play.toggled.connect(self._play)
        for key, act in (
            ("Left", lambda: self.step(-1)),
            ("Right", lambda: self.step(1)),
            ("Shift+Left", lambda: self.step(-10)),
            ("Shift+Right", lambda: self.step(10)),
            ("Home", lambda: self.slider.setValue(0)),
            ("End", lambda: self.slider.setValue(len(data) - 1)),
            ("Space", self.play.toggle),
        ):
            QShortcut(QKeySequence(key), self, act)
        self._moved(0)
        QApplication.instance().aboutToQuit.connect(self.reader.close)
        self.reader.start()

    def _lay_out(self) -> None:
        middle = QSplitter(Qt.Orientation.Horizontal)
        for view in (self.picture, self.space):
            middle.addWidget(view)
        middle.setSizes([640, 500])
        controls = QHBoxLayout()
        controls.addWidget(self.play)
        controls.addWidget(self.label, 1)
        scrub = QHBoxLayout()
        scrub.setContentsMargins(AXIS, 0, 0, 0)  # below the plot's own axis
        scrub.addWidget(self.slider)
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.addWidget(middle, 1)
        layout.addWidget(self.bar)
        layout.addWidget(self.timeline)
        layout.addLayout(scrub)
        layout.addLayout(controls)
        self.setCentralWidget(page)

    def step(self, rows: int) -> None:
        """Go on, or back, by a number of frames."""
        self.play.setChecked(False)
        self.slider.setValue(self.slider.value() + rows)

    def closeEvent(self, event) -> None:
        self._clock.stop()
        self.reader.close()
        super().closeEvent(event)

    def _go_to(self, seconds: float) -> None:
        self.play.setChecked(False)
        self.slider.setValue(int(np.abs(self.seconds - seconds).argmin()))

    def _moved(self, row: int) -> None:
        self.timeline.cursor.setValue(self.seconds[row])
        self.reader.want(row)
        state = (
            f"{self.what} {float(np.mean(self.reader.calibration.error_mm(self.data.vertex_std[row]))):.0f} mm on average, {self.data.iterations[row]} iterations"
            if self.data.tracked[row]
            else "nobody tracked"
        )
        self.label.setText(
            f"{self.seconds[row]:.2f} of {self.seconds[-1]:.2f} s  ·  frame {row + 1} of {len(self.data)}  ·  {state}"
        )

    def _play(self, on: bool) -> None:
        self.play.setText("Pause" if on else "Play")
        if not on:
            self._clock.stop()
            return
        if self.slider.value() == len(self.data) - 1:
            self.slider.setValue(0)
        self._started = time.monotonic() - self.seconds[self.slider.value()]
        self._clock.start()

    def _advance(self) -> None:
        now = time.monotonic() - self._started
        self.slider.setValue(int(np.searchsorted(self.seconds, now, side="right")) - 1)
        if now >= self.seconds[-1]:
            self.play.setChecked(False)

    def _show(self, shown: View) -> None:
        self.shown = shown
        self.picture.show_picture(shown.picture)
        self.bar.show_mode("uncertainty", self.reader.calibration.known, shown.top_mm)
        self.space.show_view(shown)


def load(path: Path, video: Path | None = None) -> tuple[Sequence | Session, Path | None, str]:
    """A session's folder or a sequence's file: what is in it, its video where that is found, a title. Raises UserError."""
    path = Path(path)
    if path.is_dir():
        session = open_session(path)
        return session, session.video, session.name
    data = load_sequence(path)
    if not len(data):
        raise UserError(f"There is no frame in {path}.")
    if video is None:  # a file names no place, only a video beside it, which may be its own overlay
        beside = path.parent / Path(str(data.meta.get("source", ""))).name
        video = (
            beside
            if beside.suffix.lower() in VIDEOS and beside.is_file() and beside.name != data.meta.get("overlay")
            else None
        )
    return data, video, path.stem


def review(parent: QWidget | None, path: Path, video: Path | None = None) -> Review | None:
    """Show a session or a sequence in a window of its own; None, after a message, where it cannot be opened."""
    try:
        window = Review(*load(path, video), parent)
    except UserError as error:
        QMessageBox.warning(parent, "Review", str(error))
        return None
    window.show()
    return window
