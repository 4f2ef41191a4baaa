"""Tracking a session again: the same pictures give the same meshes, and the difference to the recording is told."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from lvd_live.cli import main_job as program
from lvd_live.cli import tools
from lvd_live.errors import UserError, run_cli
from lvd_live.paths import DEMO, MODELS
from lvd_live.pipeline import replay as module
from lvd_live.pipeline.replay import SessionSource, compare, replay
from lvd_live.session.library import list_sessions
from lvd_live.session.reader import open_session
from lvd_live.session.sequence import load_sequence
from tests.fakes import FakeFinder, FakeTracker
from tests.recording import record


class Seeing(FakeTracker):
    """Its mesh lies where the picture is bright: another picture, another mesh."""

    def step(self, frame, person, *, later=()):
        fit = super().step(frame, person, later=later)
        fit.vertices[:] += np.float32(frame.picture.mean() / 1000)
        return fit


def test_two_replays_are_the_same_to_the_last_bit(tmp_path):
    session = open_session(record(tmp_path, 40, absent={3}, untracked={9}).path)
    for name in ("a.npz", "b.npz"):
        replay(session, FakeFinder(missing={20}), Seeing(), tmp_path / name)
    a, b = (load_sequence(tmp_path / name) for name in ("a.npz", "b.npz"))
    assert (
        (a.vertices == b.vertices).all()
        and a.frame_index.tolist() == session.frame_index.tolist()
        and a.timestamps_ns.tolist() == session.timestamps_ns.tolist()
    )
    same = compare(a, b)
    assert (same.both, same.one, same.mean, same.largest) == (38, 0, 0.0, 0.0)
    to_session = compare(session, a)
    assert to_session.both == 37 and to_session.one == 2 and to_session.mean > 1


def fits(vertices, tracked, frame_index):
    return SimpleNamespace(vertices=vertices, tracked=tracked, frame_index=np.array(frame_index))


def test_a_known_distance_is_measured():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 50, 3)).astype(np.float32)
    b = a[1:] + np.float32([0.003, 0, 0.004])
    tracked = np.array([True, True, False, True])
    found = compare(fits(a, tracked, [5, 6, 8, 9]), fits(b, np.ones(3, bool), [6, 8, 9]))
    assert (
        (found.both, found.one) == (2, 1)
        and found.mean == pytest.approx(5, abs=1e-3)
        and found.largest == pytest.approx(5, abs=1e-2)
        and found.aligned < 1e-3
    )
    assert "no frame" in str(compare(fits(a, ~tracked, range(4)), fits(a, tracked, range(4))))


def test_the_tool_keeps_a_replay_and_the_next_reproduces_it(tmp_path, monkeypatch, capsys):
    path = record(tmp_path, 20).path
    monkeypatch.setattr(module, "as_recorded", lambda session, body: (FakeFinder(), FakeTracker()))
    assert run_cli(tools.main, ["replay", str(path), "--write"]) == 0
    out = capsys.readouterr().out
    assert (
        "against the recording" in out
        and "over 20 frames" in out
        and f"kept as {path / 'replay.npz'}" in out
        and "earlier" not in out
    )
    assert run_cli(tools.main, ["replay", str(path)]) == 0
    assert re.search(r"against replay.npz \(.*mean 0.000 mm .* largest 0.000", capsys.readouterr().out)
    assert sorted(entry.name for entry in path.iterdir()) == [
        "motion",
        "replay.npz",
        "session.json",
        "thumbnail.jpg",
        "video.mkv",
    ]


def test_what_cannot_be_replayed_is_told(tmp_path, capsys):
    path = record(tmp_path, 5).path
    assert (
        run_cli(tools.main, ["replay", str(path)]) == 2 and "does not say how it was tracked" in capsys.readouterr().err
    )
    assert (
        run_cli(tools.main, ["replay", str(tmp_path / "none")]) == 2
        and "no recorded session" in capsys.readouterr().err
    )
    (path / "video.mkv").unlink()
    with pytest.raises(UserError, match="holds no video"):
        replay(open_session(path), FakeFinder(), FakeTracker(), tmp_path / "x.npz")
    assert SessionSource(open_session(path)).frame_count == 5


@pytest.mark.skipif(not (MODELS / "weights" / "live.safetensors").exists(), reason="the weights are not here")
@pytest.mark.slow
def test_a_real_session_is_recorded_and_replayed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program, "RECORDINGS", tmp_path / "recordings")
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)
    assert (
        run_cli(
            program.main,
            [
                "--video",
                str(DEMO),
                "--output",
                "d.npz",
                "--headless",
                "--height",
                "1.6",
                "--iterations",
                "2",
                "--no-outline",
                "--record",
                "the demo",
            ],
        )
        == 0
    )
    assert "65 frames, 0 dropped" in capsys.readouterr().out
    (info,) = list_sessions(tmp_path / "recordings")
    session, sequence = open_session(info.path), load_sequence("d.npz")
    assert info.measurements["height"][0] == pytest.approx(160) and 60 < info.measurements["inseam"][0] < 90
    assert (
        info.name == "the demo"
        and info.frames == 65
        and session.fps == sequence.fps
        and (session.timestamps_ns == sequence.timestamps_ns).all()
    )
    assert (
        np.abs(np.asarray(session.vertices) - sequence.vertices).max() <= 1e-4
        and (session.landmarks == sequence.landmarks).all()
    )
    assert (
        session.meta["tracker"]["height"] == 1.6
        and session.meta["person"]["finder"] == "BlazePoseFinder"
        and session.meta["source"] == "demo.mp4"
    )
    finder, tracker = module.as_recorded(session, None)
    assert tracker.describe() == session.meta["tracker"] and finder.provider == session.meta["person"]["provider"]
    assert (
        not tracker.options.silhouette_fit
        and not session.meta["tracker"].pop("silhouette_fit")
        and not module.as_recorded(session, None)[1].options.silhouette_fit
    )  # nor where a session does not speak of it
    few = [frame for _, frame in zip(range(8), SessionSource(session), strict=False)]
    assert few[0].picture.shape == (1280, 720, 3)
    fits = []
    for _ in range(2):
        finder.reset(), tracker.reset()
        fits.append([tracker.step(frame, finder.find(frame.picture)).vertices for frame in few])
    assert (np.array(fits[0]) == np.array(fits[1])).all()
    assert np.linalg.norm(fits[0] - session.vertices[:8], axis=-1).mean() < 0.03  # the video is compressed


def test_pictures_are_no_session(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (
        run_cli(program.main, ["--images", str(tmp_path), "--record"]) == 2 and "no session" in capsys.readouterr().err
    )
