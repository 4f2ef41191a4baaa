"""The One-Euro filter: quieter at rest, its lag as stated, its state as promised."""

import numpy as np
import pytest

from lvd_live.tracking.smoothing import LEVELS, Level, OneEuro

FRAME_NS = 40_000_000


def run(smoother, points):
    return np.stack([smoother(p, number * FRAME_NS) for number, p in enumerate(points)])


@pytest.mark.parametrize("level, most", [("low", 0.8), ("high", 0.7)])
def test_noise_at_rest_shrinks(level, most):
    noise = np.random.default_rng(0).normal(0, 0.005, (200, 50, 3)).astype(np.float32)
    assert run(OneEuro(LEVELS[level]), noise)[50:].std() < most * noise.std()


@pytest.mark.parametrize("level", ["low", "high"])
def test_a_slow_movement_comes_through_no_later_than_stated(level):
    speed = 0.005  # m/s
    points = (np.arange(300)[:, None, None] * FRAME_NS / 1e9 * np.array([speed, 0, 0])).astype(np.float32)
    behind = (points - run(OneEuro(LEVELS[level]), points))[-1, 0, 0] / speed
    assert 0.8 * LEVELS[level].lag_ms < 1000 * behind < 1.02 * LEVELS[level].lag_ms


def test_a_quick_movement_lags_less():
    points = (np.arange(300)[:, None, None] * FRAME_NS / 1e9 * np.array([3.0, 0, 0])).astype(np.float32)
    assert (points - run(OneEuro(LEVELS["high"]), points))[-1, 0, 0] / 3 < 0.25 * LEVELS["high"].lag_ms / 1000


def test_depth_is_smoothed_harder_and_does_not_hurry_the_rest():
    noise = np.random.default_rng(0).normal(0, 0.02, (200, 50, 3)).astype(np.float32)
    still = noise * [1, 1, 0]
    smooth = run(OneEuro(LEVELS["high"]), noise)
    assert smooth[50:, :, 2].std() < 0.7 * smooth[50:, :, :2].std()
    np.testing.assert_allclose(smooth[..., :2], run(OneEuro(LEVELS["high"]), still)[..., :2], atol=1e-7)


def test_first_points_and_those_after_a_reset_pass_unchanged():
    smoother = OneEuro(Level((1.0, 0.0), (1.0, 0.0)))
    a, b = np.zeros((4, 3), np.float32), np.ones((4, 3), np.float32)
    assert (smoother(a, 0) == a).all() and (smoother(b, FRAME_NS) < 0.5).all()
    smoother.reset()
    assert (smoother(b, 2 * FRAME_NS) == b).all()


def test_another_clock_begins_anew():
    smoother = OneEuro(Level((1.0, 0.0), (1.0, 0.0)))
    smoother(np.zeros((4, 3), np.float32), FRAME_NS)
    assert (smoother(np.ones((4, 3), np.float32), 0) == 1).all()
