"""The person of the last picture in the next one, without a look at the whole: landmarks carried by optical flow.

Pyramidal Lucas and Kanade around each landmark, at the size at which the person is about SIDE pixels tall, there and
back; a landmark whose way back ends elsewhere goes with the median of the others. Mask and feature maps go with the
landmarks' similarity transform as a whole. For every other frame of a person finder that is too slow: errors add up.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from lvd_live.person.types import Person
from lvd_live.resize import shrink

SIDE = 160  # pixels, of the person
WINDOW, PYRAMID = (15, 15), 2  # pixels; levels above the first
AGREES = 1.0  # pixels of the small picture: a way back that ends so near
LEAST = 8  # landmarks that must agree


class Carrier:
    """Carries one person from picture to picture. `note` says where the person was, a call where to."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nobody was seen."""
        self._person: Person | None = None
        self._small: np.ndarray | None = None
        self._scale = 1.0

    def note(self, picture: np.ndarray, person: Person | None) -> None:
        """The person in a picture (H, W, 3) uint8 RGB, as the finder has it."""
        if person is None:
            self.forget()
            return
        extent = float(np.ptp(person.landmarks[:, :2], axis=0).max())
        self._person, self._scale = person, min(1.0, SIDE / max(extent, 1.0))
        self._small = _shrink(picture, self._scale)

    def __call__(self, picture: np.ndarray) -> Person | None:
        """The person in the picture after the one noted, or carried to, last; None where too few landmarks are found
        again."""
        person, before = self._person, self._small
        if person is None or before is None:
            return None
        after = _shrink(picture, self._scale)
        if after.shape != before.shape:
            return None
        points = ((person.landmarks[:, :2] + 0.5) * self._scale - 0.5).astype(np.float32)
        there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, None, winSize=WINDOW, maxLevel=PYRAMID)
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, winSize=WINDOW, maxLevel=PYRAMID)
        height, width = before.shape
        inside = np.all((points >= 0) & (points < (width, height)), 1)
        agrees = inside & (found[:, 0] == 1) & (found_back[:, 0] == 1) & (np.abs(back - points).max(1) < AGREES)
        if np.count_nonzero(agrees) < LEAST:
            return None
        shift = (there - points) / self._scale
        shift[~agrees] = np.median(shift[agrees], axis=0)
        landmarks = person.landmarks.copy()
        landmarks[:, :2] += shift
        T = _moved(person.landmarks[agrees, :2], landmarks[agrees, :2], person.T_mask_from_picture)
        self._person = replace(person, landmarks=landmarks, T_mask_from_picture=T, is_new=False)
        self._small = after
        return self._person


def _shrink(picture: np.ndarray, scale: float) -> np.ndarray:
    """(H, W, 3) uint8 RGB as a smaller one, grey; of the same size for pictures of one size."""
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return cv2.cvtColor(shrink(picture, size), cv2.COLOR_RGB2GRAY)


def _moved(before: np.ndarray, after: np.ndarray, T_mask_from_picture: np.ndarray) -> np.ndarray:
    """The affine (2, 3) float32 of a mask whose person's points (P, 2) have moved in the picture: by their similarity
    transform, or by their median where there is none."""
    similarity, _ = cv2.estimateAffinePartial2D(after, before, method=cv2.LMEDS)
    if similarity is None or not np.isfinite(similarity).all():
        similarity = np.column_stack([np.eye(2), np.median(before - after, axis=0)])
    T = np.asarray(T_mask_from_picture, np.float64)
    linear = T[:, :2] @ similarity[:, :2]
    return np.column_stack([linear, T[:, :2] @ similarity[:, 2] + T[:, 2]]).astype(np.float32)
