"""The simulated pipelines, on cases that can be worked out by hand."""

import itertools

import numpy as np
import pytest

from lvd_live.bench.pipelines import Cost, file, live
from lvd_live.bench.simulation import Machine, Run, Until


def ends(cores, *actors):
    """When each actor's steps end."""
    machine, times = Machine(cores), {}

    def noted(name, steps):
        yield from steps
        times[name] = machine.now

    machine.run([noted(i, steps) for i, steps in enumerate(actors)], 1e6)
    return [times[i] for i in range(len(actors))]


def cost(decode=0.0, person=0.0, encode=0.0, fit=0.0, draw=0.0, share=0.0):
    return Cost(decode, person, ((encode, share),), ((fit, share),), draw)


def figures(shown, fps_from=2000):
    """Fits a second and latencies once it runs evenly."""
    shown = shown[shown[:, 0] > fps_from]
    return 1000 * (len(shown) - 1) / (shown[-1, 0] - shown[0, 0]), shown[:, 0] - shown[:, 1]


def test_cores_are_shared_fairly():
    assert ends(1, [Run(10)], [Run(10)]) == pytest.approx([20, 20])
    assert ends(2, [Run(10)], [Run(10)]) == pytest.approx([10, 10])
    assert ends(1, [Run(10)], [Run(30)]) == pytest.approx([20, 40])  # half each, then one alone
    assert ends(2, [Run(10, threads=2)], [Run(10)]) == pytest.approx([15, 15])  # three threads on two cores
    assert ends(1, [Until(5), Run(10)], [Run(10)]) == pytest.approx([20, 15])
    assert ends(4, [Run(10, threads=4)]) == pytest.approx([10])


def test_a_wait_that_never_ends_ends_the_run():
    machine = Machine(1)
    machine.run([iter([Run(3), lambda: False, Run(5)])], 1e6)
    assert machine.now == pytest.approx(3)


@pytest.mark.parametrize("threads, takes", [(1, 20), (2, 12.5), (4, 8.75), (1000, 5.015)])
def test_more_threads_take_what_amdahl_says(threads, takes):
    """A quarter cannot be divided."""
    assert file([cost(fit=20, share=0.75)], cores=1000, threads=threads) == pytest.approx(takes)


def test_a_file_on_one_core_takes_the_sum_and_on_two_the_longest_stage():
    frames = [cost(decode=2, person=8, fit=30)] * 50
    assert file(frames, cores=1, threads=1) == pytest.approx(50 * 40)
    assert file(frames, cores=2, threads=1) == pytest.approx(10 + 50 * 30)
    slow_finder = [cost(decode=2, person=38, fit=30)] * 50
    assert file(slow_finder, cores=2, threads=1) == pytest.approx(50 * 40 + 30)


def test_other_programs_take_their_share():
    """Of one core: half while the first person is found or only the fit runs, a third each while both of ours do."""
    frames = [cost(person=10, fit=30)] * 20
    alone, both, left = 10 * 2, 19 * 10 * 3, (20 * 30 - 19 * 10) * 2
    assert file(frames, cores=1, threads=1, busy=1) == pytest.approx(alone + both + left)
    assert file(frames, cores=3, threads=1, busy=1) == pytest.approx(file(frames, cores=2, threads=1))


def test_stages_that_vary_wait_for_each_other_only_as_far_as_is_read_ahead():
    """While one frame is fitted, from 20 to 80, two wait and a third is held, encoded and not; two are looked for
    afterwards."""
    frames = [cost(person=10, fit=60 if i == 1 else 1) for i in range(10)]
    assert file(frames, cores=2, threads=1) == pytest.approx(80 + 2 * 10 + 1)


def test_the_encoder_works_beside_finder_and_fit():
    frames = [cost(decode=2, person=8, encode=20, fit=30)] * 50
    assert file(frames, cores=3, threads=1) == pytest.approx(10 + 20 + 50 * 30)
    assert file(frames, cores=1, threads=1) == pytest.approx(50 * 60)


@pytest.mark.parametrize("encode, fit", [(30, 30), (5, 55), (55, 5), (40, 20)])
def test_live_the_encoder_raises_the_rate_and_leaves_the_latency(encode, fit):
    """With cores enough; one frame after the other it is 1,000 / 60 a second."""
    costs = [cost(decode=1, person=10, encode=encode, fit=fit)]
    rate, latency = figures(live(costs, cores=8, threads=1, fps=1000 / 7, ahead=True))
    assert rate == pytest.approx(1000 / max(encode, fit), rel=0.02)
    one_by_one = figures(live(costs, cores=8, threads=1, fps=1000 / 7, ahead=False))
    assert one_by_one[0] == pytest.approx(1000 / 60, rel=0.02)
    assert np.median(latency) < np.median(one_by_one[1]) + 0.15 * max(encode, fit) + 1


def test_live_one_core_shows_what_the_sum_of_the_stages_allows():
    rate, latency = figures(live([cost(decode=2, person=20, fit=60, draw=18)], cores=1, threads=1, fps=60, ahead=False))
    busy = 60 * 2 / 1000  # the camera decodes every frame, whether it is shown or not
    assert rate == pytest.approx(1000 * (1 - busy) / (20 + 60 + 18), rel=0.05)
    assert latency.min() >= 100


def test_live_two_cores_show_what_the_longest_stage_allows():
    """Decoding and finding fit into the other core, where a decoding slows three threads to two thirds."""
    rate, latency = figures(live([cost(decode=1, person=20, fit=60)], cores=2, threads=1, fps=1000 / 7, ahead=False))
    assert rate == pytest.approx(1000 / 61.5, rel=0.01)
    frame, reserve = 7, 0.15 * 61.5  # what may be waited for: the next frame, and the fit (`Lead`)
    assert 81 <= latency.min() and latency.max() <= 1.5 + frame + 21.5 + reserve + 61.5


def test_live_is_never_faster_than_its_camera_and_then_as_late_as_the_stages_are_long():
    rate, latency = figures(live([cost(decode=1, person=8, fit=12, draw=3)], cores=4, threads=1, fps=30, ahead=False))
    assert rate == pytest.approx(30, rel=0.01)
    np.testing.assert_allclose(latency, 24, atol=1e-6)


def test_more_cores_and_threads_never_hurt_as_long_as_there_are_cores_for_them():
    costs = [cost(decode=3, person=30, fit=fit, draw=10, share=0.6) for fit in (30, 45, 60)]
    settings = [(1, 1), (2, 1), (4, 2), (8, 4), (16, 4)]
    rates = [figures(live(costs, cores=c, threads=t, fps=60, ahead=c >= 4))[0] for c, t in settings]
    times = [file(costs * 20, cores=c, threads=t) for c, t in settings]
    assert all(a <= b + 0.3 for a, b in itertools.pairwise(rates)) and all(a >= b for a, b in itertools.pairwise(times))
