"""How fast the program is on 1 to 16 cores: its pipelines simulated, with what their stages take here.

Stages that use threads are measured on one and on two; what more of them bring is Amdahl's law, with the share that two
threads divide. On as many cores as there are, the pipelines themselves run beside their simulation.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lvd_live.bench import pipelines, stages
from lvd_live.bench.pipelines import Cost, Stages
from lvd_live.bench.reference import timed
from lvd_live.errors import UserError
from lvd_live.lift.finder import make_blazepose
from lvd_live.paths import MODELS
from lvd_live.person.hands import HandFinder, WithHands
from lvd_live.person.quality import QUALITIES
from lvd_live.render import overlay
from lvd_live.sources import Frame
from lvd_live.threads import count_cores, encodes_ahead, limit_threads, network_threads
from lvd_live.tracking.tracker import Tracker

CORES, RATES, THREADS = (1, 2, 4, 8, 16), (30, 60), (1, 2, 3, 4, 6, 8)
ENCODE, FIT = ("crop", "features"), ("descent", "uncertainty", "outline", "placement")
DIVIDED = ("features", "descent", "uncertainty")  # stages that threads share
SETTLED_MS = 2000.0  # of a simulated camera, not counted

Figures = dict[str, Any]  # JSON values


def study(video: Path, *, frames: int = 40, rounds: int = 4, seconds: float = 8.0) -> Figures:
    """Stages measured, pipelines simulated, and pipelines measured for `seconds` each, see `report`.

    Raises UserError where nobody can be followed in the video's first `frames`.
    """
    decoded, _ = stages.decode(video, frames)
    finder = WithHands(make_blazepose(QUALITIES["live"], providers="cpu"), HandFinder(MODELS / "hands"))
    trackers = {threads: _tracker(threads, decoded, finder) for threads in (1, 2)}
    passes: dict[int, list[stages.Times]] = {1: [], 2: []}
    for _ in range(rounds):
        for threads, tracker in trackers.items():
            passes[threads].append(_pass(threads, decoded, finder, tracker))
    times, times_of_two = (least(passes[threads]) for threads in (1, 2))
    if not times:
        raise UserError(f"Nobody can be followed in the first {frames} frames of {video}, so there is nothing to time.")
    one, two = ({name: median(values) for name, values in each.items()} for each in (times, times_of_two))
    shares = {name: divided_share(one[name], two[name]) for name in DIVIDED if count_cores() > 1}
    decode_ms = median(map(min, zip(*(stages.decode(video, frames)[1] for _ in range(rounds)), strict=True)))
    costs = costs_of(times, shares, decode_ms)
    measured = []
    for cores in CORES if hasattr(os, "sched_setaffinity") else ():
        if cores <= count_cores() and network_threads(cores) in trackers:
            tracker = trackers[network_threads(cores)]
            with ThreadPoolExecutor(1, initializer=partial(_pin, cores)) as pool:  # its threads have no other cores
                measured += pool.submit(_beside, cores, video, decoded, finder, tracker, costs, seconds).result()
    return {
        "engine": trackers[1].runtime.engine,
        "stages_ms": {"decode": decode_ms, **{name: one[name] for name in ("person", "hands", *ENCODE, *FIT, "draw")}},
        "on_two_threads_ms": {name: two[name] for name in DIVIDED},
        "divided_shares": shares,
        "simulated": [simulated(costs, cores, network_threads(cores)) for cores in CORES],
        "one_core_busy": [simulated(costs, cores, network_threads(cores), busy=1) for cores in CORES[1:3]],
        "by_threads": [simulated(costs, cores, k) for cores in CORES[2:] for k in THREADS if k <= cores],
        "measured": measured,
    }


def least(passes: Sequence[stages.Times]) -> stages.Times:
    """Of each frame the least of several passes: what other programs took is not ours."""
    return {name: [min(values) for values in zip(*(p[name] for p in passes), strict=False)] for name in passes[0]}


def divided_share(one_ms: float, two_ms: float) -> float:
    """The share, 0..1, that threads divide, by Amdahl's law: what takes `one_ms` on one takes `two_ms` on two."""
    return min(1.0, max(0.0, 2 * (1 - two_ms / one_ms)))


