"""The smoothing of what is shown: when the One-Euro filter begins anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvd_live.tracking.smoothing import LEVELS, OneEuro

if TYPE_CHECKING:
    from lvd_live.tracking.fit import Fit


class Smoother:
    """Filters the meshes of the person tracked, frame after frame, each time at a level of `smoothing.LEVELS`.

    A new time series begins with another level, another person, after `reset`, and with a cold fit; where fits do not
    start from the last mesh, all are cold, and none of them means a new series.
    """

    def __init__(self) -> None:
        self._level = "off"
        self._filter: OneEuro | None = None

    def reset(self) -> None:
        """Begin a new time series."""
        if self._filter is not None:
            self._filter.reset()

    def __call__(self, fit: Fit, level: str, *, is_new: bool, warm: bool) -> np.ndarray:
        """The fit's vertices, filtered: (N, 3) float32, metres, camera frame.

        is_new : the person was not tracked in the frame before.
        warm : fits start from the last mesh.
        """
        if level != self._level:
            kind = LEVELS[level]
            self._level, self._filter = level, None if kind is None else OneEuro(kind)
        if self._filter is None:
            return fit.vertices
        if is_new or (fit.cold and warm):
            self._filter.reset()
        return self._filter(fit.vertices, fit.timestamp_ns)
