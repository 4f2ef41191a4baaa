"""python -m lvd_live batch: many clips, a process for each core, several in one step of the network on a GPU, or a Ray cluster."""

from __future__ import annotations

import contextlib
import copy
import importlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tqdm import tqdm

from lvd_live import __version__
from lvd_live.body.height import parse_height
from lvd_live.errors import Parser, UserError
from lvd_live.threads import keep_to

SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg"}
DIED = "The process that worked on it died (out of memory?); it runs again next time."


@dataclass(frozen=True)
class Job:
    """A clip, where its sequence goes, and the tracker's options."""

    clip: Path
    output: Path
    options: tuple[tuple[str, object], ...] = ()

    @property
    def made_of(self) -> dict:
        """What the sequence depends on: JSON values."""
        there = self.clip.stat()
        return {"bytes": there.st_size, "modified_ns": there.st_mtime_ns, "options": {name: str(value) for name, value in self.options}}


@dataclass(frozen=True)
class Outcome:
    """What became of a clip. problem: "", or the sentence why the sequence is not there, not of a whole clip, or empty."""

    clip: Path
    frames: int = 0
    tracked: int = 0
    seconds: float = 0.0
    problem: str = ""
    before: bool = False  # it was finished by an earlier run


@cache
def _engine(options: tuple[tuple[str, object], ...]):
    """The finder and the tracker of this process."""
    from lvd_live.paths import MODELS
    from lvd_live.person.quality import make_finder
    from lvd_live.tracker import Tracker

    chosen = dict(options)
    return make_finder(MODELS / "blazepose", chosen.pop("quality", "auto")), Tracker.load(uncertainty=8, **chosen)


def track(job: Job) -> Outcome:
    """Track one clip into its sequence. Whatever goes wrong is in the outcome; only Ctrl-C passes through."""
    return _track(job, lambda: _engine(job.options))


def _track(job: Job, engine: Callable[[], tuple], progress: bool | Callable[[int, int | None], bool] = False) -> Outcome:
    """`track` with the finder and the tracker that `engine` gives. progress: see `offline.process`."""
    from lvd_live.offline import process
    from lvd_live.sources import VideoSource

    try:
        job.output.parent.mkdir(parents=True, exist_ok=True)
        finder, tracker = engine()
        finder.reset()
        tracker.reset()
        with VideoSource(job.clip) as source:
            summary = process(source, finder, tracker, output=job.output, progress=progress, meta={"source": job.clip.name, "version": __version__, "made_of": job.made_of})
    except UserError as error:
        return Outcome(job.clip, problem=str(error))
    except Exception as error:
        return Outcome(job.clip, problem=f"The program failed on it ({type(error).__name__}: {error}).")
    if summary.interrupted:
        raise KeyboardInterrupt
    problem = (source.damaged or "") if summary.tracked else "Nobody was found." if not summary.rejected else "Somebody was seen, but the mesh did not settle."
    return Outcome(job.clip, summary.frames, summary.tracked, summary.seconds, problem)


def finished(job: Job) -> Outcome | None:
    """What an earlier run made of the clip with the same options, or None where it did not finish it."""
    from lvd_live.session.sequence import load_sequence

    try:
        sequence = load_sequence(job.output)
    except UserError:
        return None
    if sequence.meta.get("ending") != "complete" or sequence.meta.get("made_of") != job.made_of:
        return None
    tracked, seconds = int(sequence.tracked.sum()), sequence.meta.get("seconds")
    return Outcome(job.clip, len(sequence.tracked), tracked, seconds if isinstance(seconds, float) else 0.0, str(sequence.meta.get("damaged") or "") if tracked else "Nobody was found.", before=True)


