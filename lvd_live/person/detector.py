"""BlazePose's person detector: where a body is, when there is no previous frame to say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lvd_live.person import affine
from lvd_live.person.roi import Roi, roi_from_points

INPUT_SIZE = 224  # pixels
_CELLS = ((8, 2), (16, 2), (32, 6))  # stride in pixels, anchors per cell
_MIN_SCORE = 0.5
_OVERLAP = 0.3  # intersection over union from which two boxes are one person


@dataclass(frozen=True)
class Detection:
    """A body: its box (4,) x0, y0, x1, y1 and four key points (4, 2), float32 picture pixels; score 0..1.

    Key point 0 is the middle of the hips, 1 the top of the circle that holds the body. The box is the face's.
    """

    box: np.ndarray
    points: np.ndarray
    score: float

    @property
    def roi(self) -> Roi:
        """The square that the landmark network should look at."""
        return roi_from_points(self.points[0], self.points[1])


def make_anchors() -> np.ndarray:
    """(2254, 2) float32: the anchors' centres x, y, in 0..1 of the input, in the order of the network's output."""
    centres = []
    for stride, count in _CELLS:
        n = INPUT_SIZE // stride
        axis = (np.arange(n, dtype=np.float32) + 0.5) / n
        y, x = np.meshgrid(axis, axis, indexing="ij")
        centres.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), count, axis=0))
    return np.concatenate(centres)


def detector_input(picture: np.ndarray, roi: Roi) -> np.ndarray:
    """(1, 224, 224, 3) float32 in -1..1: the square `roi` of an (H, W, 3) uint8 RGB picture, black outside it."""
    pixels = affine.resample(picture, roi.T_grid_from_picture(INPUT_SIZE), INPUT_SIZE)
    return (pixels.astype(np.float32) * (1 / 127.5) - 1)[None]


def decode(raw_boxes: np.ndarray, raw_scores: np.ndarray, anchors: np.ndarray, roi: Roi) -> list[Detection]:
    """Detections, best first, from the network's outputs (2254, 12) and (2254,) float32 for the square `roi`."""
    scores = 1 / (1 + np.exp(-np.clip(raw_scores, -80, 80)))
    keep = np.flatnonzero(scores >= _MIN_SCORE)
    keep = keep[np.argsort(-scores[keep], kind="stable")]
    values, scores, anchors = raw_boxes[keep] / INPUT_SIZE, scores[keep], anchors[keep]
    centre, half = values[:, 0:2] + anchors, values[:, 2:4] / 2
    corners = np.stack([centre - half, centre + half], axis=1)
    points = values[:, 4:].reshape(-1, 4, 2) + anchors[:, None]
    merged = _merge_overlapping(np.concatenate([corners, points], axis=1), scores)
    T = roi.T_picture_from_grid(INPUT_SIZE)
    in_picture = ((affine.apply(T, found * INPUT_SIZE - 0.5), score) for found, score in merged)
    return [Detection(found[:2].reshape(4), found[2:], score) for found, score in in_picture]


def _merge_overlapping(candidates: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Weighted non-maximum suppression of (n, 6, 2) corners and points, sorted by score: overlapping ones are
    averaged.
    """
    merged = []
    while len(candidates):
        same = _iou(candidates[0, :2], candidates[:, :2]) > _OVERLAP
        same[0] = True
        weights = scores[same] / scores[same].sum()
        merged.append((np.tensordot(weights, candidates[same], axes=1), float(scores[0])))
        candidates, scores = candidates[~same], scores[~same]
    return merged


def _iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a (2, 2) box (low corner, high corner) with (n, 2, 2) boxes: (n,)."""
    low, high = np.maximum(box[0], boxes[:, 0]), np.minimum(box[1], boxes[:, 1])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = np.clip(boxes[:, 1] - boxes[:, 0], 0, None).prod(-1)
    return shared / np.maximum(np.clip(box[1] - box[0], 0, None).prod() + areas - shared, 1e-12)
