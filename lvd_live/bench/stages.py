"""Time of a frame, stage by stage, and what is sustained when stages overlap."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from lvd_live import render
from lvd_live.bench.reference import timed
from lvd_live.body.fit import BodyFitter
from lvd_live.lvd.coarse import FEW
from lvd_live.lvd.network import COARSE_CHANNELS, FINE_CHANNELS
from lvd_live.lvd.runtime.graph_step import GraphStep
from lvd_live.person.types import Person, PersonFinder
from lvd_live.pipeline.encoding import encode
from lvd_live.pipeline.live import Pipeline
from lvd_live.session.recorder import Recorder
from lvd_live.sources import Frame, VideoSource
from lvd_live.tracking.fit import Fit
from lvd_live.tracking.tracker import Tracker

Times = dict[str, list[float]]


@dataclass(frozen=True)
class Done:
    """A frame on which the person was followed, warm."""

    frame: Frame
    person: Person
    fit: Fit


def decode(video: Path, count: int) -> tuple[list[Frame], list[float]]:
    """The first frames of a video, and the milliseconds that each took to come."""
    frames: list[Frame] = []
    times: list[float] = []
    with VideoSource(video) as source:
        began = time.perf_counter()
        for frame in itertools.islice(source, count):
            ended = time.perf_counter()
            frames.append(frame)
            times.append(1000 * (ended - began))
            began = time.perf_counter()
    return frames, times


def run_frames(frames: Iterable[Frame], finder: PersonFinder, tracker: Tracker) -> tuple[Times, list[Done]]:
    """Milliseconds by stage over the frames on which the person was followed, warm.

    frame : person and fit. iteration : of all vertices; the first one asks a few.
    """
    stages: Times = {}
    done: list[Done] = []
    for frame in frames:
        began = time.perf_counter()
        person = finder.find(frame.picture)
        found = time.perf_counter()
        fit = None if person is None else tracker.step(frame, person)
        ended = time.perf_counter()
        if person is None or fit is None or fit.cold:
            continue
        done.append(Done(frame, person, fit))
        laps = {
            "person": 1000 * (found - began),
            **fit.milliseconds,
            "iteration": fit.milliseconds["descent"] / (fit.iterations - 1 + 1 / FEW),
            "iterations": fit.iterations,
            "frame": 1000 * (ended - began),
        }
        for name, value in laps.items():
            stages.setdefault(name, []).append(value)
    return stages, done


def after(done: list[Done], tracker: Tracker, fitter: BodyFitter, betas: np.ndarray) -> Times:
    """What may follow a fit, milliseconds: body parameters of a known shape, the mesh drawn over the picture, a session
    recorded (written and encoded, not only handed over)."""
    if not done:
        return {}
    stages: Times = {"parameters": [], "draw": []}
    for item in done:
        fit = partial(fitter.fit, item.fit.vertices[None], item.fit.vertex_std[None], betas)
        stages["parameters"].append(timed(fit))
        mesh = item.fit.vertices, tracker.faces, item.fit.intrinsics
        stages["draw"].append(timed(partial(render.overlay, item.frame.picture, *mesh)))
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), faces=tracker.faces, meta={}, fps=30.0)

        def record() -> None:
            for item in done:
                recorder.add(item.frame, item.person, item.fit)
            recorder.stop()

        stages["record"] = [timed(record) / len(done)]
    return stages


def sustained(video: Path, finder: PersonFinder, tracker: Tracker) -> float:
    """Fits a second over a whole file, decoded, found and encoded ahead of the fit."""
    finder.reset()
    tracker.reset()
    with VideoSource(video) as source:
        began, fits = time.perf_counter(), 0
        for _, _, encoded in encode(source, finder, tracker):
            fits += encoded is not None and tracker.fit(encoded) is not None
        return fits / (time.perf_counter() - began)


class Camera:
    """Plays frames again and again, `fps` of them a second, for `seconds`."""

    live, dropped, skipped, state = True, 0, 0, "running"
    damaged: str | None = None
    frame_count: int | None = None

    def __init__(self, frames: list[Frame], fps: float, seconds: float):
        self.frames, self.fps, self.count = frames, fps, round(fps * seconds)

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held open."""

    def __iter__(self) -> Iterator[Frame]:
        began = time.monotonic()
        for i in range(self.count):
            time.sleep(max(0.0, began + i / self.fps - time.monotonic()))
            yield replace(self.frames[i % len(self.frames)], index=i, timestamp_ns=time.monotonic_ns())


def live(
    frames: list[Frame], finder: PersonFinder, tracker: Tracker, fps: float = 30.0, seconds: float = 6.0
) -> dict[str, float]:
    """The live pipeline on a camera: fits a second, and milliseconds from a frame's arrival to its fit."""
    there_and_back = frames + frames[-2:0:-1]  # no jump
    pipeline = Pipeline(
        lambda: Camera(there_and_back, fps, seconds), lambda: finder, lambda: tracker, live=True, budget_ms=float("inf")
    )
    try:
        end = time.monotonic() + seconds + 5
        while not (pipeline.ended or pipeline.problem) and time.monotonic() < end:
            pipeline.take(0.2)
        statistics = pipeline.statistics
        return {
            "live_fits_per_second": statistics.fits_per_second,
            "live_latency_ms": statistics.latency_ms,
            "live_latency_95_ms": float(np.percentile([r.latency_ns for r in statistics.results] or [0], 95)) / 1e6,
        }
    finally:
        pipeline.close()


def batched(tracker: Tracker, batch: int = 8) -> dict[str, float]:
    """Fits a second of `GraphStep` on crops that are ready, two iterations: without and with the uncertainty of an
    sixteenth of the vertices (M = 8)."""
    runtime, rng = tracker.runtime, np.random.default_rng(0)
    S, K = runtime.size, len(runtime.network.control)
    maps = (
        rng.integers(0, 99, (batch, FINE_CHANNELS, 32, 32), np.uint8),
        rng.integers(0, 99, (batch, COARSE_CHANNELS, 8, 8), np.uint8),
        np.tile(np.array([[1, 0, 0], [0, -1, 0]], np.float32), (batch, 1, 1)),
    )
    picture, mask = rng.integers(0, 255, (batch, S, S, 3), np.uint8), np.full((batch, S, S), 255, np.uint8)
    landmarks = rng.uniform(-1, 1, (batch, 33, 4)).astype(np.float32)

    def fits_per_second(asked: np.ndarray) -> float:
        step, start = GraphStep(runtime, batch, asked=len(asked)), np.zeros((batch, K, 3), np.float32)

        def run() -> None:
            step(start=start, targets=asked, picture=picture, mask=mask, landmarks=landmarks, maps=maps)

        run()
        return 1000 * batch / float(np.median([timed(run) for _ in range(10)]))

    return {
        "batched_fits_per_second": fits_per_second(np.arange(0)),
        "batched_fits_with_uncertainty_per_second": fits_per_second(np.arange(0, K, FEW)),
    }
