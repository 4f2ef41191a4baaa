"""Measuring the person while they are tracked: a thread that now and then fits the body to the last meshes."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        self._kept_at, self._fresh, self._stop = 0.0, threading.Event(), threading.Event()
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
            self._fresh.set()

    def forget(self) -> None:
        """Another person."""
        self._meshes.clear()
        self.latest = {}

    def close(self) -> None:
        self._stop.set()
        self._fresh.set()
        self._thread.join(0.5)

    def _run(self) -> None:
        import numpy as np

        from lvd_live.body.fit import BodyFitter
        from lvd_live.body.measure import measure

        fitter = BodyFitter(self.tracker.shown_body)
        while self._fresh.wait() and not self._stop.is_set():
            self._fresh.clear()
            fits = list(self._meshes)
            if len(fits) < LEAST:
                continue
            began = time.monotonic()
            try:
                fitted = fitter.fit(
                    np.stack([f.vertices for f in fits]) * np.array([1, -1, -1], np.float32),
                    np.stack([f.vertex_std for f in fits]),
                )
                self.latest = measure(fitter, fitted, self.tracker.options.height) if self._meshes else {}
            except Exception:  # a mesh that cannot be fitted must not end the measuring
                log.warning("the meshes could not be measured", exc_info=True)
            self._stop.wait((time.monotonic() - began) / SHARE)
