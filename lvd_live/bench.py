"""python -m lvd_live bench: time of one frame, stage by stage, and beside it the paper-size network in the same run."""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from lvd_live.errors import UserError
from lvd_live.lvd.network import LVD, PRESETS
from lvd_live.lvd.runtime import Runtime
from lvd_live.paths import DEMO, MODELS
from lvd_live.person import BlazePoseFinder
from lvd_live.sources import Frame, VideoSource
from lvd_live.tracker import Tracker

PAPER_ITERATIONS = 5  # of the published demo's loop


def timed(call: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def frame_stages(frames: Iterable[Frame], finder: BlazePoseFinder, tracker: Tracker) -> dict[str, list[float]]:
    """Milliseconds by stage over the frames on which the person was followed, warm."""
    stages: dict[str, list[float]] = {}
    for frame in frames:
        began = time.perf_counter()
        person = finder.find(frame.picture)
        found = 1000 * (time.perf_counter() - began)
        fit = None if person is None else tracker.step(frame, person)
        if fit is None or fit.cold:
            continue
        for name, ms in {"person": found, **fit.milliseconds, "iterations": fit.iterations, "frame": found + sum(fit.milliseconds.values())}.items():
            stages.setdefault(name, []).append(ms)
    return stages


class PaperSize:
    """The paper's network (random weights: time does not depend on them), as the published demo runs it and with the exact rewrites."""

    def __init__(self):
        torch.manual_seed(0)
        network = LVD(PRESETS["paper"]).eval()
        self.network, self.runtime = network, Runtime(network, device="cpu")
        self.picture, self.mask = np.zeros((1, 256, 256, 3), np.uint8), np.full((1, 256, 256), 255, np.uint8)

    def rewritten(self) -> None:
        """Folded field, first iteration collapsed."""
        self.runtime.descend(self.runtime.see(self.picture, self.mask, None), None, iterations=PAPER_ITERATIONS)

    @torch.inference_mode()
    def demo_loop(self) -> None:
        """The diagonal from the unfolded field, every iteration alike."""
        seen = self.network.see(torch.zeros(1, 4, 256, 256))
        v = torch.zeros(1, PRESETS["paper"].vertices, 3)
        for _ in range(PAPER_ITERATIONS):
            v = v + self.network.field.diagonal(v, seen)


def main(argv: list[str] | None = None) -> int:
    """The `bench` tool."""
    parser = argparse.ArgumentParser(prog="python -m lvd_live bench", description=__doc__)
    parser.add_argument("--video", type=Path, default=DEMO)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of frames and paper-size network")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args(argv)
    if min(args.frames, args.rounds, args.threads) < 1:
        raise UserError("--frames, --rounds and --threads must be at least 1.")
    torch.set_num_threads(args.threads)
    finder, tracker, paper = BlazePoseFinder(MODELS / "blazepose", providers="cpu", threads=args.threads), Tracker.load("live", weights=args.weights, device="cpu"), PaperSize()
    with VideoSource(args.video) as source:
        frames = list(itertools.islice(source, args.frames))
    stages: dict[str, list[float]] = {}
    demo, rewritten = [], []
    frame_stages(frames[:10], finder, tracker)  # warm up
    for chunk in np.array_split(np.arange(len(frames)), args.rounds):
        for name, values in frame_stages([frames[i] for i in chunk], finder, tracker).items():
            stages.setdefault(name, []).extend(values)
        demo.append(timed(paper.demo_loop))
        rewritten.append(timed(paper.rewritten))
    if not stages:
        raise UserError(f"Nobody can be followed in the first {len(frames)} frames of {args.video}, so there is nothing to time.")
    medians = {name: statistics.median(values) for name, values in stages.items()}
    iterations = statistics.mean(stages["iterations"])
    del medians["iterations"]
    figures = {
        "device": "cpu", "threads": args.threads, "preset": "live", "size": list(frames[0].picture.shape[1::-1]), "stages_ms": medians, "iterations": iterations,
        "frame_ms": medians["frame"], "fits_per_second": 1000 / medians["frame"], "demo_loop_ms": statistics.median(demo), "paper_rewritten_ms": statistics.median(rewritten),
        "ratio_to_demo_loop": statistics.median(demo) / medians["frame"],
    }  # fmt: skip
    lines = [f"{args.video.name}, {len(stages['frame'])} warm frames of {frames[0].picture.shape[1]}x{frames[0].picture.shape[0]}, {args.threads} CPU thread(s), medians", "", "| stage | ms |", "|---|---|"]
    lines += [f"| {name} | {ms:.1f} |" for name, ms in medians.items()]
    lines += ["", f"{iterations:.2f} iterations a frame; {figures['fits_per_second']:.1f} frames a second, one after the other."]
    lines += [f"The paper's network, {PAPER_ITERATIONS} iterations: {figures['demo_loop_ms']:.0f} ms as the published demo runs it, {figures['paper_rewritten_ms']:.0f} ms with the exact rewrites."]
    lines += [f"One live frame is {figures['ratio_to_demo_loop']:.0f} times faster than the demo's loop."]
    sys.stdout.write("\n".join(lines) + "\n")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    return 0
