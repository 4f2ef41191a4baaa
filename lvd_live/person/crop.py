"""The square crop that the body network sees: where it lies, how it stays steady, and its transforms.

The crop frame: x right, y up, half a crop = 1, so the crop's edges are at -1 and +1. A picture point (u, v), in
pixels of the centre convention, is x = (u - cx) / half, y = -(v - cy) / half. Pixel i of a crop of n pixels has its
centre at x = (2 i + 1) / n - 1, row j at y = 1 - (2 j + 1) / n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from lvd_live.person import affine
from lvd_live.person.types import Person

MARGIN = 1.25  # the crop's side over the person's longer side: the person fills 80 %
MASK_LEVEL = 0.5  # a mask pixel above it is the person
MIN_VISIBILITY = 0.0  # landmarks below it are left out: none, because BlazePose's guesses of hidden limbs are sane
MAX_UNSEEN = 2.0  # the crop may be so many times larger than what is visible needs, for limbs beyond the picture
MIN_HALF = 4.0  # pixels: a smaller person is noise

_STILL_SHIFT = 0.08  # of half: the crop stays while the person's square has moved less than this ...
_STILL_SCALE = 0.12  # ... and has changed its size by less than this (natural logarithm of the ratio)
_LAG_SHIFT = 0.15  # of half: what a moving crop may lag behind; the margin of 20 % covers it
_LAG_SCALE = 0.15
_JUMP_SHIFT = 0.6  # of half: a farther move is made at once
_JUMP_SCALE = 0.5
_FOLLOW = 0.3  # of the way, per frame, when the crop moves
_SPECK = 0.05  # a separate piece of mask smaller than this part of the largest is noise


@dataclass(frozen=True, eq=False)
class Crop:
    """A square of the picture, sides along the picture's: centre (2,) float64 in picture pixels, half its side in
    pixels.
    """

    centre: np.ndarray
    half: float

    def T_crop_from_picture(self, size: int) -> np.ndarray:
        """(2, 3) float32: from picture pixels to the pixels of a size x size crop, pixel centres on both sides."""
        k = size / (2 * self.half)
        x, y = size / 2 - 0.5 - k * np.asarray(self.centre, np.float64)
        return np.array([[k, 0, x], [0, k, y]], np.float32)

    def to_unit(self, points: np.ndarray) -> np.ndarray:
        """Picture points (..., 2), pixels, as (..., 2) float64 points of the crop frame."""
        return (np.asarray(points, np.float64) - self.centre) / (self.half, -self.half)

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Crop-frame points (..., 2) as (..., 2) float64 picture pixels: the inverse of `to_unit`."""
        return np.asarray(points, np.float64) * (self.half, -self.half) + self.centre

    def warp(self, picture: np.ndarray, size: int) -> np.ndarray:
        """The crop of an (H, W, 3) uint8 picture, (size, size, 3) uint8; 0 outside the picture."""
        return affine.resample(picture, self.T_crop_from_picture(size), size)

    def warp_mask(self, person: Person, size: int) -> np.ndarray:
        """The person's mask in the crop, (size, size) uint8, 0..255, straight from the mask's own grid."""
        T_crop_from_mask = affine.compose(self.T_crop_from_picture(size), affine.invert(person.T_mask_from_picture))
        levels = cv2.convertScaleAbs(person.mask, alpha=255)
        return affine.resample(levels, T_crop_from_mask, size)


def choose_crop(person: Person, previous: Crop | None) -> Crop:
    """The crop for `person`, steady over time: the previous one while it still fits, unless the person is new."""
    wanted = crop_for_box(mask_box(person.mask, person.T_mask_from_picture), person.landmarks)
    if previous is None or person.is_new:
        return wanted
    return stay_or_move(previous, wanted)


