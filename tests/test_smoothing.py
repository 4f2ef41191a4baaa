"""The One-Euro filter: quieter at rest, its lag as stated, its state as promised. A body's distance: steady."""

import numpy as np
import pytest

from lvd_live.tracking.smoothing import LEVELS, LONGEST_S, Level, OneEuro, SteadyDistance

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


def distances(true, noise=0.0, time_ns=FRAME_NS):
    """The distances that are said of a body at `true` (F,) metres, seen with noise."""
    steady, rng = SteadyDistance(), np.random.default_rng(0)
    seen = true * np.exp(noise * rng.normal(size=len(true)))
    ray = np.array([0.3, -0.1, 0.9]) / np.linalg.norm([0.3, -0.1, 0.9])
    return seen, np.array([z * steady(z * ray, n * time_ns) for n, z in enumerate(seen)])


def test_a_distance_that_shakes_is_held_steady():
    seen, held = distances(np.full(200, 3.0), 0.01)
    assert np.abs(np.diff(held, n=2)).mean() < 0.2 * np.abs(np.diff(seen, n=2)).mean()
    assert np.abs(held - 3)[10:].mean() < 0.8 * np.abs(seen - 3)[10:].mean()


def test_a_body_that_walks_up_is_not_trailed():
    seen, held = distances(4 * np.exp(-0.3 * np.arange(100) * FRAME_NS / 1e9))
    assert np.abs(held - seen)[25:].max() < 0.004
    assert np.abs(held - seen).max() < 0.12  # while it begins to walk


def test_a_series_of_distances_begins_anew_after_a_pause():
    steady, place = SteadyDistance(), np.array([0, 0, 2.0])
    assert steady(place, 0) == 1 and steady(place, FRAME_NS) == pytest.approx(1)
    first = steady(2 * place, 2 * FRAME_NS)
    assert first < 0.8 and steady(2 * place, 2 * FRAME_NS) == first
    assert steady(place, FRAME_NS) == 1  # the clock went back
    assert steady(2 * place, FRAME_NS + round((LONGEST_S + 0.1) * 1e9)) == 1
    steady.reset()
    assert steady(3 * place, 10**12) == 1
    assert np.isfinite(steady(np.zeros(3), 10**12 + FRAME_NS))
