"""The error to expect of a recorded mesh, by the calibration that its file keeps of the network's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

MOST_KNOTS = 10_000  # of a curve that a file states


class Calibration:
    """From U(v) (Eq. 3), metres, to the error to expect, mm; where a file states no sound curve, to U(v) itself in mm.

    meta : of a sequence or session; its "tracker" may hold "calibration": {"std": [...], "error": [...]}, metres.
    known : whether there is a curve.
    """

    def __init__(self, meta: Mapping[str, Any]):
        tracker = meta.get("tracker")
        stated = tracker.get("calibration") if isinstance(tracker, Mapping) else None
        self._curve = _read_curve(stated)
        self.known = self._curve is not None

    def error_mm(self, vertex_std: np.ndarray) -> np.ndarray:
        """float32 of the same shape as `vertex_std`, metres."""
        std = np.asarray(vertex_std, np.float32)
        if self._curve is not None:
            std = np.interp(std, *self._curve).astype(np.float32)
        return 1000 * std


def _read_curve(stated: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Knots (K,) of std and error, both rising, or None: a file may state anything."""
    try:
        std, error = (np.asarray(stated[name], float) for name in ("std", "error"))
    except (TypeError, KeyError, ValueError):
        return None
    if std.ndim != 1 or std.shape != error.shape or not 0 < len(std) <= MOST_KNOTS:
        return None
    sound = np.isfinite([std, error]).all() and (np.diff(std) >= 0).all() and (np.diff(error) >= 0).all()
    return (std, error) if sound else None
