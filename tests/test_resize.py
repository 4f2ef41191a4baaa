"""Smaller pictures: no shift, no aliasing, and not in the time that OpenCV's averaging takes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lvd_live.resize import halve, shrink, shrink_within


def ramp(width: int, height: int) -> np.ndarray:
    """(height, width) float32: each pixel's x + y / 2."""
    return (np.arange(width, dtype=np.float32) + 0.5 * np.arange(height, dtype=np.float32)[:, None]).astype(np.float32)


@pytest.mark.parametrize("size", [(320, 180), (641, 360), (960, 540), (448, 252), (1280, 720)])
def test_nothing_moves(size):
    """A pixel's centre (x, y) lies at ((x + 0.5) s - 0.5, …) of the smaller picture."""
    small = shrink(ramp(1280, 720), size)
    x = (np.arange(size[0]) + 0.5) * 1280 / size[0] - 0.5
    y = (np.arange(size[1]) + 0.5) * 720 / size[1] - 0.5
    inner = slice(2, -2)
    np.testing.assert_allclose(small[inner, inner], (x + 0.5 * y[:, None])[inner, inner], atol=0.51)
    assert small.shape == size[::-1]


@pytest.mark.parametrize("size", [(640, 360), (448, 252), (320, 180), (100, 56)])
def test_fine_detail_averages_out(size):
    """A chessboard of single pixels becomes grey, whatever the factor, from two on."""
    board = (np.indices((720, 1280)).sum(0) % 2 * 255).astype(np.uint8)
    assert np.ptp(shrink(board, size).astype(int)) <= 2
    assert abs(int(shrink(board, size)[10, 10]) - 127) <= 1


def test_it_is_close_to_averaging(demo, tmp_path):
    picture = demo(tmp_path / "clip.mp4", 1)[0]
    for size in ((540, 960), (281, 500)):
        averaged = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(float)
        assert np.abs(shrink(picture, size) - averaged).mean() < 2.0


def test_within():
    picture = np.zeros((720, 1280, 3), np.uint8)
    assert shrink_within(picture, 1280) == (picture, 1.0)
    small, scale = shrink_within(picture, 960)
    assert small.shape == (540, 960, 3) and scale == 0.75
    assert shrink_within(np.zeros((1, 4000, 3), np.uint8), 960)[0].shape == (1, 960, 3)


def test_halving_rounds_down_to_one_pixel_at_least():
    assert halve(np.zeros((5, 9, 3), np.uint8), 1).shape == (2, 4, 3)
    assert halve(np.zeros((2, 2), np.float32), 5).shape == (1, 1)
