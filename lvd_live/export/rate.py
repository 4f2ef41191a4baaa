"""At how many frames per second a take is exported, and whether its own frames can be kept."""

from __future__ import annotations

import numpy as np

DEFAULT_FPS = 30.0
_SLOWEST, _FASTEST = 10.0, 240.0  # rates of ordinary video
_EVEN_SHARE, _EVEN_FRAMES = 0.9, 0.08  # of the steps; how far from a whole number of frames one may be
SNAP = 0.25  # frames: how far a frame of an even take may lie from the grid and still be taken for one of it
_SAME = 0.005  # frames per second: two rates that differ by less are one, such as 29.97 and 30000/1001


def own_rate(fps: float, seconds: np.ndarray) -> float:
    """The frames per second of the grid where nobody asks for others.

    The take's own for ordinary video: 23.976, 25, 29.97. A slow take whose frames lie unevenly, as a camera's do, gets
    DEFAULT_FPS. fps : as the take states them, 0 where unknown. seconds : (T,) of its tracked frames, rising.
    """
    if DEFAULT_FPS <= fps <= _FASTEST or (_SLOWEST <= fps < DEFAULT_FPS and is_even(fps, seconds)):
        return float(fps)
    return DEFAULT_FPS


def is_even(fps: float, seconds: np.ndarray) -> bool:
    """Whether nearly all frames are whole numbers of 1/fps apart, to the millisecond that some files round to."""
    if fps <= 0 or len(seconds) < 2:
        return False
    steps = np.diff(seconds) * fps
    allowed = max(_EVEN_FRAMES, 0.0011 * fps)
    return bool((np.abs(steps - np.maximum(np.round(steps), 1)) <= allowed).mean() >= _EVEN_SHARE)


def tolerance(rate: float, fps: float, seconds: np.ndarray) -> float:
    """Seconds that a frame may lie beside the grid at `rate` and be kept as it is: SNAP where the rate is the take's.

    A take of another rate, or with uneven steps, is interpolated: only frames on the grid itself are kept.
    """
    return SNAP / rate if abs(rate - fps) < _SAME and is_even(fps, seconds) else 1e-6


def resampled(rate: float, fps: float, seconds: np.ndarray, kept: np.ndarray) -> str:
    """A sentence where frames had to be interpolated; empty where nearly all of the grid's are the take's own.

    kept : (F,) bool, the grid's frames that are the take's.
    """
    if len(seconds) < 2 or kept.mean() > 0.95:
        return ""
    own = (len(seconds) - 1) / (seconds[-1] - seconds[0]) if fps <= 0 or not is_even(fps, seconds) else fps
    return f"The take's {own:.5g} frames per second were resampled to {rate:.5g}."
