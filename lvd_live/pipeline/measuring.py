"""Measuring the person while they are tracked: a thread that now and then fits the body to the last meshes."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lvd_live.body.fit import BodyFitter, Fitted
    from lvd_live.body.measure import Measurement
    from lvd_live.tracking.fit import Fit
    from lvd_live.tracking.tracker import Tracker

log = logging.getLogger(__name__)

EVERY_S = 1.0  # a mesh is kept
MESHES = 6  # of which the shape is common
LEAST = 3
SHARE = 0.05  # of the time, at most, that measuring takes


class Measurer:
    """Measures whom `tracker` tracks, from the fits that it is offered.

    latest : the person's `body.measure.NAMES`, empty while nothing is known, or for a body that cannot be measured.
    on : whether it measures.
    """

    def __init__(self, tracker: Tracker):
        self.tracker, self.on = tracker, True
        self.latest: dict[str, Measurement] = {}
        self._meshes: deque[Fit] = deque(maxlen=MESHES)
        self._fitted: Fitted | None = None  # to the meshes, when they were measured last
        self._person = 0  # how often another was announced
        self._kept_at, self._woken, self._stop = 0.0, threading.Event(), threading.Event()
        self._height_changed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="measurer", daemon=True)
        self._thread.start()

    def offer(self, fit: Fit | None) -> None:
        """Quick: one mesh a second is kept."""
        now = time.monotonic()
        if (
            self.on
            and fit is not None
            and not (fit.cold and self.tracker.options.warm)
            and now - self._kept_at >= EVERY_S
        ):
            self._meshes.append(fit)
            self._kept_at = now
            self._woken.set()

    def forget(self) -> None:
        """Another person."""
        self._person += 1
        self._meshes.clear()
        self._fitted, self.latest = None, {}

    def rescale(self) -> None:
        """The tracker's height is another: `latest` follows at once, or is empty until it is measured without one."""
        self._meshes.clear()  # they have the old scale
        if self.tracker.options.height is None:
            self.forget()
        self._height_changed.set()
        self._woken.set()

    def close(self) -> None:
        self._stop.set()
        self._woken.set()
        self._thread.join(0.5)

    def _run(self) -> None:
        from lvd_live.body.fit import BodyFitter

        fitter, due = BodyFitter(self.tracker.shown_body), 0.0
        while self._woken.wait() and not self._stop.is_set():
            self._woken.clear()
            if self._height_changed.is_set():
                self._height_changed.clear()
                self._measure(fitter)
            fits = list(self._meshes)
            if len(fits) < LEAST or time.monotonic() < due:  # a mesh a second wakes this again
                continue
            began = time.monotonic()
            self._fit(fitter, fits)
            self._measure(fitter)
            due = time.monotonic() + (time.monotonic() - began) / SHARE

    def _fit(self, fitter: BodyFitter, fits: list[Fit]) -> None:
        import numpy as np

        person = self._person
        meshes = np.stack([f.vertices for f in fits]) * np.array([1, -1, -1], np.float32)
        try:
            fitted = fitter.fit(meshes, np.stack([f.vertex_std for f in fits]))
        except Exception:  # a mesh that cannot be fitted must not end the measuring
            log.warning("the meshes could not be measured", exc_info=True)
            return
        self._fitted = fitted if person == self._person else None

    def _measure(self, fitter: BodyFitter) -> None:
        from lvd_live.body.estimate import estimate

        if (fitted := self._fitted) is None:
            return
        try:
            found = estimate(fitter, fitted, self.tracker.options.height)
        except Exception:
            log.warning("the meshes could not be measured", exc_info=True)
            return
        self.latest = found if self._fitted is fitted else {}
