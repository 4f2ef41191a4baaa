"""Between pipeline and window: a thread that colours the mesh and draws it over the picture."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lvd_live import render
from lvd_live.gui.shading import PART_COLOURS, View, draw_over, part_index, scaled, shrink, top_for
from lvd_live.pipeline.live import Pipeline, Result
from lvd_live.pipeline.slot import Slot
from lvd_live.tracking.smoothing import LEVELS, OneEuro


@dataclass(frozen=True)
class Look:
    """How the mesh is drawn. colour: one of COLOURS; opacity 0..1; smoothing: one of `smoothing.LEVELS`."""

    colour: str = "uncertainty"
    opacity: float = 0.65
    mirror: bool = False
    smoothing: str = "off"


class Painter:
    """Takes results from a pipeline and draws them: on_painted(self), called in the painter's thread, tells that there is a View in `views`, the newest alone.

    `look` may be set at any time; the last result is drawn again where no other comes.
    """

    def __init__(self, pipeline: Pipeline, look: Look, on_painted: Callable[[Painter], None]):
        self.pipeline, self.look, self._on_painted = pipeline, look, on_painted
        self._last: tuple[Result, Look, np.ndarray | None] | None = None  # the vertices as they were drawn
        self.views = Slot(newest=True)
        self._filter: OneEuro | None = None
        self._level, self._high = "off", 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(0.3)

    def _run(self) -> None:
        while not self._stop.is_set():
            result = self.pipeline.take(0.1)
            if result is None and self._last is not None and self._last[1] != self.look:
                result = self._last[0]
            if result is None:
                self._stop.wait(0.001)  # a closed pipeline answers at once
                continue
            self.views.put(self.paint(result))
            if not self._stop.is_set():
                with contextlib.suppress(RuntimeError):  # the window is gone
                    self._on_painted(self)

    def paint(self, result: Result) -> View:
        """Draw one result."""
        look, fit, tracker = self.look, result.fit, self.pipeline.tracker
        picture, scale = shrink(result.frame.picture)
        vertices = colours = None
        if fit is not None:
            again = self._last is not None and self._last[0] is result
            vertices = self._last[2] if again else self._smooth(fit.vertices, result, look.smoothing)
            std = tracker.expected_error(fit.vertex_std)
            error = 1000 * (fit.vertex_std if std is None else std)
            high = float(np.percentile(error, 95))
            self._high = high if self._high == 0.0 else self._high + 0.05 * (high - self._high)
            colours = self._colours(look.colour, vertices, error)
            picture = draw_over(picture, scale, vertices, tracker.faces, colours, fit.intrinsics, look.opacity)
        elif self._filter is not None:
            self._filter.reset()
        self._last = result, look, vertices
        if look.mirror:
            picture = np.ascontiguousarray(picture[:, ::-1])
        height, width = result.frame.picture.shape[:2]
        return View(
            result,
            picture,
            vertices,
            tracker.faces,
            colours,
            None if fit is None else fit.intrinsics,
            (width, height),
            top_for(self._high),
        )

    def _smooth(self, vertices: np.ndarray, result: Result, level: str) -> np.ndarray:
        if level != self._level:
            self._level, self._filter = level, OneEuro(LEVELS[level]) if LEVELS[level] else None
        if self._filter is None:
            return vertices
        if result.person.is_new or (
            result.fit.cold and self.pipeline.tracker.options.warm
        ):  # without warm starts every fit is cold
            self._filter.reset()
        return self._filter(vertices, result.frame.timestamp_ns)

    def _colours(self, mode: str, vertices: np.ndarray, error: np.ndarray) -> np.ndarray:
        if mode == "uncertainty":
            return scaled(error, 0, top_for(self._high))
        if mode == "depth":
            return scaled(-vertices[:, 2], *np.percentile(-vertices[:, 2], (1, 99)))
        if mode == "body part":
            return PART_COLOURS[part_index(self.pipeline.tracker.shown_body.part_labels.numpy())]
        return np.broadcast_to(np.uint8(render.SKIN), vertices.shape)
