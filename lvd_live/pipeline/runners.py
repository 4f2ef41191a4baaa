"""Who works on many clips: a process for each core, threads side by side in one network's batch, or a Ray cluster."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from lvd_live.errors import UserError
from lvd_live.lift.finder import make_finder
from lvd_live.pipeline.jobs import Job, Outcome, load_engine, track, track_with
from lvd_live.threads import limit_threads
from lvd_live.tracking.solver import BatchedSolver

DIED = "The process that worked on it died (out of memory?); it runs again next time."

Work = Callable[[Job], Outcome]


def run_processes(jobs: list[Job], count: int, work: Work = track) -> Generator[Outcome, None, None]:
    """Outcomes as they come, from `count` processes of one thread each. A process that dies costs its clip alone."""
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    done: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
    stopped = threading.Event()
    for job in jobs:
        waiting.put(job)
    threads = [
        threading.Thread(target=_attend_process, args=(waiting, done, stopped, work), daemon=True)
        for _ in range(min(count, len(jobs)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            yield from iter(done.get, None)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _attend_process(
    waiting: queue.SimpleQueue[Job], done: queue.SimpleQueue[Outcome | None], stopped: threading.Event, work: Work
) -> None:
    """Give a process of its own one job after another, and a new process where it dies."""
    pool = None
    with contextlib.suppress(queue.Empty):
        while not stopped.is_set():
            job = waiting.get_nowait()
            pool = pool or ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_begin_process)
            try:
                done.put(pool.submit(_interruptible, work, job).result())
            except BrokenProcessPool:
                pool.shutdown()
                pool = None
                done.put(Outcome(job.clip, problem=DIED))
            except KeyboardInterrupt:  # the process had it, too
                break
    if pool is not None:
        pool.shutdown()
    done.put(None)


def _begin_process() -> None:
    """Ctrl-C counts only while a process works on a clip, and every library keeps to one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_threads(1)


def _interruptible(work: Work, job: Job) -> Outcome:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return work(job)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_batched(jobs: list[Job], count: int) -> Generator[Outcome, None, None]:
    """Outcomes as they come, of `count` clips at a time in this process: a thread for each, one step of the network for
    all (see `BatchedSolver`)."""
    _, first = load_engine(jobs[0].options, jobs[0].quality)
    size, perturbations = min(count, len(jobs)), first.options.uncertainty
    solver = BatchedSolver(first.runtime, first.coarse, size, perturbations=perturbations)
    stopped = threading.Event()

    def attend(job: Job) -> Outcome:
        tracker = first.clone(solver=solver)
        with solver.member():
            hands = job.options.hands
            return track_with(job, lambda: (make_finder(quality=job.quality, hands=hands), tracker), stopped)

    with ThreadPoolExecutor(solver.size) as pool:
        try:
            for future in as_completed([pool.submit(attend, job) for job in jobs]):
                yield future.result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def run_ray(jobs: list[Job], address: str, work: Work = track) -> Generator[Outcome, None, None]:
    """Outcomes as they come, from a Ray cluster whose machines have this program and see the same folders.

    address : of the cluster, or "local": one that is started here. A clip whose worker or machine dies is tried once
    more, on another where there is one; a clip that ends its worker twice costs itself alone.
    Raises UserError where there is no Ray, or no cluster.
    """
    ray = _start_ray(address)
    remote = ray.remote(num_cpus=1, max_retries=1)(work)
    running = {remote.remote(job): job for job in jobs}
    try:
        while running:
            (ready, *_), _ = ray.wait(list(running))
            job = running.pop(ready)
            try:
                yield ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                reason = str(error.cause or error).splitlines()[0]
                yield Outcome(job.clip, problem=f"The cluster could not work on it ({reason}).")
            except ray.exceptions.RayError:
                yield Outcome(job.clip, problem=DIED)
    finally:
        ray.shutdown()


def _start_ray(address: str):
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():  # Ray itself would try for seven minutes
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise UserError(f"No Ray cluster answers at {address} ({error.strerror or error}).") from error
    # A machine whose cable is pulled says nothing: by default it is given up after seven minutes.
    for name in ("time", "timeout"):
        os.environ.setdefault(f"RAY_grpc_client_keepalive_{name}_ms", "15000")
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise UserError("--ray needs the package ray, which is not installed: pip install lvd-live[ray]") from error
    try:
        if address == "local":
            here = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
            ray.init(include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": here})
        else:
            ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"No Ray cluster answers at {address} ({why}).") from error
    return ray
