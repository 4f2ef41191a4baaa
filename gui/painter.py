"""Between pipeline and window: a thread that colours the mesh and draws it over the picture."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np
from PySide6.QtCore import QObject, Signal

from lvd_live import draw
from lvd_live.body.skeleton import BODY_PARTS, JOINT
from lvd_live.live import Pipeline, Result, Slot
from lvd_live.smoothing import LEVELS, OneEuro

COLOURS = ("uncertainty", "body part", "depth", "plain")
TOPS_MM = (25, 50, 100, 150, 200, 300, 500)  # where the uncertainty's colours may end
MAX_SIDE = 960  # of the picture shown, pixels: more costs time and shows nothing more
PART_COLOURS = np.array([[94, 129, 172], [235, 203, 139], [163, 190, 140], [208, 135, 112], [191, 97, 106], [180, 142, 173], [136, 192, 208], [222, 222, 222]], np.uint8)
COLOUR_MAP = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].copy()


@dataclass(frozen=True)
class Look:
    """How the mesh is drawn. colour: one of COLOURS; opacity 0..1; smoothing: one of `smoothing.LEVELS`."""

    colour: str = "uncertainty"
    opacity: float = 0.65
    mirror: bool = False
    smoothing: str = "off"


@dataclass(frozen=True)
class View:
    """What the window shows of a Result. picture (H, W, 3) uint8 RGB with the mesh on it; vertices (N, 3) metres, camera frame, colours (N, 3) uint8, or None without a fit; error_mm (N,);
    top_mm: where the uncertainty's colours end."""

    result: Result
    picture: np.ndarray
    vertices: np.ndarray | None
    colours: np.ndarray | None
    error_mm: np.ndarray | None
    top_mm: int


def part_index(labels: np.ndarray) -> np.ndarray:
    """Which of BODY_PARTS each vertex belongs to, (N,) int, from the joint that moves it most."""
    of_joint = np.zeros(len(JOINT), int)
    for number, joints in enumerate(BODY_PARTS.values()):
        of_joint[[JOINT[j] for j in joints]] = number
    return of_joint[labels]


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Colours (N, 3) uint8 of values between low and high."""
    return COLOUR_MAP[np.clip((values - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)]


class Painter(QObject):
    """Takes results from a pipeline and draws them: `painted` tells that there is a View in `views`, the newest alone. `look` may be set at any time."""

    painted = Signal()

    def __init__(self, pipeline: Pipeline, look: Look):
        super().__init__()
        self.pipeline, self.look = pipeline, look
        self.views = Slot(newest=True)
        self._filter: OneEuro | None = None
        self._level, self._high = "off", 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            result = self.pipeline.take(0.1)
            if result is None:
                self._stop.wait(0.001)  # a closed pipeline answers at once
                continue
            self.views.put(self.paint(result))
            if not self._stop.is_set():
                self.painted.emit()

    def paint(self, result: Result) -> View:
        """Draw one result."""
        look, fit, tracker = self.look, result.fit, self.pipeline.tracker
        picture, scale = shrink(result.frame.picture)
        vertices = colours = error = None
        if fit is not None:
            vertices = self._smooth(fit.vertices, result, look.smoothing)
            std = tracker.expected_error(fit.vertex_std)
            error = 1000 * (fit.vertex_std if std is None else std)
            high = float(np.percentile(error, 95))
            self._high = high if self._high == 0.0 else self._high + 0.05 * (high - self._high)
            colours = self._colours(look.colour, vertices, error)
            K = fit.intrinsics.copy()
            K[:2] *= scale
            K[:2, 2] += (scale - 1) / 2  # pixel centres on whole numbers
            picture = draw.overlay(picture, vertices, tracker.faces, K, look.opacity, colours)
        elif self._filter is not None:
            self._filter.reset()
        if look.mirror:
            picture = np.ascontiguousarray(picture[:, ::-1])
        return View(result, picture, vertices, colours, error, self._top)

    @property
    def _top(self) -> int:
        return next((top for top in TOPS_MM if top >= self._high), TOPS_MM[-1])

    def _smooth(self, vertices: np.ndarray, result: Result, level: str) -> np.ndarray:
        if level != self._level:
            self._level, self._filter = level, OneEuro(*LEVELS[level]) if LEVELS[level] else None
        if self._filter is None:
            return vertices
        if result.fit.cold:
            self._filter.reset()
        return self._filter(vertices, result.frame.timestamp_ns)

    def _colours(self, mode: str, vertices: np.ndarray, error: np.ndarray) -> np.ndarray:
        if mode == "uncertainty":
            return scaled(error, 0, self._top)
        if mode == "depth":
            return scaled(-vertices[:, 2], *np.percentile(-vertices[:, 2], (1, 99)))
        if mode == "body part":
            return PART_COLOURS[part_index(self.pipeline.tracker.body.part_labels.numpy())]
        return np.broadcast_to(np.uint8(draw.SKIN), vertices.shape)


def shrink(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture at most MAX_SIDE long, and the scale."""
    scale = min(1.0, MAX_SIDE / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, 1.0
    height, width = (max(1, round(s * scale)) for s in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), scale