def costs_of(times: stages.Times, shares: dict[str, float], decode_ms: float) -> list[Cost]:
    """Of each frame that was timed on one thread. shares : by stage, 0 where it is not there."""

    def of(names: Sequence[str], frame: int) -> Stages:
        return tuple((times[name][frame], shares.get(name, 0.0)) for name in names)

    return [
        Cost(decode_ms, person, of(ENCODE, i), of(FIT, i), draw)
        for i, (person, draw) in enumerate(zip(times["found"], times["draw"], strict=True))
    ]


def simulated(costs: Sequence[Cost], cores: int, threads: int, busy: int = 0) -> Figures:
    """Fits a second and latency to the drawn mesh of cameras, by their rate; frames a second of a file, not drawn.

    busy : threads of other programs.
    """
    on = {"cores": cores, "threads": threads, "busy": busy}
    live = {str(fps): _of_shown(pipelines.live(costs, fps=fps, ahead=encodes_ahead(cores), **on)) for fps in RATES}
    return {**on, "live": live, "file": 1000 * len(costs) / pipelines.file(costs, **on)}


def _of_shown(shown: np.ndarray) -> Figures:
    shown = shown[shown[:, 0] > SETTLED_MS]
    if len(shown) < 2:
        return {"fits_per_second": 0.0, "latency_ms": None, "latency_95_ms": None}
    late = shown[:, 0] - shown[:, 1]
    return {
        "fits_per_second": 1000 * (len(shown) - 1) / (shown[-1, 0] - shown[0, 0]),
        "latency_ms": float(np.median(late)),
        "latency_95_ms": float(np.percentile(late, 95)),
    }


def _tracker(threads: int, frames: list[Frame], finder: WithHands) -> Tracker:
    """One that is warm, on so many threads: onnxruntime's are as many as there were when it began."""
    limit_threads(threads)
    tracker = Tracker.load(device="cpu")
    stages.run_frames(frames[:8], finder, tracker)
    return tracker


def _pass(threads: int, frames: list[Frame], finder: WithHands, tracker: Tracker) -> stages.Times:
    """Milliseconds by stage; found : person and hands."""
    limit_threads(threads)
    finder.reset()
    tracker.reset()
    times, done = stages.run_frames(frames, finder, tracker)
    if not done:
        return {}
    times["found"] = times.pop("person")
    times["draw"] = [
        timed(partial(overlay, d.frame.picture, d.fit.vertices, tracker.faces, d.fit.intrinsics)) for d in done
    ]
    finder.reset()
    finder.finder.find(frames[0].picture)
    times["person"] = [timed(partial(finder.finder.find, frame.picture)) for frame in frames[1:]]
    times["hands"] = [max(0.0, median(times["found"]) - median(times["person"]))]
    return times


def _pin(cores: int) -> None:
    """This thread, and those that it starts, have so many cores."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))


def _beside(
    cores: int,
    video: Path,
    frames: list[Frame],
    finder: WithHands,
    tracker: Tracker,
    costs: list[Cost],
    seconds: float,
) -> list[Figures]:
    """The pipelines themselves, without decoding a camera's pictures and without drawing, and their simulation."""
    bare, threads = [replace(cost, decode=0.0, draw=0.0) for cost in costs], network_threads()
    rows: list[Figures] = []
    for fps in RATES:
        finder.reset()
        tracker.reset()
        there = stages.live(frames, finder, tracker, fps, seconds)
        names = ("fits_per_second", "latency_ms", "latency_95_ms")
        expected = _of_shown(pipelines.live(bare, cores=cores, threads=threads, fps=fps, ahead=encodes_ahead(cores)))
        rows.append({"cores": cores, "fps": fps, "measured": {name: there[f"live_{name}"] for name in names}})
        rows[-1]["simulated"] = expected
    limit_threads(threads)
    there_ms, expected_ms = (
        stages.sustained(video, finder, tracker),
        pipelines.file(costs, cores=cores, threads=threads),
    )
    rows.append({"cores": cores, "fps": None, "measured": {"fits_per_second": there_ms}})
    rows[-1]["simulated"] = {"fits_per_second": 1000 * len(costs) / expected_ms}
    return rows


