"""How cost grows: with vertices, iterations, perturbations, picture size, clip length, clips, and cores."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from lvd_live.bench import cores
from lvd_live.bench.reference import timed
from lvd_live.errors import UserError
from lvd_live.lift.finder import make_blazepose
from lvd_live.lvd.coarse import FEW
from lvd_live.lvd.folded_field import PreparedCrop
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import INT8, PRESETS
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.uncertainty import perturbations
from lvd_live.person import BlazePoseFinder
from lvd_live.person.quality import QUALITIES
from lvd_live.pipeline.jobs import Job
from lvd_live.pipeline.runners import run_processes
from lvd_live.session.video import VideoWriter
from lvd_live.sources import Frame, VideoSource
from lvd_live.tracking.tracker import Tracker

Curve = tuple[Sequence[float], list[float]]


def median_ms(call: Callable[[], object], count: int = 15) -> float:
    """The median of `count` calls, after one that is not counted."""
    call()
    return float(np.median([timed(call) for _ in range(count)]))


def over_vertices(engine: str) -> Curve:
    """One iteration, untrained weights: of int8, whose field is float32, in that; its backbone takes no part."""
    engine = "float32" if engine == INT8 else engine
    counts, times = [431, 862, 1723, 3446, 6890, 13780], []
    for n in counts:
        runtime = Runtime(LVD(replace(PRESETS["live"], vertices=n)), device="cpu", engine=engine)
        prepared, v = prepare_noise(runtime), torch.zeros(1, n, 3)
        times.append(median_ms(partial(runtime.descend, prepared, v, iterations=1)))
    return counts, times


def over_iterations(runtime: Runtime) -> Curve:
    """Descent from a mesh."""
    prepared, v = prepare_noise(runtime), torch.zeros(1, len(runtime.network.control), 3)
    counts = list(range(1, 9))
    return counts, [median_ms(partial(runtime.descend, prepared, v, iterations=k)) for k in counts]


def over_perturbations(runtime: Runtime) -> Curve:
    """The uncertainty of a sixteenth of the vertices."""
    n, counts, times = len(runtime.network.control), [2, 4, 8, 16, 32], []
    prepared, v, some = prepare_noise(runtime), torch.zeros(1, n, 3), torch.arange(0, n, FEW)
    for m in counts:
        offsets = perturbations(m, n)
        times.append(median_ms(partial(runtime.uncertainty, prepared, v, offsets, some)))
    return counts, times


def over_picture_size(video: Path, finder: BlazePoseFinder, tracker: Tracker) -> Curve:
    """Person and fit of a warm frame, the video's first frames enlarged or made smaller; in megapixels."""
    sizes, times = [], []
    with VideoSource(video) as source:
        frames = list(itertools.islice(source, 12))
    for width in (320, 640, 1280, 1920, 3840):
        scaled = [
            replace(f, picture=cv2.resize(f.picture, (width, round(width * f.picture.shape[0] / f.picture.shape[1]))))
            for f in frames
        ]
        finder.reset()
        tracker.reset()

        def fit(frame: Frame, finder: BlazePoseFinder = finder, tracker: Tracker = tracker) -> None:
            person = finder.find(frame.picture)
            if person is not None:
                tracker.step(frame, person)

        took = [timed(partial(fit, frame)) for frame in scaled]
        sizes.append(scaled[0].picture.shape[0] * scaled[0].picture.shape[1] / 1e6)
        times.append(float(np.median(took[2:])))
    return sizes, times


def over_clip_length(
    video: Path, finder: BlazePoseFinder, tracker: Tracker, lengths: tuple[int, ...] = (60, 120, 240, 480)
) -> tuple[Curve, Curve]:
    """Seconds, and MiB in use at the end, of the main job on the video again and again."""
    from lvd_live.pipeline.offline import process

    seconds, memory = [], []
    with tempfile.TemporaryDirectory() as folder:
        for length in lengths:
            finder.reset()
            tracker.reset()
            with VideoSource(video) as source:
                again, output = _Again(source, length), Path(folder) / "clip.npz"
                seconds.append(process(again, finder, tracker, output=output, progress=False).seconds)
            memory.append(_resident_mb())
    return (lengths, seconds), (lengths, memory)


