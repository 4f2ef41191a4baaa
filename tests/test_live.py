"""The live pipeline: order, drops, pausing, trouble and closing, with stand-ins for source, finder and tracker."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.pipeline import live
from lvd_live.pipeline.lead import SHARE, Lead
from lvd_live.pipeline.live import Pipeline
from lvd_live.pipeline.slot import Slot
from lvd_live.sources.frame import Frame
from lvd_live.tracking.smoothing import LEVELS, OneEuro
from tests.fakes import FakeFinder, FakeSource, FakeTracker


class Source(FakeSource):
    """Frames as fast as they are asked for, or every `interval` seconds."""

    def __init__(self, count=10_000, interval=0.0):
        super().__init__(count, fps=30.0)
        self.count, self.interval, self.closed = count, interval, False

    def close(self):
        self.closed = True

    def __iter__(self):
        for index in range(self.count):
            if self.closed:
                return
            time.sleep(self.interval)
            yield Frame(np.zeros((48, 64, 3), np.uint8), index, time.monotonic_ns())


class Tracker(FakeTracker):
    def __init__(self, seconds=0.0):
        super().__init__()
        self.seconds = seconds

    def step(self, frame, person):
        time.sleep(self.seconds)
        return super().step(frame, person)


@pytest.fixture(autouse=True, params=[False, True], ids=["", "ahead"])
def ahead(request, monkeypatch):
    """With few cores, and with many, as where the next frame is encoded while one is fitted."""
    monkeypatch.setattr(live, "encodes_ahead", lambda: request.param)
    return request.param


def wait_until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def pipeline(source, *, live, tracker=None, finder=None, stills=False):
    results = []
    made = Pipeline(
        lambda: source,
        lambda: finder or FakeFinder(),
        lambda: tracker or Tracker(),
        live=live,
        stills=stills,
        on_result=results.append,
    )
    return made, results


def test_a_camera_that_opens_late_does_not_hide_why_nothing_comes():
    opened = threading.Event()

    def open_late():
        opened.wait(5)
        return Source(5)

    def no_finder():
        raise UserError("There is no finder.")

    p = Pipeline(open_late, no_finder, Tracker, live=True)
    wait_until(lambda: p.state == "failed")
    opened.set()
    wait_until(lambda: p.source is not None)
    assert p.problem == "There is no finder." and p.state == "failed"
    p.close()


def test_every_frame_of_a_file_in_order():
    source = Source(40)
    p, results = pipeline(source, live=False, tracker=Tracker(0.001))
    wait_until(lambda: len(results) == 40)
    assert [r.frame.index for r in results] == list(range(40)) and p.dropped == 0 and source.closed
    wait_until(lambda: p.state == "ended")
    assert p.statistics.fits_per_second > 5 and set(p.statistics.stages) == {"person", "descent"}
    p.close()


def test_the_newest_picture_of_a_camera_wins():
    p, results = pipeline(Source(interval=0.002), live=True, tracker=Tracker(0.03))
    wait_until(lambda: len(results) >= 12)
    indices = [r.frame.index for r in results]
    assert indices == sorted(indices) and indices[-1] > 3 * len(indices) and p.dropped > 0
    assert p.statistics.latency_ms < 150  # nothing queues up
    p.close()
    wait_until(lambda: not any(t.is_alive() for t in p.threads))


def test_every_new_person_reaches_the_tracker():
    class Finder(FakeFinder):
        def find(self, picture):
            person = super().find(picture)
            object.__setattr__(person, "is_new", self.calls % 7 == 1)
            return person

    finder = Finder()
    p, results = pipeline(Source(interval=0.001), live=True, tracker=Tracker(0.01), finder=finder)
    wait_until(lambda: len(results) > 30)
    p.close()
    assert [r.person.is_new for r in results] == [i % 7 == 0 for i in range(len(results))]


def test_another_size_of_picture_is_another_scene():
    class Turning(Source):
        def __iter__(self):
            for index in range(9):
                yield Frame(np.zeros((48, 64, 3) if index < 5 else (64, 48, 3), np.uint8), index, index * 1_000_000)

    finder, tracker = FakeFinder(), Tracker()
    p, results = pipeline(Turning(), live=False, tracker=tracker, finder=finder)
    wait_until(lambda: len(results) == 9)
    assert (
        finder.resets == 2 and tracker.resets == 2 and [r.fit.cold for r in results] == [i in (0, 5) for i in range(9)]
    )
    p.close()


def test_pictures_of_a_folder_are_cold_starts_one_by_one():
    tracker, finder = Tracker(), FakeFinder()
    p, results = pipeline(Source(4), live=False, tracker=tracker, finder=finder, stills=True)
    wait_until(lambda: len(results) == 4)
    assert all(r.fit.cold for r in results) and finder.resets == 4
    p.close()


def test_a_file_plays_at_its_own_pace():
    class Film(Source):
        def __iter__(self):
            for index in range(12):
                time.sleep(0.1 if index == 3 else 0.0)  # one frame is slow to decode
                yield Frame(np.zeros((48, 64, 3), np.uint8), index, index * 40_000_000)

    p, results = pipeline(Film(), live=False, tracker=Tracker(0.002))
    wait_until(lambda: len(results) == 12)
    at = np.array([r.captured_ns for r in results]) / 1e9
    assert (np.diff(at) > 0.035).all() and 0.45 < at[-1] - at[0] < 0.75  # what was late is not made up for in a hurry
    p.close()


def test_another_tracker_without_another_source():
    first, second = Tracker(), Tracker()
    source = Source(interval=0.005)
    p, results = pipeline(source, live=True, tracker=first)
    wait_until(lambda: len(results) > 2)
    p.use(lambda: second)
    wait_until(lambda: p.tracker is second)
    count = len(results)
    wait_until(lambda: len(results) > count + 2)
    assert not source.closed and second.fitted

    def refuse():
        raise UserError("There are no weights.")

    p.use(refuse)
    notices = []
    wait_until(lambda: notices.append(p.take_notice()) or notices[-1])
    assert (
        notices[-1] == "There are no weights." and not p.take_notice() and p.tracker is second and p.state == "running"
    )
    p.close()


def test_pause_step_and_reset():
    tracker = Tracker()
    p, results = pipeline(Source(interval=0.002), live=True, tracker=tracker)
    wait_until(lambda: len(results) > 3)
    p.paused = True
    time.sleep(0.15)
    count = len(results)
    time.sleep(0.15)
    assert len(results) == count and p.state == "paused"
    p.step()
    wait_until(lambda: len(results) == count + 1)
    time.sleep(0.1)
    assert len(results) == count + 1
    before = tracker.resets
    p.reset()
    p.paused = False
    wait_until(lambda: tracker.resets == before + 1)
    p.close()


def test_trouble_becomes_a_sentence(monkeypatch):
    def refuse():
        raise UserError("No camera 3 could be opened.")

    p = Pipeline(refuse, FakeFinder, Tracker, live=False)
    wait_until(lambda: p.problem)
    assert p.problem == "No camera 3 could be opened." and p.state == "failed"
    p.close()

    attempts = []

    def busy():
        attempts.append(1)
        if len(attempts) < 3:
            refuse()
        return Source(interval=0.01)

    monkeypatch.setattr(live, "RETRY_S", 0.2)
    results = []
    p = Pipeline(busy, FakeFinder, Tracker, live=True, on_result=results.append)  # a camera is tried again
    wait_until(lambda: p.problem)
    assert p.state == "retrying"
    wait_until(lambda: results)
    assert p.state == "running"
    assert len(attempts) == 3 and not p.problem
    p.close()

    class Broken(FakeFinder):
        def find(self, picture):
            raise ZeroDivisionError("oh")

    p, _ = pipeline(Source(interval=0.002), live=True, finder=Broken())
    wait_until(lambda: p.problem)
    assert "ZeroDivisionError" in p.problem
    p.close()


@pytest.mark.parametrize("live", [True, False])
def test_closing_is_quick_whatever_happens(live):
    class Hanging(Source):
        def __iter__(self):
            yield Frame(np.zeros((4, 4, 3), np.uint8), 0, 0)
            threading.Event().wait(30)

    for source in (Source(), Source(interval=0.01), Hanging()):
        p, _ = pipeline(source, live=live, tracker=Tracker(0.05))
        time.sleep(0.1)
        began = time.monotonic()
        p.close()
        assert time.monotonic() - began < 2.0


def test_a_slot_keeps_order_when_it_waits():
    slot, taken = Slot(newest=False), []
    thread = threading.Thread(target=lambda: [taken.append(slot.take()) for _ in range(5)])
    thread.start()
    for i in range(1, 6):
        slot.put(i)
    thread.join(2)
    assert taken == [1, 2, 3, 4, 5] and slot.dropped == 0


def test_one_euro_smooths_what_stands_and_follows_what_moves():
    rng = np.random.default_rng(0)
    filters = {level: OneEuro(LEVELS[level]) for level in ("low", "high")}
    still = {
        level: np.stack([f(rng.normal(0, 0.01, (200, 3)), i * 33_000_000) for i in range(90)])[30:]
        for level, f in filters.items()
    }
    assert still["high"].std() < 0.8 * still["low"].std() and still["low"].std() < 0.7 * 0.01
    for f in filters.values():
        f.reset()
        for i in range(60):
            late = np.float32([0.033 * i * 2, 0, 0]) - f(np.full((1, 3), 0.033 * i * 2) * [1, 0, 0], i * 33_000_000)[0]
        assert abs(late[0]) < 2 * 0.05  # at 2 m/s less than 50 ms behind
    assert 0 < LEVELS["low"].lag_ms < LEVELS["high"].lag_ms


def test_the_person_is_looked_for_just_in_time():
    class Warm(Tracker):
        def step(self, frame, person):
            return replace(super().step(frame, person), cold=False)

    p, results = pipeline(Source(interval=0.005), live=True, tracker=Warm(0.15))
    wait_until(lambda: len(results) >= 14)
    p.close()
    ages = [r.done_ns - r.captured_ns for r in results[8:]]
    assert np.median(ages) / 1e6 < 240  # of two fits one after the other: 300


def test_expectations_follow_what_was_measured():
    lead = Lead()
    lead.found(0.02)
    assert lead.wait_s == 0
    lead.fitted(0.1)
    assert lead.wait_s == pytest.approx(SHARE * 0.1 - 0.02)
    for _ in range(50):
        lead.found(0.2)
    assert lead.wait_s == 0  # the fit waits for the finder
    for _ in range(50):
        lead.fitted(0.4)
    assert lead.wait_s == pytest.approx(SHARE * 0.4 - 0.2, rel=0.01)