def report(figures: Figures) -> str:
    """Markdown tables."""
    stage = figures["stages_ms"]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in figures["divided_shares"].items())
    lines = [
        f"Stages here, one thread, engine {figures['engine']}, ms: "
        + ", ".join(f"{name} {ms:.1f}" for name, ms in stage.items()),
        f"Share that threads divide, from one and two of them: {shares or 'not known on one core, taken as none'}.",
        "",
        "Simulated (more than two threads by Amdahl's law): fits a second, latency to the drawn mesh (95 %), ms",
        "",
        "| cores | threads | camera at 30 | | camera at 60 | | a file |",
        "|---|---|---|---|---|---|---|",
        *(_row(row) for row in [*figures["simulated"], *figures["one_core_busy"]]),
        "",
        "| cores | threads | camera at 30 | | camera at 60 | | a file |",
        "|---|---|---|---|---|---|---|",
        *(_row(row) for row in figures["by_threads"]),
        "",
        "Without drawing: measured here, and simulated",
        "",
        "| cores | | measured | | simulated | |",
        "|---|---|---|---|---|---|",
    ]
    for row in figures["measured"]:
        what = "a file" if row["fps"] is None else f"camera at {row['fps']}"
        lines.append(f"| {row['cores']} | {what} | {_cells(row['measured'])} | {_cells(row['simulated'])} |")
    return "\n".join(lines)


def _row(row: Figures) -> str:
    live = " | ".join(_cells(row["live"][str(fps)]) for fps in RATES)
    cores = f"{row['cores']}, {row['busy']} kept busy by others" if row["busy"] else str(row["cores"])
    return f"| {cores} | {row['threads']} | {live} | {row['file']:.1f} |"


def _cells(found: Figures) -> str:
    late = f"{found['latency_ms']:.0f} ({found['latency_95_ms']:.0f})" if found.get("latency_ms") else ""
    return f"{found['fits_per_second']:.1f} | {late}"


def draw(axes: Sequence[Any], figures: Figures) -> None:
    """Three panels: fits a second by cores, latency by cores, latency by threads. All simulated."""
    rate, late, threaded = axes
    simulated, cores = figures["simulated"], [row["cores"] for row in figures["simulated"]]
    for fps, colour in zip(RATES, ("C0", "C1"), strict=True):
        live = [row["live"][str(fps)] for row in simulated]
        rate.plot(cores, [row["fits_per_second"] for row in live], "o-", color=colour, label=f"camera at {fps}")
        late.plot(cores, [row["latency_ms"] for row in live], "o-", color=colour, label=f"camera at {fps}")
        late.plot(cores, [row["latency_95_ms"] for row in live], "o:", color=colour, label="95 %")
    rate.plot(cores, [row["file"] for row in simulated], "o-", color="C2", label="a file")
    for number in dict.fromkeys(row["cores"] for row in figures["by_threads"]):
        rows = [row for row in figures["by_threads"] if row["cores"] == number]
        latency = [row["live"][str(RATES[-1])]["latency_ms"] for row in rows]
        threaded.plot([row["threads"] for row in rows], latency, "o-", label=f"{number} cores")
    for axis, title, x, y in (
        (rate, "simulated", "cores", "fits a second"),
        (late, "latency to the drawn mesh, simulated", "cores", "ms"),
        (threaded, f"simulated, camera at {RATES[-1]}", "threads of the network", "ms"),
    ):
        top = max(max(line.get_ydata()) for line in axis.get_lines())
        axis.set_xscale("log", base=2)
        numbers = sorted({n for line in axis.get_lines() for n in line.get_xdata()})
        axis.set_xticks(numbers, [str(n) for n in numbers])
        axis.minorticks_off()
        axis.set(title=title, xlabel=x, ylabel=y, ylim=(0, 1.1 * top))
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
