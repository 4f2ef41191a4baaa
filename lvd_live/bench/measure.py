"""Measure both presets and the references on one device, interleaved."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from lvd_live.bench import roofline, stages
from lvd_live.bench.contenders import Live, Paper, Plan
from lvd_live.bench.reference import Reference
from lvd_live.bench.variants import PLAIN
from lvd_live.errors import UserError
from lvd_live.lvd.coarse import FEW
from lvd_live.threads import limit_threads

Figures = dict[str, Any]  # JSON values


def measure(device: str, threads: int, plan: Plan) -> list[Figures]:
    """One dictionary for each preset and variant on a device, ours and the references on as many CPU threads."""
    limit_threads(threads)
    frames, decoding = stages.decode(plan.video, plan.frames)
    live, paper = Live(device, threads, plan, frames), Paper(device, plan.compiled)
    common = _run_rounds(device, threads, plan, frames, live, paper)
    if not live.times[live.best]:
        raise UserError(
            f"Nobody can be followed in the first {len(frames)} frames of {plan.video}, so there is nothing to time."
        )
    size = list(frames[0].picture.shape[1::-1])
    results = [_of_live(live, name, statistics.median(decoding)) | {"size": size} for name in live.times]
    best = next(result for result in results if result["variant"] == live.best)
    best |= _of_the_best(device, threads, plan, frames, live, paper, best["stages_ms"])
    for name, times in paper.times.items():
        ms = statistics.median(times)
        results.append({"preset": "paper", "variant": name, "frame_ms": ms, "change_mm": paper.change_mm[name]})
    for result in results:
        result |= common | {
            "device": device,
            "threads": threads,
            "fits_per_second": 1000 / result["frame_ms"],
            "ratio_to_demo_loop": common["demo_loop_ms"] / result["frame_ms"],
            "peak_memory_mb": peak_memory_mb(),
        }
    return results


def _run_rounds(device: str, threads: int, plan: Plan, frames: list, live: Live, paper: Paper) -> dict[str, float]:
    """All rounds; the medians of the references."""
    reference: list[dict[str, float]] = []
    with ExitStack() as stack:
        published = stack.enter_context(Reference(device, threads))
        kept = stack.enter_context(Reference(device, threads, kept=True)) if device == "cpu" else None
        for each in filter(None, (published, kept)):
            for _ in range(2):  # what is made once, and the C library's first guesses
                each(plain=False)
        for chunk in np.array_split(np.arange(len(frames)), plan.rounds):
            live.round([frames[i] for i in chunk])
            paper.round()
            figures = published(plain=plan.plain)
            if kept is not None:
                figures["demo_loop_kept_ms"] = kept(plain=False)["demo_loop_ms"]
            reference.append(figures)
    return {name: statistics.median(figures[name] for figures in reference) for name in reference[0]}


def _of_live(live: Live, name: str, decode_ms: float) -> Figures:
    """One variant's figures."""
    times = live.times[name]
    medians = {"decode": decode_ms, **{stage: statistics.median(values) for stage, values in times.items()}}
    few = [ms for ms, k in zip(times["frame"], times["iterations"], strict=True) if k <= 2]
    return {
        "preset": "live",
        "variant": name,
        "stages_ms": medians,
        "iterations": statistics.mean(times["iterations"]),
        "frame_ms": medians["frame"],
        "frame_of_2_iterations_ms": statistics.median(few) if few else None,
        "change_mm": live.change_mm(name),
    }


def _of_the_best(
    device: str, threads: int, plan: Plan, frames: list, live: Live, paper: Paper, medians: dict[str, float]
) -> Figures:
    """What is measured of the default variant alone: overlapped, live, batched, and beside the machine's limits."""
    tracker = live.trackers[live.best]
    figures: Figures = {"sustained_fits_per_second": stages.sustained(plan.video, live.finder, tracker)}
    figures |= stages.live(frames, live.finder, tracker)
    limit_threads(threads)  # the live pipeline keeps to one
    figures |= stages.batched(tracker)
    precision = "bfloat16" if live.best == "bfloat16" else "float32"
    return figures | {"roofline": rooflines(device, live, paper, medians, precision)}


def rooflines(device: str, live: Live, paper: Paper, medians: dict[str, float], precision: str) -> list[Figures]:
    """Features, an iteration and the uncertainty of the live preset, and the paper's network whole: the work, and how
    near to the machine's limits it is done."""
    limits = roofline.ceilings(device)
    runtime = live.trackers[PLAIN].runtime
    size, vertices = runtime.size, len(runtime.network.control)
    crop = np.zeros((1, size, size, 3), np.uint8), np.zeros((1, size, size), np.uint8), np.zeros((1, 33, 4), np.float32)
    maps = np.zeros((1, 48, 32, 32), np.uint8), np.zeros((1, 288, 8, 8), np.uint8), np.eye(2, 3, dtype=np.float32)[None]
    prepared = runtime.encode(*crop, maps)
    v, offsets = torch.zeros(1, vertices, 3, device=device), torch.zeros(8, vertices, 3, device=device)
    some = torch.arange(0, vertices, FEW, device=device)
    calls: list[tuple[str, float, str, Callable[[], object]]] = [
        ("features", medians["features"], precision, lambda: runtime.encode(*crop, maps)),
        ("iteration", medians["iteration"], precision, lambda: runtime.descend(prepared, v, iterations=1)),
        ("uncertainty", medians["uncertainty"], precision, lambda: runtime.uncertainty(prepared, v, offsets, some)),
    ]
    for name in ("float32", "bfloat16"):
        if name in paper.times:
            ms = statistics.median(paper.times[name])
            calls.append((f"paper, {name}", ms, name, lambda: paper.fit(paper.runtimes[PLAIN])))
    return [_beside_limits(stage, ms, limits, kind, *roofline.work(call)) for stage, ms, kind, call in calls]


def _beside_limits(stage: str, ms: float, limits: roofline.Ceilings, kind: str, gflop: float, gbyte: float) -> Figures:
    return {
        "stage": stage,
        "gflop": gflop,
        "gbyte": gbyte,
        "ms": ms,
        "gflops": gflop / ms * 1000,
        "ceiling_gflops": limits.gflops[kind],
        "ceiling_gbytes": limits.gbytes,
        "fraction": roofline.fraction(gflop, gbyte, ms, limits.gflops[kind], limits.gbytes),
    }


def peak_memory_mb() -> float | None:
    """Of this process, MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
