"""Every frame of the camera is recorded; those that the tracker had no time for are fitted afterwards."""

import threading
import time
import zipfile

import numpy as np
import pytest

from lvd_live.cli import tools
from lvd_live.errors import UserError, run_cli
from lvd_live.pipeline import completion
from lvd_live.pipeline.completion import complete
from lvd_live.pipeline.live import Pipeline
from lvd_live.session import segments
from lvd_live.session.layout import list_segments
from lvd_live.session.library import list_sessions
from lvd_live.session.reader import open_session
from lvd_live.session.recorder import Recorder
from lvd_live.session.recover import recover
from lvd_live.sources import CameraSource
from tests.fakes import FACES, FakeFinder, FakeTracker
from tests.mjpeg import Camera
from tests.recording import FPS, make_fit, make_frame, make_person, record

PERIOD_S = 0.1  # of a fit on a slow machine


class SlowTracker(FakeTracker):
    """Ten fits a second."""

    def step(self, frame, person):
        time.sleep(PERIOD_S)
        return super().step(frame, person)


def record_every_frame(root, count=60, fitted=range(0, 60, 3), late=2):
    """A session of `count` pictures, `fitted` of which were fitted, each `late` frames after its picture."""
    recorder = Recorder(root, "walk", faces=FACES, meta={}, fps=FPS, every_frame=True)
    for index in range(count):
        recorder.see(make_frame(index))
        if index - late in fitted:
            recorder.add(make_frame(index - late), make_person(index - late), make_fit(index - late))
        while recorder.waiting > 2 and not recorder.problem:
            time.sleep(0.001)
    recorder.stop()
    return recorder


@pytest.mark.slow
def test_a_slow_machine_ends_with_every_frame_of_the_camera(tmp_path):
    camera = Camera([np.full((240, 320, 3), 40 + i, np.uint8) for i in range(100)], fps=30)
    recorder = Recorder(tmp_path, "walk", faces=FACES, meta={}, fps=30, every_frame=True)
    results, given = [], []

    def on_result(result):
        results.append(result)
        recorder.add(result.frame, result.person, result.fit)

    def on_frame(frame):
        given.append(frame.index)
        recorder.see(frame)

    make_source = lambda: CameraSource(camera.url)  # noqa: E731 - as the pipeline wants it
    pipeline = Pipeline(make_source, FakeFinder, SlowTracker, live=True, on_result=on_result, on_frame=on_frame)
    while len(given) < 150:
        time.sleep(0.05)
    recorder.stop(patience_s=1.0)
    pipeline.close()
    camera.close()
    live = open_session(recorder.path)
    sent = np.arange(live.frame_index[0], live.frame_index[-1] + 1)
    assert len(live) >= 149 and 0.25 < live.fitted.mean() < 0.45  # ten of thirty
    assert list_sessions(tmp_path)[0].unfitted == (~live.fitted).sum()

    done = complete(recorder.path, FakeFinder(), FakeTracker())
    session = open_session(recorder.path)
    assert done.left == 0 and done.filled == (~live.fitted).sum() and list_sessions(tmp_path)[0].unfitted == 0
    assert session.tracked.mean() == 1 and len(np.intersect1d(session.frame_index, sent)) >= 0.99 * len(sent)
    steps = np.diff(session.timestamps_ns) / 1e6
    assert abs(np.median(steps) - 1000 / 30) < 4 and (steps > 100).sum() <= 2  # the camera's own rate


def test_late_fits_find_their_pictures(tmp_path):
    recorder = record_every_frame(tmp_path)
    session = open_session(recorder.path)
    assert session.frame_index.tolist() == list(range(60)) and not recorder.problem and recorder.lost == 0
    assert np.flatnonzero(session.fitted).tolist() == np.flatnonzero(session.tracked).tolist() == list(range(0, 60, 3))
    assert recorder.unfitted == 40 and (session.video_ms >= 0).all()
    for row in (0, 3, 57):
        assert np.abs(session.vertices[row] - make_fit(row).vertices).max() < 1e-4
    assert [frame.index for _, frame in session.frames()] == list(range(60))


def test_what_waits_is_fitted_and_what_was_fitted_stays(tmp_path):
    path = record_every_frame(tmp_path, fitted=[*range(0, 30, 3), *range(40, 60)]).path
    before, seen, stays = open_session(path), [], [0, *range(41, 58)]
    waiting = int((~before.fitted).sum())
    done = complete(path, FakeFinder(), FakeTracker(), progress=lambda *now: seen.append(now))
    after = open_session(path)
    assert done.filled == waiting and done.left == 0 and seen[-1] == (waiting, waiting)
    assert after.fitted.all() and after.tracked.all()
    for row in range(60):  # live and afterwards, the stand-ins place the person of a frame in ways of their own
        moved = 0.013 * row if row in stays else 0.01 * row
        assert abs(after.vertices[row][:, 0].mean() - moved) < 2e-4, row
    assert [before.vertices[row][:, 0].mean() for row in (0, 57)] == pytest.approx([0, 0.013 * 57], abs=2e-4)
    assert not before.vertices[1].any()  # a session that was open meanwhile is what it was
    assert complete(path, FakeFinder(), FakeTracker()).filled == 0


