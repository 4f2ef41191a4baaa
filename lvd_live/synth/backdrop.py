"""What stands behind and in front of a synthetic person: soft random rooms, and things that hide a part of the body."""

from __future__ import annotations

import cv2
import numpy as np


def random_backdrop(size: int, rng: np.random.Generator) -> np.ndarray:
    """A picture (size, size, 3) uint8 of blurred colour fields, a few boxes and noise: enough for a segmenter to have something to be wrong about."""
    cells = int(rng.choice([1, 2, 3, 5, 9, 17]))
    base = rng.uniform(0, 255, 3)
    field = np.clip(base + rng.normal(0, rng.uniform(5, 70), (cells, cells, 3)), 0, 255).astype(np.uint8)
    picture = cv2.resize(
        field, (size, size), interpolation=cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_NEAREST
    )
    for _ in range(rng.integers(0, 7)):
        x, y = rng.integers(-size // 4, size, 2).tolist()
        w, h = rng.integers(size // 12, size, 2).tolist()
        cv2.rectangle(
            picture,
            (x, y),
            (x + w, y + h),
            rng.uniform(0, 255, 3).tolist(),
            -1 if rng.random() < 0.7 else int(rng.integers(1, 5)),
        )
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 5)))
    return np.clip(picture + rng.normal(0, rng.uniform(0, 8), (size, size, 1)), 0, 255).astype(np.uint8)


def random_occluder(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A boolean (S, S) mask of something in front of the person (table, box, round thing) that hides some, never most, of `alpha` (S, S) uint8."""
    size = len(alpha)
    rows, columns = np.nonzero(alpha > 128)
    hidden = np.zeros(alpha.shape, np.uint8)
    if not len(rows):
        return hidden > 0
    i = rng.integers(len(rows))
    x, y = int(columns[i]), int(rows[i])
    kind = rng.random()
    if kind < 0.4:  # a table: everything below a line, tilted
        slope = rng.normal(0, 0.15)
        low = int(np.quantile(rows, rng.uniform(0.6, 0.95)))
        cv2.fillPoly(
            hidden,
            [
                np.array([[0, low - slope * size / 2], [size, low + slope * size / 2], [size, size], [0, size]]).astype(
                    np.int32
                )
            ],
            1,
        )
    elif kind < 0.75:
        w, h = rng.integers(size // 16, size // 4, 2).tolist()
        cv2.fillPoly(hidden, [cv2.boxPoints(((x, y), (w, h), float(rng.uniform(0, 90)))).astype(np.int32)], 1)
    else:
        axes = tuple(rng.integers(size // 20, size // 7, 2).tolist())
        cv2.ellipse(hidden, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    hidden = hidden > 0
    return hidden if (hidden & (alpha > 128)).sum() < 0.45 * len(rows) else np.zeros_like(hidden)
