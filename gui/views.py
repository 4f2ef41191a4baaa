"""What the window shows: the picture, the mesh in space, the colour bar, the plots."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
import pyqtgraph as pg
import pyqtgraph.opengl as gl
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QImage, QLinearGradient, QPainter
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui.painter import COLOUR_MAP, PART_COLOURS
from lvd_live import draw
from lvd_live.body.skeleton import BODY_PARTS

STAGE_COLOURS = ("#5e81ac", "#88c0d0", "#a3be8c", "#ebcb8b", "#d08770", "#b48ead", "#8fbcbb")


class PictureView(QWidget):
    """A picture as large as it fits."""

    def __init__(self):
        super().__init__()
        self.setMinimumSize(320, 240)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.picture: np.ndarray | None = None
        self.hint = ""
        self.latencies_ms: deque[float] = deque(maxlen=90)
        self._captured_ns: int | None = None

    def show_picture(self, picture: np.ndarray | None, captured_ns: int | None = None) -> None:
        """picture (H, W, 3) uint8 RGB, or None: the hint alone. captured_ns: time.monotonic_ns() of its capture, for `latencies_ms`, which ends where the picture is drawn."""
        self.picture = None if picture is None else np.ascontiguousarray(picture)
        self._captured_ns = captured_ns
        self.update()

    def paintEvent(self, event) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("#14161a"))
        if self.picture is not None:
            height, width = self.picture.shape[:2]
            image = QImage(self.picture.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            k = min(self.width() / width, self.height() / height)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, k < 1)
            painter.drawImage(QRectF((self.width() - k * width) / 2, (self.height() - k * height) / 2, k * width, k * height), image)
            if self._captured_ns is not None:
                self.latencies_ms.append((time.monotonic_ns() - self._captured_ns) / 1e6)
                self._captured_ns = None
        elif self.hint:
            painter.setPen(QColor("#9aa4b2"))
            painter.drawText(self.rect().adjusted(24, 24, -24, -24), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.hint)


class SpaceView(gl.GLViewWidget):
    """The mesh in space, the floor, and the camera that saw it. Shown: x right, y away from the camera, z up, metres."""

    def __init__(self):
        super().__init__()
        self.setMinimumSize(280, 240)
        self.setBackgroundColor("#1a1d22")
        self.opts["fov"] = 45
        self.follow = True
        self.grid = gl.GLGridItem(color=(90, 98, 110, 110))
        self.grid.setSize(6, 6)
        self.grid.setSpacing(0.5, 0.5)
        self.addItem(self.grid)
        self.frustum = gl.GLLinePlotItem(mode="lines", color=(0.92, 0.8, 0.55, 0.9), width=1.5, antialias=True)
        self.addItem(self.frustum)
        self.mesh: gl.GLMeshItem | None = None
        self._floor: float | None = None
        self.look_from_front()

    def look_from_front(self) -> None:
        """A little above and beside the camera."""
        self.setCameraPosition(distance=2.7, elevation=12, azimuth=-65)

    def show_mesh(self, vertices: np.ndarray | None, faces: np.ndarray, colours: np.ndarray | None, intrinsics: np.ndarray | None = None, size: tuple[int, int] = (4, 3)) -> None:
        """vertices (N, 3) metres, camera frame; colours (N, 3) uint8. None hides the mesh."""
        if vertices is None:
            if self.mesh is not None:
                self.mesh.setVisible(False)
            return
        points = to_space(vertices)
        data = gl.MeshData(vertexes=points, faces=faces, vertexColors=np.column_stack([colours / np.float32(255), np.ones(len(colours), np.float32)]))
        data._vertexNormals = to_space(-draw.vertex_normals(vertices, faces))  # its own are a loop in Python; inward, because its lamp stands behind what it lights
        if self.mesh is None:
            self.mesh = gl.GLMeshItem(meshdata=data, smooth=True, shader="shaded", computeNormals=True)
            self.addItem(self.mesh)
        else:
            self.mesh.setMeshData(meshdata=data)
            self.mesh.setVisible(True)
        low = float(points[:, 2].min())
        self._floor = low if self._floor is None else min(low, self._floor + 0.05 * (low - self._floor))
        middle = points.mean(0)
        self.grid.resetTransform()
        self.grid.translate(round(float(middle[0]) * 2) / 2, round(float(middle[1]) * 2) / 2, self._floor)
        if intrinsics is not None:
            self.frustum.setData(pos=frustum_lines(intrinsics, size))
        if self.follow:
            self.opts["center"] = pg.Vector(*map(float, middle))
        self.update()

    def forget(self) -> None:
        """Another person, another floor."""
        self._floor = None


def to_space(vertices: np.ndarray) -> np.ndarray:
    """OpenCV camera frame (N, 3) -> the view's frame: x right, y away from the camera, z up."""
    return np.ascontiguousarray(np.asarray(vertices, np.float32)[:, [0, 2, 1]] * np.float32([1, 1, -1]))


