"""Many clips: finished ones are skipped, a bad one and a process that dies stop nothing, the same on Ray."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.pipeline import batch, runners
from lvd_live.pipeline import jobs as batch_jobs
from lvd_live.pipeline.jobs import Job, Outcome, find_jobs, finished, track_with
from lvd_live.pipeline.runners import run_processes, run_ray
from lvd_live.session.sequence import load_sequence
from lvd_live.session.video import VideoWriter
from lvd_live.tracking.options import TrackerOptions
from tests.fakes import FakeFinder, FakeTracker


def work(job: Job) -> Outcome:
    """What a clip's name asks for."""
    if job.clip.name.startswith("kills"):
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(job.clip, 10, 9, 0.5)


def sleep(job: Job) -> Outcome:
    """Longer than any test waits."""
    job.output.write_text("started")
    time.sleep(60)
    return Outcome(job.clip)


def jobs(names):
    return [Job(Path(name), Path(name + ".npz")) for name in names]


def test_a_process_that_dies_costs_its_clip_alone():
    names = ["a.mp4", "kills.mp4", "b.mp4", "c.mp4"]
    outcomes = {o.clip.name: o for o in run_processes(jobs(names), 2, work)}
    assert set(outcomes) == set(names)
    assert "died" in outcomes["kills.mp4"].problem and all(
        outcomes[n].tracked == 9 and not outcomes[n].problem for n in names if n != "kills.mp4"
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups to interrupt")
def test_ctrl_c_reaches_the_processes_and_ends_all(tmp_path):
    program = f"""
from pathlib import Path
from lvd_live.pipeline.jobs import Job
from lvd_live.pipeline.runners import run_processes
from tests.test_batch import sleep
if __name__ == "__main__":
    try:
        list(run_processes([Job(Path(n), Path({str(tmp_path)!r}) / n) for n in "abcd"], 2, sleep))
    except KeyboardInterrupt:
        raise SystemExit(130)
"""
    path = tmp_path / "program.py"
    path.write_text(program)
    root = Path(__file__).parent.parent
    child = subprocess.Popen(
        [sys.executable, path], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, start_new_session=True
    )
    try:
        end = time.monotonic() + 50
        while not ((tmp_path / "a").exists() and (tmp_path / "b").exists()) and time.monotonic() < end:
            time.sleep(0.1)
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(20) == 130 and not (tmp_path / "c").exists()
    finally:
        child.kill()


def test_ray_does_the_same():
    pytest.importorskip("ray", reason="the package ray is not installed")
    names = ["a.mp4", "kills.mp4", "b.mp4"]
    outcomes = {o.clip.name: o for o in run_ray(jobs(names), "local", work)}
    assert (
        set(outcomes) == set(names)
        and "died" in outcomes["kills.mp4"].problem
        and all(outcomes[n].tracked == 9 for n in ("a.mp4", "b.mp4"))
    )


def note_and_wait(job: Job) -> Outcome:
    """Notes on which machine it works, and takes its time."""
    import ray

    job.output.parent.joinpath(f"{job.clip.name}-{ray.get_runtime_context().get_node_id()}").write_text("")
    time.sleep(2.0)
    return Outcome(job.clip, 10, 9, 2.0)


@pytest.mark.slow
def test_a_machine_of_a_cluster_that_dies_loses_nothing(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the package ray is not installed")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(Path(__file__).parent.parent), *sys.path])))
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        other = cluster.add_node(num_cpus=1)
        waiting = [Job(Path(f"{i}.mp4"), tmp_path / f"{i}.npz") for i in range(10)]
        outcomes, lost = [], set()
        for outcome in run_ray(waiting, cluster.address, note_and_wait):
            outcomes.append(outcome)
            notes = [path.name.split("-") for path in tmp_path.iterdir()]
            done = {o.clip.name for o in outcomes}
            if not lost and (lost := {clip for clip, machine in notes if machine == other.node_id} - done):
                cluster.remove_node(other, allow_graceful=False)  # while it works
        assert sorted(o.clip for o in outcomes) == sorted(job.clip for job in waiting)
        assert all(o.tracked == 9 and not o.problem for o in outcomes)
        worked = [path.name.split("-")[0] for path in tmp_path.iterdir()]
        assert lost and len(worked) > len(waiting)  # what the other machine had in hand was begun anew
    finally:
        cluster.shutdown()


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UserError, match="pip install"):
        next(run_ray(jobs(["a.mp4"]), "auto", work))


def clip(path, frames=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    with_grey = VideoWriter(path, 25, (64, 48))
    for _ in range(frames):
        with_grey.write(np.full((48, 64, 3), 90, np.uint8), None)
    with_grey.close()


def test_clips_of_one_stem_do_not_meet_and_results_are_no_clips(tmp_path):
    for name in ("walk.mp4", "sub/walk.mp4", "walk.MOV", "notes.txt", "out/old.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_jobs(tmp_path, tmp_path / "out", TrackerOptions())
    assert [str(j.output.relative_to(tmp_path / "out")) for j in found] == [
        "sub/walk.mp4.npz",
        "walk.MOV.npz",
        "walk.mp4.npz",
    ]


def test_the_tool_goes_on_where_it_was(demo, tmp_path, capsys, monkeypatch):
    """The bundled clip's first frames, a picture without anybody, a broken file; run twice, in this process."""
    (tmp_path / "in").mkdir()
    demo(tmp_path / "in" / "person.mp4", 3)
    clip(tmp_path / "in" / "empty.mp4")
    (tmp_path / "in" / "broken.mp4").write_bytes(b"no video")
    monkeypatch.setattr(runners, "run_processes", lambda jobs, count: (batch_jobs.track(job) for job in jobs))
    arguments = [str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert batch.main(arguments) == 1
    first = capsys.readouterr().out
    assert "| person.mp4 | 3 | 3 |" in first and "Nobody was found" in first and "broken.mp4" in first
    sequence = tmp_path / "out" / "person.mp4.npz"
    assert load_sequence(sequence).tracked.all()
    tracked = []
    monkeypatch.setattr(
        batch_jobs, "track", lambda job: tracked.append(job.clip.name) or Outcome(job.clip, problem="again")
    )
    assert batch.main(arguments) == 1 and tracked == ["broken.mp4"]
    assert "done before" in capsys.readouterr().out
    assert batch.main([*arguments, "--height", "150"]) == 1 and "person.mp4" in tracked  # other options: made anew
    (tmp_path / "in" / "person.mp4").touch()
    tracked.clear()
    assert batch.main(arguments) == 1 and "person.mp4" in tracked  # another clip: made anew
    shutil.rmtree(tmp_path / "out")
    assert finished(Job(tmp_path / "in" / "person.mp4", sequence)) is None


@pytest.mark.parametrize("arguments, says", [([], "no folder"), (["--jobs", "0"], "--jobs")])
def test_mistakes_take_a_sentence(tmp_path, arguments, says):
    with pytest.raises(UserError, match=says):
        batch.main([str(tmp_path / "none"), "--out", str(tmp_path), *arguments])
    with pytest.raises(UserError, match="no clips"):
        batch.main([str(tmp_path), "--out", str(tmp_path / "out")])
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(UserError, match="clip.mp4 is no folder"):
        batch.main([str(tmp_path / "clip.mp4"), "--out", str(tmp_path / "out")])


def test_a_clip_that_is_cut_short_says_so_now_and_later(tmp_path):
    path = tmp_path / "cut.mkv"
    writer = VideoWriter(path, 25, (64, 48))
    for i in range(60):
        writer.write(np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8), None)
    writer.close()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    job = Job(path, tmp_path / "cut.mkv.npz")
    outcome = track_with(job, lambda: (FakeFinder(), FakeTracker()))
    assert outcome.tracked and "cut short or damaged" in outcome.problem
    assert finished(job).problem == outcome.problem
