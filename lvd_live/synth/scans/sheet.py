"""A contact sheet of synthetic scans, to look at."""

from __future__ import annotations

import cv2
import numpy as np

from lvd_live.synth.scans.samples import ScanBatch

TILE = 288  # pixels


def contact_sheet(batch: ScanBatch, columns: int = 6) -> np.ndarray:
    """Each scan from the cube's +z and, beside it, from its +x; nearer points are brighter. uint8 RGB.

    Every fourth vertex of the truth is red.
    """
    tiles = []
    for cloud, vertices in zip(batch.clouds, batch.vertices, strict=True):
        for axes in ((0, 1, 2), (2, 1, 0)):
            sign = np.array([1 if axes[0] == 0 else -1, 1, 1])
            tiles.append(_tile(cloud.numpy()[:, axes] * sign, vertices.numpy()[::4, axes] * sign))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def _tile(cloud: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Points (P, 3), x right, y up, z toward the viewer, in -1..1."""
    picture = np.zeros((TILE, TILE, 3), np.uint8)
    for x, y, z in cloud[cloud[:, 2].argsort()]:
        grey = int(np.clip(90 + 150 * (z + 0.5), 40, 255))
        cv2.circle(picture, _pixel(x, y), 1, (grey, grey, grey), -1)
    for x, y, _ in vertices:
        cv2.circle(picture, _pixel(x, y), 0, (255, 60, 60), -1)
    return picture


def _pixel(x: float, y: float) -> tuple[int, int]:
    return int((x + 1) * TILE / 2), int((1 - y) * TILE / 2)