def frustum_lines(K: np.ndarray, size: tuple[int, int], length: float = 0.35) -> np.ndarray:
    """The camera's pyramid as pairs of points (16, 3), the view's frame."""
    w, h = size
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], float)
    rays = np.column_stack([(corners - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones(4)]) * length
    ends = np.concatenate([[p for ray in rays for p in (np.zeros(3), ray)], [p for i in range(4) for p in (rays[i], rays[(i + 1) % 4])]])
    return to_space(ends)


class ColourBar(QWidget):
    """What the colours mean."""

    def __init__(self):
        super().__init__()
        self.setFixedHeight(44)
        self.shown = ("uncertainty", False, 0)

    def show_mode(self, mode: str, calibrated: bool, top_mm: int) -> None:
        if (mode, calibrated, top_mm) != self.shown:
            self.shown = (mode, calibrated, top_mm)
            self.update()

    def paintEvent(self, event) -> None:
        painter = QPainter(self)
        painter.setPen(QColor("#c8ced8"))
        bar = self.rect().adjusted(10, 4, -10, -26)
        below = self.rect().adjusted(10, 20, -10, 0)
        mode, calibrated, top = self.shown
        if mode == "body part":
            width = bar.width() / len(BODY_PARTS)
            for i, name in enumerate(BODY_PARTS):
                box = QRectF(bar.left() + i * width, bar.top(), width - 2, bar.height())
                painter.fillRect(box, QColor(*map(int, PART_COLOURS[i])))
                painter.drawText(QRectF(box.left(), below.top(), width, below.height()), Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop, name)
        elif mode in ("uncertainty", "depth"):
            gradient = QLinearGradient(bar.left(), 0, bar.right(), 0)
            for stop in np.linspace(0, 1, 9):
                gradient.setColorAt(float(stop), QColor(*map(int, COLOUR_MAP[int(stop * 255)])))
            painter.fillRect(bar, gradient)
            if mode == "depth":
                ends = ("far", "", "near")
            else:
                ends = ("0 mm", "expected error" if calibrated else "spread, standard deviation", f"≥ {top} mm" if top else "")
            for text, side in zip(ends, (Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignRight), strict=True):
                painter.drawText(below, side | Qt.AlignmentFlag.AlignTop, text)


class Plots(QWidget):
    """Time by stage, convergence, fits a second and latency; refreshed a few times a second."""

    def __init__(self):
        super().__init__()
        self.setMinimumWidth(200)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        self.stages = pg.PlotWidget(title="time by stage, ms")
        self.speed = pg.PlotWidget(title="fits a second")
        self.latency = pg.PlotWidget(title="latency, ms")
        self.convergence = pg.PlotWidget(title="step per iteration, half crops")
        for plot in (self.stages, self.convergence, self.speed, self.latency):
            plot.setFixedHeight(95)
            plot.setMinimumWidth(60)
            plot.setMouseEnabled(False, False)
            plot.hideButtons()
            plot.setMenuEnabled(False)
            plot.showGrid(y=True, alpha=0.15)
            layout.addWidget(plot)
        self.legend = QLabel(wordWrap=True)
        layout.insertWidget(1, self.legend)
        self._history: list[tuple[float, float]] = []
        self._curves = [plot.plot(pen=pg.mkPen(colour, width=2)) for plot, colour in ((self.speed, "#a3be8c"), (self.latency, "#ebcb8b"))]
        for plot in (self.speed, self.latency):
            plot.setYRange(0, 10)
            plot.enableAutoRange(axis="y")
            plot.setLimits(yMin=0)
            plot.getAxis("bottom").setStyle(showValues=False)
        self.descent = self.convergence.plot(pen=pg.mkPen("#88c0d0", width=2), symbol="o", symbolSize=5, symbolBrush="#88c0d0")
        self.convergence.setXRange(1, 8)
        layout.addStretch(1)
        self._bars = pg.BarGraphItem(x0=[], y=[], height=0.8, width=[], brushes=[])
        self.stages.addItem(self._bars)
        self.stages.setYRange(-0.4, 0.4)
        self.stages.getAxis("left").setStyle(showValues=False)

    def refresh(self, stages: dict[str, float], fits_per_second: float, latency_ms: float, steps: tuple[float, ...]) -> None:
        """stages: mean ms by name. steps: the last fit's mean displacement per iteration."""
        self._history = [*self._history[-119:], (fits_per_second, latency_ms)]
        for curve, values in zip(self._curves, zip(*self._history, strict=True), strict=True):
            curve.setData(values)
        if not stages:
            return
        ends = np.cumsum(list(stages.values()))
        starts = np.concatenate([[0], ends[:-1]])
        brushes = [pg.mkBrush(STAGE_COLOURS[i % len(STAGE_COLOURS)]) for i in range(len(stages))]
        self._bars.setOpts(x0=starts, y=np.zeros(len(stages)), width=list(stages.values()), height=0.5, brushes=brushes)
        self.stages.setXRange(0, max(float(ends[-1]) * 1.05, 1.0))
        self.legend.setText("  ".join(f"<span style='color:{STAGE_COLOURS[i % len(STAGE_COLOURS)]}'>■ {name}&nbsp;{ms:.0f}</span>" for i, (name, ms) in enumerate(stages.items())))
        self.descent.setData(np.arange(1, len(steps) + 1), steps)
