"""Where one shot ends and another begins: nothing of the person can be carried across."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

_SMALL = (32, 18)  # width and height, pixels, at which pictures are compared
_STRIDED = 320  # pixels of the longer side that are looked at
_FLAT = 4.0  # grey levels of deviation: a picture with less, such as black, is of no shot
_LIKE = 0.65  # correlation of two pictures of one shot; light that changes leaves it high, a person fills but a part
_SAME, _SAME_SHARE = 12.0, 0.45  # grey levels; the share of a picture that may stay so much alike across a cut
_DIFFERENCE = 12.0  # grey levels, mean
_TIMES_USUAL = 3.0  # a cut changes so many times as much as the pictures before it did: a camera that pans does not
_LOOK_BACK = 8  # pictures


class CutFinder:
    """Tells, picture after picture, where a shot begins: ask `is_cut` with each in turn."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._recent: deque[float] = deque(maxlen=_LOOK_BACK)

    def is_cut(self, picture: np.ndarray) -> bool:
        """Whether (H, W, 3) uint8 RGB begins another shot than the picture before it; the first one does not."""
        small = _shrink(picture)
        if small.std() < _FLAT:
            return False
        last, self._last = self._last, small
        if last is None:
            return False
        differences = np.abs(small - last)
        difference, same = float(differences.mean()), float((differences < _SAME).mean())
        usual = float(np.median(self._recent)) if self._recent else 0.0
        is_large = difference > max(_DIFFERENCE, _TIMES_USUAL * usual)
        if is_large and same < _SAME_SHARE and _correlation(small, last) < _LIKE:
            self._recent.clear()
            return True
        self._recent.append(difference)
        return False


def _shrink(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 as _SMALL grey levels, float32."""
    step = max(max(picture.shape[:2]) // _STRIDED, 1)
    grey = cv2.cvtColor(np.ascontiguousarray(picture[::step, ::step]), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, _SMALL, interpolation=cv2.INTER_AREA).astype(np.float32)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-6))