def over_clips(video: Path, frames: int = 60) -> Curve:
    """Seconds of `batch` on two processes, starting them included, for copies of the video's first frames."""
    counts, times = [1, 2, 4, 8], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with VideoSource(video) as source:
            pictures = [frame.picture for frame in itertools.islice(source, frames)]
        writer = VideoWriter(folder / "clip.mp4", 30, pictures[0].shape[1::-1])
        for picture in pictures:
            writer.write(picture, None)
        writer.close()
        for n in counts:
            jobs = [Job(folder / "clip.mp4", folder / f"{i}.npz", quality="live") for i in range(n)]
            times.append(timed(partial(_run, jobs)) / 1000)
    return counts, times


def _run(jobs: list[Job]) -> None:
    for _ in run_processes(jobs, 2):
        pass


class _Again:
    """A video's frames, forward again and again, `length` of them."""

    live, dropped, skipped, state = False, 0, 0, "running"
    damaged: str | None = None

    def __init__(self, source: VideoSource, length: int):
        self.source, self.frame_count, self.fps = source, length, source.fps

    def __enter__(self) -> _Again:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Who opened the video closes it."""

    def __iter__(self) -> Iterator[Frame]:
        frames = itertools.chain.from_iterable(self.source for _ in itertools.count())
        for i, frame in enumerate(itertools.islice(frames, self.frame_count)):
            yield replace(frame, index=i, timestamp_ns=i * 33_000_000)


def _resident_mb() -> float:
    """MiB in use by this process now; Linux alone tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / (1 << 20)
    except OSError:
        return float("nan")


def prepare_noise(runtime: Runtime) -> PreparedCrop:
    """A crop of noise, ready for descent."""
    rng, size = np.random.default_rng(0), runtime.size
    return runtime.encode(
        rng.integers(0, 255, (1, size, size, 3), np.uint8),
        np.full((1, size, size), 255, np.uint8),
        np.zeros((1, 33, 4), np.float32),
    )


def draw_scaling(path: Path, video: Path) -> dict[str, Any]:
    """Measure all, and draw it. Returns the figures, JSON values. Raises UserError."""
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise UserError(
            "--scaling draws with matplotlib, which is not installed: pip install 'lvd-live[train]'."
        ) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    on_cores = cores.study(video)
    finder, tracker = make_blazepose(QUALITIES["live"], providers="cpu"), Tracker.load(device="cpu")
    length, memory = over_clip_length(video, finder, tracker)
    panels = [
        ("one iteration", "vertices", "ms", over_vertices(tracker.runtime.engine)),
        ("descent", "iterations", "ms", over_iterations(tracker.runtime)),
        ("uncertainty of a sixteenth", "perturbations M", "ms", over_perturbations(tracker.runtime)),
        ("person and fit", "picture, megapixels", "ms", over_picture_size(video, finder, tracker)),
        ("the main job", "frames", "s", length),
        ("memory", "frames", "MiB", memory),
        ("batch, two processes", "clips of 60 frames", "s", over_clips(video)),
    ]
    figure, axes = pyplot.subplots(2, 5, figsize=(20, 7), layout="constrained")
    for axis, (title, x, y, (xs, ys)) in zip(axes.flat, panels, strict=False):
        axis.plot(xs, ys, "o-")
        axis.set(title=title, xlabel=x, ylabel=y, xlim=(0, None), ylim=(0, 1.1 * max(ys)))
        axis.grid(alpha=0.3)
    cores.draw(axes.flat[len(panels) :], on_cores)
    figure.savefig(path, dpi=90)
    return {"cores": on_cores, "curves": {title: {x: list(xs), y: ys} for title, x, y, (xs, ys) in panels}}