def test_it_goes_on_where_it_was_stopped(tmp_path):
    path, stop = record_every_frame(tmp_path).path, threading.Event()
    done = complete(
        path, FakeFinder(), FakeTracker(), stop=stop, progress=lambda done, total: stop.set() if done == 17 else None
    )
    partial, info = open_session(path), list_sessions(tmp_path)[0]
    assert (done.filled, done.left) == (17, 23) and info.unfitted == 23 and (~partial.fitted).sum() == 23
    assert partial.fitted[:25].all()
    done = complete(path, FakeFinder(), FakeTracker())
    assert done.filled == 23 and open_session(path).tracked.all() and list_sessions(tmp_path)[0].unfitted == 0


def test_frames_with_nobody_are_not_asked_for_again(tmp_path):
    path = record_every_frame(tmp_path).path
    done = complete(path, FakeFinder(missing=range(1000)), FakeTracker())
    session = open_session(path)
    assert done.left == 0 and session.fitted.all() and session.tracked.sum() == 20


def test_a_long_wait_for_a_fit_costs_a_crash_no_more_than_two_seconds(tmp_path):
    recorder = Recorder(tmp_path, "walk", faces=FACES, meta={}, fps=FPS, every_frame=True)
    for index in range(5 * FPS):
        recorder.see(make_frame(index))
        while recorder.waiting > 2:
            time.sleep(0.001)
    kept = sum(len(segments.read_segment(path)) for path in list_segments(recorder.path))
    assert kept >= 5 * FPS - 2.6 * FPS
    recorder.add(make_frame(10), make_person(10), make_fit(10))  # too late
    recorder.stop()
    session = open_session(recorder.path)
    assert len(session) == 5 * FPS and not session.fitted.any() and recorder.unfitted == 5 * FPS


def test_the_end_of_a_recording_waits_for_the_fits_that_are_on_their_way(tmp_path):
    recorder = Recorder(tmp_path, "walk", faces=FACES, meta={}, fps=FPS, every_frame=True)
    for index in range(20):
        recorder.see(make_frame(index))
        if index < 18:
            recorder.add(make_frame(index), make_person(index), make_fit(index))
        while recorder.waiting > 2:
            time.sleep(0.001)

    def fit_the_rest():
        time.sleep(0.2)
        recorder.see(make_frame(20))  # after the end
        for index in (18, 19, 20):
            recorder.add(make_frame(index), make_person(index), make_fit(index))

    threading.Thread(target=fit_the_rest).start()
    recorder.stop(patience_s=5)
    session = open_session(recorder.path)
    assert len(session) == 20 and session.fitted.all() and recorder.unfitted == 0


def test_a_session_from_before_is_read_as_fitted(tmp_path):
    path = record(tmp_path, count=40).path
    for file in list_segments(path):
        with zipfile.ZipFile(file) as old:
            members = {name: old.read(name) for name in old.namelist() if name != "fitted.npy"}
        with zipfile.ZipFile(file, "w") as new:
            for name, data in members.items():
                new.writestr(name, data)
    session = open_session(path)
    assert session.fitted.all() and session.tracked.all()
    assert complete(path, FakeFinder(), FakeTracker()).filled == 0 and recover(path).code == 0


def test_a_crash_leaves_what_waits_waiting(tmp_path):
    path = record_every_frame(tmp_path).path
    facts = (path / "session.json").read_text()
    (path / "session.json").write_text(facts.replace("complete", "recording"))
    recover(path)
    assert list_sessions(tmp_path)[0].unfitted == 40
    assert complete(path, FakeFinder(), FakeTracker()).filled == 40


def test_another_body_is_refused(tmp_path):
    class Other(FakeTracker):
        faces = FACES[:5]

    with pytest.raises(UserError, match="another body"):
        complete(record_every_frame(tmp_path).path, FakeFinder(), Other())


def test_the_tool_completes_a_session(tmp_path, monkeypatch, capsys):
    path = record_every_frame(tmp_path).path
    monkeypatch.setattr(completion, "as_recorded", lambda session, body: (FakeFinder(), FakeTracker()))
    assert run_cli(tools.main, ["complete", str(path)]) == 0
    assert "40 frames fitted, 0 still wait." in capsys.readouterr().out and open_session(path).fitted.all()
    assert run_cli(tools.main, ["complete", str(path)]) == 0 and "Nothing waits" in capsys.readouterr().out
    assert run_cli(tools.main, ["complete", str(tmp_path / "none")]) == 2
