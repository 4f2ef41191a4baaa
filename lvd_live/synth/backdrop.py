"""What is behind and in front of a synthetic person, random backdrops and occluders, and what a camera adds."""

from __future__ import annotations

import cv2
import numpy as np

MOST_HIDDEN = 0.45  # of the person's pixels: an occluder that would hide more is left out


def random_backdrop(size: int, rng: np.random.Generator) -> np.ndarray:
    """Blurred fields of colour, some rectangles and noise, for a segmenter to mistake for the person.

    Returns (size, size, 3) uint8 RGB.
    """
    cells = int(rng.choice([1, 2, 3, 5, 9, 17]))
    mean = rng.uniform(0, 255, 3)
    colours = mean + rng.normal(0, rng.uniform(5, 70), (cells, cells, 3))
    interpolation = cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_NEAREST
    picture = cv2.resize(np.clip(colours, 0, 255).astype(np.uint8), (size, size), interpolation=interpolation)
    for _ in range(rng.integers(0, 7)):
        x, y = rng.integers(-size // 4, size, 2).tolist()
        width, height = rng.integers(size // 12, size, 2).tolist()
        colour = rng.uniform(0, 255, 3).tolist()
        thickness = -1 if rng.random() < 0.7 else int(rng.integers(1, 5))
        cv2.rectangle(picture, (x, y), (x + width, y + height), colour, thickness)
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 5)))
    noise = rng.normal(0, rng.uniform(0, 8), (size, size, 1))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def as_by_a_camera(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture (S, S, 3) uint8 RGB with a camera's contrast, blur and noise, and often compressed: the same."""
    contrast, brightness = np.exp(rng.normal(0, 0.12)), rng.normal(0, 8)
    out = (picture.astype(np.float32) - 128) * contrast + 128 + brightness
    if rng.random() < 0.4:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.3, 1.2) * len(picture) / 384))
    out += rng.normal(0, rng.uniform(0, 6), (*picture.shape[:2], 1)).astype(np.float32)
    out = out.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))])[1]
        decoded = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        out = out if decoded is None else decoded
    return out


def random_occluder(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A table, a box or an ellipse in front of the person: (S, S) bool, True where it hides what is behind.

    alpha : (S, S) uint8, the person. At most MOST_HIDDEN of it is hidden, and nothing where there is nobody.
    """
    size = len(alpha)
    rows, columns = np.nonzero(alpha > 128)
    drawn = np.zeros(alpha.shape, np.uint8)
    if not len(rows):
        return drawn > 0
    i = rng.integers(len(rows))
    x, y = int(columns[i]), int(rows[i])
    kind = rng.random()
    if kind < 0.4:  # a table: everything below a tilted line
        slope = rng.normal(0, 0.15)
        level = int(np.quantile(rows, rng.uniform(0.6, 0.95)))
        rise = slope * size / 2
        table = np.array([[0, level - rise], [size, level + rise], [size, size], [0, size]])
        cv2.fillPoly(drawn, [table.astype(np.int32)], 1)
    elif kind < 0.75:
        width, height = rng.integers(size // 16, size // 4, 2).tolist()
        box = cv2.boxPoints(((x, y), (width, height), float(rng.uniform(0, 90))))
        cv2.fillPoly(drawn, [box.astype(np.int32)], 1)
    else:
        axes = tuple(rng.integers(size // 20, size // 7, 2).tolist())
        cv2.ellipse(drawn, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    hidden = drawn > 0
    few_enough = (hidden & (alpha > 128)).sum() < MOST_HIDDEN * len(rows)
    return hidden if few_enough else np.zeros_like(hidden)