def crop_for_box(
    box: np.ndarray | None,
    landmarks: np.ndarray | None = None,
    *,
    margin: float = MARGIN,
    min_visibility: float = MIN_VISIBILITY,
) -> Crop:
    """The square, with its margin, around a visible person; training data is cropped by this same function.

    box        (4,) x0, y0, x1, y1 of the mask in picture pixels, edges of pixels (see `mask_box`), or None without a
               mask.
    landmarks  (n, 3): x, y in picture pixels, visibility 0..1; those that are not finite, or less visible than
               min_visibility, are left out.
    Hidden limbs and limbs beyond the picture's edge count: the crop reaches for them, up to MAX_UNSEEN times what
    the mask alone needs, and the mask stays inside with its margin. Raises ValueError when neither gives anything to
    put a square around.
    """
    points = np.zeros((0, 2)) if landmarks is None else _credible(np.asarray(landmarks, np.float64), min_visibility)
    if box is not None:
        box = np.asarray(box, np.float64).reshape(2, 2)
        points = np.concatenate([points, box])
    if not len(points):
        raise ValueError("a crop needs a mask box or credible landmarks")
    low, high = points.min(0), points.max(0)
    half = _half(low, high, margin)
    centre = (low + high) / 2
    if box is not None:
        visible_half = _half(box[0], box[1], margin)
        half = min(half, MAX_UNSEEN * visible_half)
        room = half - margin * (box[1] - box[0]) / 2
        middle = box.mean(0)
        centre = np.clip(centre, middle - room, middle + room)
    return Crop(centre, half)


def stay_or_move(previous: Crop, wanted: Crop) -> Crop:
    """The crop after `previous` when `wanted` would be best now: still, moved smoothly, or, after a jump, `wanted`
    itself.
    """
    shift = float(np.abs(wanted.centre - previous.centre).max()) / previous.half
    scale = abs(math.log(wanted.half / previous.half))
    if shift <= _STILL_SHIFT and scale <= _STILL_SCALE:
        return previous
    if shift >= _JUMP_SHIFT or scale >= _JUMP_SCALE:
        return wanted
    step = max(_FOLLOW, 1 - _LAG_SHIFT / max(shift, 1e-9), 1 - _LAG_SCALE / max(scale, 1e-9))
    half = previous.half * (wanted.half / previous.half) ** step
    return Crop(previous.centre + step * (wanted.centre - previous.centre), half)


def mask_box(mask: np.ndarray, T_mask_from_picture: np.ndarray) -> np.ndarray | None:
    """(4,) float32 x0, y0, x1, y1 in picture pixels around the mask (above MASK_LEVEL), to the pixels' edges; None
    if empty.

    mask (h, w) float32 0..1, or uint8 0..255, on its own grid; specks beside the body are left out.
    """
    level = MASK_LEVEL * 255 if mask.dtype == np.uint8 else MASK_LEVEL
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > level).astype(np.uint8))
    if count < 2:
        return None
    areas = stats[1:, cv2.CC_STAT_AREA]
    corners = []
    for label in 1 + np.flatnonzero(areas >= _SPECK * areas.max()):
        corners.append(_row_ends(labels, stats, int(label)))
    in_picture = affine.apply(affine.invert(T_mask_from_picture), np.concatenate(corners))
    return np.concatenate([in_picture.min(0), in_picture.max(0)])


def _row_ends(labels: np.ndarray, stats: np.ndarray, label: int) -> np.ndarray:
    """(n, 2) corners of the outermost pixels of each row of a component: enough to bound it along any axis."""
    x, y, width, height = stats[label, :4]
    inside = labels[y : y + height, x : x + width] == label
    rows = y + np.arange(height)
    left, right = x + inside.argmax(1) - 0.5, x + width - 0.5 - inside[:, ::-1].argmax(1)
    return np.concatenate([np.stack([c, rows + e], -1) for c in (left, right) for e in (-0.5, 0.5)])


def _credible(landmarks: np.ndarray, min_visibility: float) -> np.ndarray:
    return landmarks[(landmarks[:, 2] >= min_visibility) & np.isfinite(landmarks).all(1), :2]


def _half(low: np.ndarray, high: np.ndarray, margin: float) -> float:
    return max(float((high - low).max()) / 2 * margin, MIN_HALF)


def warp_crop(image: np.ndarray, A: np.ndarray, shift: np.ndarray, size: int) -> np.ndarray:
    """A crop (S, S[, 3]) uint8 moved by x' = A x + shift (crop frame) and resampled to `size` pixels."""
    S = len(image)
    if size < 0.75 * S:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        S = size
    to_unit = np.array([[2 / S, 0, 1 / S - 1], [0, -2 / S, 1 - 1 / S], [0, 0, 1]])
    from_unit = np.array([[size / 2, 0, size / 2 - 0.5], [0, -size / 2, size / 2 - 0.5], [0, 0, 1]])
    move = np.eye(3)
    move[:2, :2], move[:2, 2] = A, shift
    return cv2.warpAffine(image, (from_unit @ move @ to_unit)[:2], (size, size), flags=cv2.INTER_LINEAR)
