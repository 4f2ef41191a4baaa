"""Between pipeline and window: a thread that colours the mesh and draws it over the picture."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvd_live.gui.shading import MAX_SIDE, Mesh, View, draw_over, plain, top_for, vertex_colours
from lvd_live.gui.smoother import Smoother
from lvd_live.gui.upright import Upright
from lvd_live.pipeline.live import Pipeline, Result
from lvd_live.pipeline.slot import Slot
from lvd_live.resize import shrink_within

if TYPE_CHECKING:
    from lvd_live.tracking.fit import Fit
    from lvd_live.tracking.tracker import Tracker

GREEN = (0, 177, 64)  # RGB, as chroma keys expect it
FOLLOWED = 0.05  # how much of a change of the errors the colours' range takes on with each picture


@dataclass(frozen=True)
class Look:
    """How the mesh is drawn.

    colour : one of `shading.COLOURS`.
    opacity : 0..1.
    mirror : show the picture mirrored.
    smoothing : one of `smoothing.LEVELS`.
    green : the body alone, on green, for programs that cut it out.
    """

    colour: str = "uncertainty"
    opacity: float = 0.65
    mirror: bool = False
    smoothing: str = "off"
    green: bool = False


@dataclass(frozen=True)
class _Painted:
    """The last result, how it was drawn, and its vertices after smoothing: (N, 3) float32, None without a fit."""

    result: Result
    look: Look
    vertices: np.ndarray | None


class Painter:
    """Takes results from a pipeline and draws them, in a thread of its own, until `close`.

    on_painted : called with the painter, in its thread, whenever there is a new View in `views`.
    views : the newest View alone.
    look : may be set at any time; the last result is drawn again where no other comes.
    """

    def __init__(self, pipeline: Pipeline, look: Look, on_painted: Callable[[Painter], None]):
        self.pipeline, self.look, self._on_painted = pipeline, look, on_painted
        self.views: Slot[View[Result]] = Slot(newest=True)
        self._last: _Painted | None = None
        self._smoother, self._upright = Smoother(), Upright()
        self._high_mm = 0.0  # nearly all errors are below it
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, without waiting long for it."""
        self._stop.set()
        self._thread.join(0.3)

    def _run(self) -> None:
        while not self._stop.is_set():
            result = self.pipeline.take(0.1)
            if result is None and self._last is not None and self._last.look != self.look:
                result = self._last.result
            tracker = self.pipeline.tracker
            if result is None or tracker is None:
                self._stop.wait(0.001)  # a closed pipeline answers at once
                continue
            self.views.put(self._paint(result, tracker))
            if not self._stop.is_set():
                with contextlib.suppress(RuntimeError):  # the window is gone
                    self._on_painted(self)

    def _paint(self, result: Result, tracker: Tracker) -> View[Result]:
        look = self.look
        picture, scale = shrink_within(result.frame.picture, MAX_SIDE)
        mesh, opacity, drawn = None, look.opacity, None
        if look.green:
            picture, opacity = plain(picture.shape[1], picture.shape[0], GREEN), 1.0
        if result.frame.new_shot:
            self._upright = Upright()  # another camera
        if result.fit is not None:
            mesh = self._mesh(result, result.fit, tracker, look)
            picture = draw_over(picture, scale, mesh, opacity)
            drawn = mesh.vertices
            mesh = self._upright(mesh, result.frame.timestamp_ns)
        else:
            self._smoother.reset()
            self._upright.new_person()
        self._last = _Painted(result, look, drawn)
        if look.mirror:
            picture = np.ascontiguousarray(picture[:, ::-1])
        height, width = result.frame.picture.shape[:2]
        return View(result, picture, mesh, (width, height), top_for(self._high_mm))

    def _mesh(self, result: Result, fit: Fit, tracker: Tracker, look: Look) -> Mesh:
        """The fit, smoothed, unless it was before, and coloured."""
        if self._last is not None and self._last.result is result and self._last.vertices is not None:
            vertices = self._last.vertices
        else:
            person = result.person
            is_new = person is None or person.is_new
            if is_new:
                self._upright.new_person()
            vertices = self._smoother(fit, look.smoothing, is_new=is_new, warm=tracker.options.warm)
            if person is not None and not fit.doubtful:
                height, width = result.frame.picture.shape[:2]
                self._upright.note(vertices, tracker.joint_regressor, person.landmarks, (width, height))
        expected = tracker.expected_error(fit.vertex_std)
        error_mm = 1000 * (fit.vertex_std if expected is None else expected)
        high = float(np.percentile(error_mm, 95))
        self._high_mm = high if self._high_mm == 0.0 else self._high_mm + FOLLOWED * (high - self._high_mm)
        labels = tracker.shown_body.part_labels.numpy() if look.colour == "body part" else None
        colours = vertex_colours(look.colour, vertices, error_mm, top_for(self._high_mm), labels)
        return Mesh(vertices, tracker.faces, colours, fit.intrinsics)
