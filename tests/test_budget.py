"""What is left out where a machine cannot keep up: in order, back again in reverse, without swinging to and fro."""

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from lvd_live.cli.parser import make_parser
from lvd_live.gui.status import left_out_text
from lvd_live.person.carried import Carrier
from lvd_live.pipeline.budget import BUDGET_MS, LONGEST_S, ORDER, REGRET_S, UNDER_S, Budget
from lvd_live.pipeline.sparing import SparingFinder
from tests.fakes import FakeFinder, fake_person
from tests.test_live import Source, Tracker, pipeline, wait_until

COSTS = {"uncertainty": 25.0, "outline": 30.0, "3D view": 15.0, "person finder": 20.0, "rest": 40.0}  # ms


class Machine:
    """A pipeline on a machine `slow` times as slow as it should be, by its own clock: latencies by what is left out."""

    def __init__(self, budget_ms=BUDGET_MS):
        self.budget, self.now, self.slow = Budget(budget_ms), 0.0, 1.0
        self.changes = []  # (seconds, level)

    @property
    def latency_ms(self):
        return self.slow * sum(ms for name, ms in COSTS.items() if name not in self.budget.left_out)

    def run(self, seconds, slow, jitter=lambda i: 1.0):
        self.slow, end, i = slow, self.now + seconds, 0
        while self.now < end:
            latency, level = self.latency_ms * jitter(i), self.budget.level
            self.now, i = self.now + latency / 1000, i + 1
            self.budget.note(latency, self.now)
            if self.budget.level != level:
                self.changes.append((self.now, self.budget.level))


def test_nothing_is_left_out_of_what_fits():
    machine = Machine()
    machine.run(60, 0.7)
    assert machine.budget.left_out == () and machine.latency_ms < BUDGET_MS


def test_parts_are_left_out_in_order_until_the_rest_fits():
    machine = Machine()
    machine.run(20, 1.1)  # 143 ms; without uncertainty 115, without outline 82
    assert machine.budget.left_out == ("uncertainty", "outline")
    assert [level for _, level in machine.changes] == [1, 2] and machine.changes[-1][0] < 5
    machine.run(20, 3.0)
    assert machine.budget.left_out == ORDER == ("uncertainty", "outline", "3D view", "person finder")


def test_parts_come_back_in_reverse_order():
    machine = Machine()
    machine.run(20, 3.0)
    machine.changes.clear()
    machine.run(120, 0.5)
    assert [level for _, level in machine.changes] == [3, 2, 1, 0]
    assert all(b[0] - a[0] >= UNDER_S for a, b in zip(machine.changes, machine.changes[1:], strict=False))


def test_what_does_not_fit_is_tried_ever_more_rarely():
    """At this speed one part more or less is on either side of both bounds."""
    machine = Machine()
    machine.run(600, 1.0, jitter=lambda i: 1.0 if machine.budget.level < 2 else 0.8)
    tries = [at for at, level in machine.changes if level == 1][1:]
    gaps = np.diff(tries)
    assert len(tries) > 3 and gaps[-1] > 2 * gaps[0] and gaps[-1] <= LONGEST_S + REGRET_S
    assert sum(level == 1 for _, level in machine.changes) < 20


def test_the_budget_is_an_option():
    budgets = [make_parser().parse_args(["--camera", "0", *given]).budget for given in ([], ["--budget", "250"])]
    assert budgets == [BUDGET_MS, 250.0]
    assert make_parser().parse_args(["--camera", "0", "--budget", "off"]).budget == float("inf")


def test_the_status_line_says_what_is_left_out():
    said = left_out_text(ORDER)
    assert (
        said == ("to keep up: no uncertainty, no outline, 3D view slower, person looked for in every other frame")
        and left_out_text(ORDER[:1]) == "to keep up: no uncertainty"
    )


def test_a_single_slow_frame_changes_nothing():
    machine = Machine()
    machine.run(30, 0.7, jitter=lambda i: 8.0 if i % 20 == 0 else 1.0)
    assert machine.changes == []


def test_a_pause_is_no_time_over_the_budget():
    machine = Machine()
    machine.run(0.4, 0.95)
    machine.now += 60
    machine.run(0.4, 1.3)
    assert machine.changes == []