def run_processes(jobs: list[Job], count: int, work: Callable[[Job], Outcome] = track) -> Iterator[Outcome]:
    """Outcomes as they come, from `count` processes of one thread each. A process that dies costs its clip alone."""
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    done: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
    stopped = threading.Event()
    for job in jobs:
        waiting.put(job)

    def attend() -> None:
        pool = None
        with contextlib.suppress(queue.Empty):
            while not stopped.is_set():
                job = waiting.get_nowait()
                pool = pool or ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_one_thread)
                try:
                    done.put(pool.submit(_interruptible, work, job).result())
                except BrokenProcessPool:
                    pool.shutdown()
                    pool = None
                    done.put(Outcome(job.clip, problem=DIED))
                except KeyboardInterrupt:  # the process was told, too
                    break
        if pool is not None:
            pool.shutdown()
        done.put(None)

    threads = [threading.Thread(target=attend, daemon=True) for _ in range(min(count, len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            yield from iter(done.get, None)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _one_thread() -> None:
    """A process's start: Ctrl-C counts while it works on a clip, and every library keeps to one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_to(1)


def _interruptible(work: Callable[[Job], Outcome], job: Job) -> Outcome:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return work(job)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_together(jobs: list[Job], count: int) -> Iterator[Outcome]:
    """Outcomes as they come, of `count` clips at a time, side by side in this process: a thread for each, one step of the network for all (see `Together`)."""
    from lvd_live.paths import MODELS
    from lvd_live.person.quality import make_finder
    from lvd_live.together import Together

    _, first = _engine(jobs[0].options)
    quality = dict(jobs[0].options).get("quality", "auto")
    together, stopped = Together(first.runtime, min(count, len(jobs)), perturbations=first.uncertainty), threading.Event()

    def attend(job: Job) -> Outcome:
        tracker = copy.deepcopy(first, {id(shared): shared for shared in (first.runtime, first.body)})  # the same network, its own last mesh
        tracker.together = together
        with together.member():
            return _track(job, lambda: (make_finder(MODELS / "blazepose", quality), tracker), lambda *_: not stopped.is_set())

    with ThreadPoolExecutor(together.size) as pool:
        try:
            for future in as_completed([pool.submit(attend, job) for job in jobs]):
                yield future.result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def run_ray(jobs: list[Job], address: str, work: Callable[[Job], Outcome] = track) -> Iterator[Outcome]:
    """Outcomes as they come, from a Ray cluster whose machines have this program and see the same folders. A worker that dies costs its clip alone."""
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise UserError("--ray needs the package ray, which is not installed: pip install -e .[ray]") from error
    try:
        if address == "local":
            here = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
            ray.init(include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": here})
        else:
            ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"No Ray cluster answers at {address} ({error}).") from error
    remote = ray.remote(num_cpus=1, max_retries=0)(work)
    running = {remote.remote(job): job for job in jobs}
    try:
        while running:
            (ready, *_), _ = ray.wait(list(running))
            job = running.pop(ready)
            try:
                yield ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                yield Outcome(job.clip, problem=f"The cluster could not work on it ({str(error.cause or error).splitlines()[0]}).")
            except ray.exceptions.RayError:
                yield Outcome(job.clip, problem=DIED)
    finally:
        ray.shutdown()


def find_jobs(folder: Path, out: Path, options: tuple[tuple[str, object], ...]) -> list[Job]:
    """One for every clip in a folder and the folders in it. The sequence keeps the clip's place and whole name: walk.mp4 and walk.mov do not meet."""
    clips = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file() and out not in path.parents)
    return [Job(clip, out / clip.relative_to(folder).with_name(clip.name + ".npz"), options) for clip in clips]


def table(outcomes: list[Outcome], folder: Path) -> str:
    lines = ["| clip | frames | tracked | s | frames/s | |", "|---|---|---|---|---|---|"]
    for o in sorted(outcomes, key=lambda o: o.clip):
        rate = f"{o.frames / o.seconds:.1f}" if o.seconds else ""
        lines.append(f"| {o.clip.relative_to(folder)} | {o.frames} | {o.tracked} | {o.seconds:.1f} | {rate} | {o.problem or ('done before' if o.before else '')} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """The `batch` tool: 0 where every clip is whole and has its sequence, with somebody in it, 1 where some are or have not, 130 after Ctrl-C."""
    parser = Parser(prog="python -m lvd_live batch", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="clips, also in folders of its own")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the sequences go; those that are there, whole, of the same clip and with the same options are kept")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="N clips side by side in one process, one step of the network (2 iterations) for all of them: for a GPU")
    parser.add_argument("--ray", metavar="ADDRESS", help='run on a Ray cluster whose machines see both folders ("auto", ray://HOST:10001; "local": one started here)')
    parser.add_argument("--preset", default="live")
    parser.add_argument("--weights", type=Path, help="a weight file instead of the preset's")
    parser.add_argument("--height", type=parse_height, metavar="M", help="everybody's height, such as 1.78 or 178cm")
    parser.add_argument("--engine", choices=("auto", "float32", "bfloat16", "onnxruntime"), default="auto", help="what runs the network on a CPU (default: the fastest here, measured once and remembered)")
    parser.add_argument("--quality", choices=("auto", "live", "best"), default="auto", help="how hard to look for people: best takes five times as long and is a twentieth nearer (default: auto, which is best for files)")
    args = parser.parse_args(argv)
    if min(args.jobs, args.batch) < 1:
        raise UserError("--jobs and --batch must be at least 1.")
    if args.batch > 1 and (args.ray or args.preset != "live"):
        raise UserError("--batch is for the live network on this machine: leave out --ray and --preset.")
    if not args.folder.is_dir():
        raise UserError(f"There is no folder {args.folder}.")
    folder, out = args.folder.resolve(), args.out.resolve()
    chosen = {"preset": args.preset, "weights": args.weights and args.weights.resolve(), "height": args.height, "engine": args.engine, "quality": args.quality}
    jobs = find_jobs(folder, out, tuple((name, value) for name, value in chosen.items() if value is not None))
    if not jobs:
        raise UserError(f"There are no clips in {args.folder}: {', '.join(sorted(SUFFIXES))}.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to {args.out}: {error.strerror or error}.") from error
    done = {job.clip: finished(job) for job in jobs}
    outcomes = [outcome for outcome in done.values() if outcome is not None]
    left = [job for job in jobs if done[job.clip] is None]
    interrupted = False
    try:
        running = run_ray(left, args.ray) if args.ray and left else run_together(left, args.batch) if args.batch > 1 and left else run_processes(left, args.jobs)
        with contextlib.closing(running), tqdm(total=len(jobs), initial=len(outcomes), unit="clip", file=sys.stderr) as bar:
            for outcome in running:
                outcomes.append(outcome)
                bar.update()
    except KeyboardInterrupt:
        interrupted = True
    sys.stdout.write(table(outcomes, folder) + "\n")
    return 130 if interrupted else 1 if any(o.problem for o in outcomes) else 0
