"""Several sequences in one step are what each is alone."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from lvd_live.lvd.coarse import Coarse
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import PRESETS
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.paths import DEMO, MODELS
from lvd_live.person import BlazePoseFinder
from lvd_live.pipeline import batch
from lvd_live.pipeline.jobs import find_jobs
from lvd_live.pipeline.runners import run_batched
from lvd_live.session.sequence import load_sequence
from lvd_live.session.video import VideoWriter
from lvd_live.sources import VideoSource
from lvd_live.tracking.clock import Clock
from lvd_live.tracking.conditioning import CropView
from lvd_live.tracking.options import TrackerOptions
from lvd_live.tracking.solver import BatchedSolver
from lvd_live.tracking.tracker import Tracker


@pytest.fixture(scope="module")
def seen():
    """The demo's first frames and the person in each."""
    finder = BlazePoseFinder(MODELS / "blazepose")
    with VideoSource(DEMO) as source:
        return [(frame, finder.find(frame.picture)) for frame, _ in zip(source, range(9), strict=False)]


def test_trackers_together_are_the_trackers_alone(seen):
    """Two sequences, the second shorter and later; warm frames take two iterations, the uncertainty goes round."""
    first = Tracker.load(
        device="cpu", engine="float32", silhouette_fit=False
    )  # each does that for itself, and it makes much of a rounding error
    parts = [seen[:6], seen[4:]]
    parts[1][0] = (parts[1][0][0], replace(parts[1][0][1], is_new=True))
    alone = []
    for part in parts:
        first.reset()
        fits = []
        for frame, person in part:
            first.change(iterations=2 if fits else None)
            fits.append(first.step(frame, person))
        alone.append(fits)
    first.change(iterations=None)
    first.reset()
    together = BatchedSolver(first.runtime, first.coarse, 3)
    ours = [[], []]
    everybody = threading.Barrier(2)

    def follow(i):
        tracker = first.clone(solver=together)
        with together.member():
            everybody.wait(10)
            ours[i] += [tracker.step(frame, person) for frame, person in parts[i]]

    threads = [threading.Thread(target=follow, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for mine, theirs in zip(ours, alone, strict=True):
        assert [fit.iterations for fit in mine] == [fit.iterations for fit in theirs] and [
            fit.cold for fit in mine
        ] == [True] + [False] * (len(mine) - 1)
        assert all("batched" in fit.milliseconds for fit in mine[1:])
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a.vertices, b.vertices, atol=2e-5)
            np.testing.assert_allclose(a.vertex_std, b.vertex_std, atol=2e-5)
            np.testing.assert_allclose(a.steps, b.steps, atol=1e-5)


def ask(together, fill=0):
    K, S = len(together.runtime.network.control), together.runtime.size
    features = np.zeros((48, 32, 32), np.uint8), np.zeros((288, 8, 8), np.uint8), np.eye(2, 3, dtype=np.float32)
    picture, mask = np.full((S, S, 3), fill, np.uint8), np.full((S, S), 255, np.uint8)
    view = CropView(picture, mask, np.zeros((33, 4), np.float32), features)
    return together.solve(view, None, torch.zeros(1, K, 3), 2, Clock())


COARSE = Coarse.of(np.random.default_rng(0).normal(size=(60, 3)), torch.device("cpu"))


@pytest.fixture(scope="module")
def runtime():
    return Runtime(LVD(replace(PRESETS["live"], vertices=60)).eval(), device="cpu", engine="float32")


def test_who_leaves_is_not_waited_for(runtime):
    together = BatchedSolver(runtime, COARSE, 2)
    asked = []
    with together.member():
        other = threading.Thread(target=lambda: asked.append(in_membership(together)))
        other.start()
        other.join(0.3)
        assert not asked and other.is_alive()  # it waits for this thread
    other.join(10)
    assert len(asked) == 1 and asked[0].vertices.shape == (1, 60, 3)


def in_membership(together):
    with together.member():
        return ask(together)


def test_the_uncertainty_comes_along_and_a_failure_is_told(runtime, monkeypatch):
    together = BatchedSolver(runtime, COARSE, 2)
    with together.member():
        assert ask(together).spread.shape == (1, len(COARSE.targets))
        monkeypatch.setattr(together.step, "forward", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ask(together)


def test_clips_side_by_side_have_their_sequences(tmp_path, seen, capsys):
    """Three clips with the person, of different lengths, two at a time, and a broken file."""
    (tmp_path / "in").mkdir()
    for name, count in (("a", 5), ("b", 3), ("c", 4)):
        writer = VideoWriter(tmp_path / "in" / f"{name}.mp4", 25, seen[0][0].picture.shape[1::-1])
        for frame, _ in seen[:count]:
            writer.write(frame.picture, None)
        writer.close()
    (tmp_path / "in" / "broken.mp4").write_bytes(b"no video")
    assert batch.main([str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--batch", "2"]) == 1
    table = capsys.readouterr().out
    assert (
        "| a.mp4 | 5 | 5 |" in table
        and "| b.mp4 | 3 | 3 |" in table
        and "| c.mp4 | 4 | 4 |" in table
        and "broken.mp4" in table
    )
    sequences = [load_sequence(tmp_path / "out" / f"{name}.mp4.npz") for name in "abc"]
    assert all(s.tracked.all() and list(s.iterations[1:]) == [2] * (len(s.tracked) - 1) for s in sequences)
    assert (
        np.abs(sequences[0].vertices[:3] - sequences[1].vertices[:3]).mean() < 0.01
    )  # the same pictures, encoded apart


def test_stopping_ends_all_threads(tmp_path, seen, monkeypatch):
    """Who stops taking outcomes, as after Ctrl-C, does not wait for whole clips."""
    (tmp_path / "in").mkdir()
    for name, count in (("a", 1), ("b", 400)):
        writer = VideoWriter(tmp_path / "in" / f"{name}.mp4", 25, (320, 240))
        for i in range(count):
            writer.write(np.ascontiguousarray(seen[i % 9][0].picture[:240, :320]), None)
        writer.close()
    jobs = find_jobs(tmp_path / "in", tmp_path / "out", TrackerOptions())
    running = run_batched(jobs, 2)
    assert next(running).clip.name == "a.mp4"
    running.close()
    assert load_sequence(tmp_path / "out" / "b.mp4.npz").meta["ending"] == "interrupted"