def test_an_infinite_budget_leaves_nothing_out():
    machine = Machine(float("inf"))
    machine.run(30, 9.0)
    assert machine.changes == []


class HeavyTracker(Tracker):
    """Uncertainty and outline take 60 ms each, the rest 30."""

    left_out = ()

    def step(self, frame, person):
        time.sleep(0.03 + 0.06 * sum(name not in self.left_out for name in ("uncertainty", "outline")))
        return super(Tracker, self).step(frame, person)


def test_a_camera_that_is_too_fast_costs_frames_and_parts_but_no_time():
    tracker = HeavyTracker()
    p, results = pipeline(Source(interval=0.02), live=True, tracker=tracker)
    try:
        wait_until(lambda: p.budget.level >= 1 and tracker.left_out == p.budget.left_out, 15)
        assert tracker.left_out[:1] == ("uncertainty",)
        wait_until(lambda: p.budget.level >= 2 or p.statistics.latency_ms < BUDGET_MS, 15)
        latencies = [(r.done_ns - r.captured_ns) / 1e6 for r in results[3:]]
        late = np.array_split(np.array(latencies), 2)
        assert np.median(late[1]) < 1.5 * np.median(late[0]) + 50  # no queue grows
        assert p.dropped > len(results)
    finally:
        p.close()


def test_a_file_has_all_the_time():
    tracker = HeavyTracker()
    p, results = pipeline(Source(25), live=False, tracker=tracker)
    wait_until(lambda: p.is_over, 20)
    assert len(results) == 25 and p.budget.level == 0
    p.close()


def texture(shift=(0, 0), size=(240, 320)):
    """A speckled square on grey, moved by `shift` pixels."""
    rng = np.random.default_rng(3)
    picture = np.full((*size, 3), 110, np.uint8)
    patch = cv2.resize(rng.integers(0, 255, (40, 40), np.uint8), (150, 150), interpolation=cv2.INTER_CUBIC)
    x, y = 60 + shift[0], 40 + shift[1]
    picture[y : y + 150, x : x + 150] = patch[..., None]
    return picture


def person_on_texture():
    rng = np.random.default_rng(1)
    landmarks = np.column_stack([rng.uniform(80, 190, 33), rng.uniform(60, 170, 33), np.ones(33)]).astype(np.float32)
    T = np.array([[0.5, 0, -20], [0, 0.5, -10]], np.float32)
    return replace(fake_person(landmarks, is_new=True), T_mask_from_picture=T)


def test_a_person_is_carried_where_the_picture_goes():
    carrier, person = Carrier(), person_on_texture()
    carrier.note(texture(), person)
    for shift in ((4, -3), (9, -5)):
        moved = carrier(texture(shift))
        np.testing.assert_allclose(moved.landmarks[:, :2] - person.landmarks[:, :2], [shift] * 33, atol=0.4)
        before = person.T_mask_from_picture @ [100, 100, 1]
        np.testing.assert_allclose(moved.T_mask_from_picture @ [100 + shift[0], 100 + shift[1], 1], before, atol=0.3)
        assert not moved.is_new
    assert carrier(np.full((240, 320, 3), 90, np.uint8)) is None  # another scene
    assert carrier(np.full((120, 160, 3), 90, np.uint8)) is None  # another size


def test_landmarks_outside_the_picture_go_with_the_others():
    person = person_on_texture()
    person.landmarks[5, :2] = (-40, 100)
    carrier = Carrier()
    carrier.note(texture(), person)
    np.testing.assert_allclose(carrier(texture((6, 2))).landmarks[5, :2], (-34, 102), atol=0.5)


@pytest.mark.parametrize(("level", "looks"), [(3, 6), (4, 3)])
def test_the_finder_looks_at_every_other_frame_at_the_last_level(level, looks):
    class Finder(FakeFinder):
        def find(self, picture):
            self.calls += 1
            return person_on_texture()

    finder, budget = Finder(), Budget()
    budget.level = level
    sparing = SparingFinder(finder, budget)
    people = [sparing.find(texture((i, 0))) for i in range(6)]
    assert finder.calls == looks and all(people)
    sparing.reset()
    assert finder.resets == 1 and sparing.find(texture()) is not None and finder.calls == looks + 1
