"""python -m lvd_live bench: how fast it is, stage by stage, beside the paper's network in the same run.

Rounds are interleaved: each measures every variant and the references; figures are medians. `eager` is plain PyTorch, `compiled` the same through torch.compile, the others are packed (`lvd.packed`).
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from lvd_live.bench import roofline, stages
from lvd_live.bench.reference import HALF_CROP_MM, ITERATIONS, Reference, paper_network, timed
from lvd_live.body.fit import BodyFitter
from lvd_live.errors import Parser, UserError
from lvd_live.lvd.network import LVD
from lvd_live.lvd.runtime import onednn
from lvd_live.lvd.runtime.graph_step import GraphStep
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.weights import load_network
from lvd_live.paths import DEMO, MODELS
from lvd_live.person import BlazePoseFinder
from lvd_live.storage.files import check_writable
from lvd_live.threads import limit_threads
from lvd_live.tracking.tracker import Tracker


def variants(device: str, compiled: bool = False) -> dict[str, dict]:
    """Options of `build` by name. What a user gets by default, the fastest of them, is called by its engine."""
    named = {"eager float32": {"engine": "float32", "pack": False}}
    if device == "cpu":
        named["onnxruntime"] = {"engine": "onnxruntime"}
    if onednn.available(torch.device(device)) or device == "cuda":
        named["float32"] = {"engine": "float32"}
    if onednn.has_bfloat16(torch.device(device)):
        named["bfloat16"] = {"engine": "bfloat16"}
    if compiled:
        named |= {
            f"compiled {name}": {"engine": name, "pack": False, "compiled": True}
            for name in ("float32", "bfloat16")
            if name in named
        }
    return named


def build(network: LVD, device: str, *, compiled: bool = False, **options) -> Runtime:
    """A `Runtime`, its backbone compiled if asked for, with its weights as constants. UserError where nothing can be compiled."""
    runtime = Runtime(network, device=device, **options)
    if compiled:
        import torch._inductor.config

        torch._inductor.config.freezing = True
        size = network.preset.size
        runtime.network.backbone = torch.compile(runtime.network.backbone)
        try:
            runtime.encode(np.zeros((1, size, size, 3), np.uint8), np.zeros((1, size, size), np.uint8))
        except RuntimeError as error:  # which the compiler's errors all are
            raise UserError(
                f"torch.compile does not work here ({str(error).splitlines()[0]}): install a C++ compiler, or leave --compiled out."
            ) from None
    return runtime


class Live:
    """The `live` preset on a clip: one tracker for each variant, one round at a time."""

    def __init__(self, device: str, threads: int, args: argparse.Namespace, frames: list):
        self.finder = BlazePoseFinder(MODELS / "blazepose", providers=device, threads=threads)
        base = Tracker.load(weights=args.weights, device=device, engine="float32")
        network, _, _ = load_network(args.weights or MODELS / "weights" / "live.safetensors")
        chosen = Runtime(network, device=device).engine
        self.trackers = {
            name: base.clone(runtime=build(network, device, **options))
            for name, options in variants(device, args.compiled).items()
        }
        self.best = chosen if chosen in self.trackers else "eager float32"
        for tracker in self.trackers.values():
            stages.run_frames(frames[:8], self.finder, tracker)  # warm up
        self.fitter = BodyFitter(self.trackers[self.best].body)
        self.betas = np.zeros(self.fitter.n_betas, np.float32)
        self.times: dict[str, stages.Times] = {name: {} for name in self.trackers}
        self.meshes: dict[str, dict[int, np.ndarray]] = {name: {} for name in self.trackers}

    def round(self, frames: list) -> None:
        for name, tracker in self.trackers.items():
            self.finder.reset()
            tracker.reset()
            times, done = stages.run_frames(frames, self.finder, tracker)
            self.meshes[name] |= {frame.index: fit.vertices for frame, _, fit in done}
            if name == self.best:
                times |= stages.after(done[:12], tracker, self.fitter, self.betas)
            for stage, values in times.items():
                self.times[name].setdefault(stage, []).extend(values)

    def change_mm(self, name: str) -> float:
        """How far the variant's meshes are from those of plain float32, on average."""
        reference = self.meshes["eager float32"]
        return 1000 * float(
            np.mean(
                [
                    np.linalg.norm(mesh - reference[i], axis=-1).mean()
                    for i, mesh in self.meshes[name].items()
                    if i in reference
                ]
            )
        )


class Paper:
    """The `paper` preset, untrained: a picture seen, and as many iterations as the published demo's, from a point."""

    def __init__(self, device: str, compiled: bool = False):
        network = paper_network()
        self.device, rng = device, np.random.default_rng(0)
        self.picture, self.mask = (
            rng.integers(0, 255, (1, 256, 256, 3), np.uint8),
            np.full((1, 256, 256), 255, np.uint8),
        )
        self.runtimes = {
            name: build(network, device, **options) for name, options in variants(device, compiled).items()
        }
        self.fits = {name: functools.partial(self.fit, runtime) for name, runtime in self.runtimes.items()}
        if device == "cuda":
            self.fits |= {
                f"{name}, graph": functools.partial(self.replay, GraphStep(runtime, 1, iterations=ITERATIONS))
                for name, runtime in self.runtimes.items()
            }
        self.times: dict[str, list[float]] = {name: [] for name in self.fits}
        meshes = {name: fit() for name, fit in self.fits.items()}
        self.change_mm = {
            name: HALF_CROP_MM * float((mesh - meshes["eager float32"]).norm(dim=-1).mean())
            for name, mesh in meshes.items()
        }

    def fit(self, runtime: Runtime) -> torch.Tensor:
        return runtime.descend(runtime.encode(self.picture, self.mask), None, iterations=ITERATIONS).vertices

    def replay(self, step: GraphStep) -> torch.Tensor:
        """`fit` as one `GraphStep`."""
        K = len(step.runtime.network.control)
        vertices, *_ = step(
            start=np.zeros((1, K, 3), np.float32), targets=np.arange(0), picture=self.picture, mask=self.mask
        )
        return torch.from_numpy(np.array(vertices)).to(self.device)

    def round(self) -> None:
        for name, fit in self.fits.items():
            self.times[name].append(timed(fit, self.device))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_mb() -> float | None:
    """Of this process, MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def rooflines(device: str, live: Live, paper: Paper, medians: dict[str, float], precision: str) -> list[dict]:
    """Features, an iteration and the uncertainty of the live preset, and the paper's network whole: work, and how near to the machine's limits it is done."""
    limits = roofline.ceilings(device)
    runtime = live.trackers["eager float32"].runtime
    size, vertices = runtime.size, len(runtime.network.control)
    told = np.zeros((1, size, size, 3), np.uint8), np.zeros((1, size, size), np.uint8), np.zeros((1, 33, 4), np.float32)
    maps = np.zeros((1, 48, 32, 32), np.uint8), np.zeros((1, 288, 8, 8), np.uint8), np.eye(2, 3, dtype=np.float32)[None]
    prepared = runtime.encode(*told, maps)
    v, offsets, some = (
        torch.zeros(1, vertices, 3, device=device),
        torch.zeros(8, vertices, 3, device=device),
        torch.arange(0, vertices, 8, device=device),
    )
    rows = []
    for stage, timed_as, kind, call in (
        ("features", "features", precision, lambda: runtime.encode(*told, maps)),
        ("iteration", "iteration", precision, lambda: runtime.descend(prepared, v, iterations=1)),
        ("uncertainty", "uncertainty", precision, lambda: runtime.uncertainty(prepared, v, offsets, some)),
        *(
            (f"paper, {name}", name, name, lambda: paper.fit(paper.runtimes["eager float32"]))
            for name in paper.times
            if name in ("float32", "bfloat16")
        ),
    ):
        gflop, gbyte = roofline.work(call)
        ms = statistics.median(paper.times[timed_as]) if stage.startswith("paper") else medians[timed_as]
        part = roofline.fraction(gflop, gbyte, ms, limits.gflops[kind], limits.gbytes)
        rows.append(
            {
                "stage": stage,
                "gflop": gflop,
                "gbyte": gbyte,
                "ms": ms,
                "gflops": gflop / ms * 1000,
                "ceiling_gflops": limits.gflops[kind],
                "ceiling_gbytes": limits.gbytes,
                "fraction": part,
            }
        )
    return rows


def measure(device: str, threads: int, args: argparse.Namespace) -> list[dict]:
    """One dictionary for each preset and variant on a device, ours and the references on as many CPU threads."""
    limit_threads(threads)
    frames, decoding = stages.decode(args.video, args.frames)
    live, paper = Live(device, threads, args, frames), Paper(device, args.compiled)
    reference: list[dict[str, float]] = []
    with ExitStack() as stack:
        published = stack.enter_context(Reference(device, threads))
        kept = stack.enter_context(Reference(device, threads, kept=True)) if device == "cpu" else None
        for each in filter(None, (published, kept)):
            for _ in range(2):  # whatever is made once, and the C library's first guesses
                each(plain=False)
        for chunk in np.array_split(np.arange(len(frames)), args.rounds):
            live.round([frames[i] for i in chunk])
            paper.round()
            figures = published(plain=args.plain)
            if kept is not None:
                figures["demo_loop_kept_ms"] = kept(plain=False)["demo_loop_ms"]
            reference.append(figures)
    if not live.times[live.best]:
        raise UserError(
            f"Nobody can be followed in the first {len(frames)} frames of {args.video}, so there is nothing to time."
        )
    common = {name: statistics.median(figures[name] for figures in reference) for name in reference[0]}
    results = []
    for name, times in live.times.items():
        medians = {
            "decode": statistics.median(decoding),
            **{stage: statistics.median(values) for stage, values in times.items()},
        }
        mean = statistics.mean(times["iterations"])
        result = {
            "device": device,
            "preset": "live",
            "variant": name,
            "threads": threads,
            "size": list(frames[0].picture.shape[1::-1]),
            "stages_ms": medians,
            "iterations": mean,
        }
        few = [ms for ms, k in zip(times["frame"], times["iterations"], strict=True) if k <= 2]
        result |= {
            "frame_ms": medians["frame"],
            "frame_of_2_iterations_ms": statistics.median(few) if few else None,
            "fits_per_second": 1000 / medians["frame"],
        }
        result["change_mm"] = live.change_mm(name)
        if name == live.best:
            result["sustained_fits_per_second"] = stages.sustained(args.video, live.finder, live.trackers[name])
            result |= stages.live(frames, live.finder, live.trackers[name])
            limit_threads(threads)  # the live pipeline keeps to one
            result |= stages.batched(live.trackers[name])
            result["roofline"] = rooflines(
                device, live, paper, medians, "bfloat16" if name == "bfloat16" else "float32"
            )
        results.append(result)
    for name, times in paper.times.items():
        ms = statistics.median(times)
        results.append(
            {
                "device": device,
                "preset": "paper",
                "variant": name,
                "threads": threads,
                "frame_ms": ms,
                "fits_per_second": 1000 / ms,
                "change_mm": paper.change_mm[name],
            }
        )
    for result in results:
        result |= common | {
            "ratio_to_demo_loop": common["demo_loop_ms"] / result["frame_ms"],
            "peak_memory_mb": peak_memory_mb(),
        }
    return results


def report(results: list[dict], args: argparse.Namespace) -> str:
    lines = []
    for device, threads in dict.fromkeys((r["device"], r["threads"]) for r in results):
        rows = [r for r in results if (r["device"], r["threads"]) == (device, threads)]
        live = [r for r in rows if r["preset"] == "live"]
        best = next(r for r in live if "roofline" in r)
        names = list(best["stages_ms"])
        lines += [
            f"{args.video.name}, {best['size'][0]}x{best['size'][1]}, {device}, {threads} thread(s); milliseconds of a warm frame, medians",
            "",
        ]
        lines += ["| stage | " + " | ".join(r["variant"] for r in live) + " |", "|---" * (len(live) + 1) + "|"]
        names.remove("iterations")
        lines += [
            f"| {'**frame** (person and fit)' if n == 'frame' else n} | "
            + " | ".join(f"{r['stages_ms'][n]:.2f}" if n in r["stages_ms"] else "" for r in live)
            + " |"
            for n in names
        ]
        lines += [
            "",
            "| preset | variant | frame, ms | fits/s | times faster than the demo's loop | mesh moved, mm (paper: untrained) |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {r['preset']} | {r['variant']} | {r['frame_ms']:.1f} | {r['fits_per_second']:.1f} | {r['ratio_to_demo_loop']:.1f} | {r['change_mm']:.3f} |"
            for r in rows
        ]
        few = best["frame_of_2_iterations_ms"]
        lines += [
            "",
            f"{best['iterations']:.2f} iterations a frame"
            + (
                f"; frames of at most 2: {few:.1f} ms, {best['demo_loop_ms'] / few:.0f} times faster than the demo's loop."
                if few
                else "."
            ),
        ]
        lines += [
            f"Sustained over the file, decode and person ahead of the fit: {best['sustained_fits_per_second']:.1f} fits a second."
        ]
        lines += [
            f"Live pipeline on a camera of 30 frames a second: {best['live_fits_per_second']:.1f} fits a second, {best['live_latency_ms']:.0f} ms from a frame to its fit."
        ]
        lines += [
            f"Eight sequences side by side, crops ready, 2 iterations: {best['batched_fits_per_second']:.0f} fits a second, {best['batched_fits_with_uncertainty_per_second']:.0f} with uncertainty (M = 8, an eighth of the vertices)."
        ]
        lines += [
            f"The paper's network, {ITERATIONS} iterations, as the published demo runs it: {best['demo_loop_ms']:.0f} ms"
            + (f" ({best['demo_loop_kept_ms']:.0f} with our memory setting)" if "demo_loop_kept_ms" in best else "")
            + "."
        ]
        if "plain_ms" in best:
            lines += [
                f"As the formula says, N x N x 3 output: {best['plain_ms']:.0f} ms (its output, 570 MB, fits into memory whole)."
            ]
        if best["peak_memory_mb"]:
            lines += [
                f"Peak memory of the whole benchmark, both presets in every variant: {best['peak_memory_mb']:.0f} MiB."
            ]
        lines += [
            "",
            "| stage | GFLOP | MB | GFLOP/s | ceiling | GB/s ceiling | of the roofline |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {r['stage']} | {r['gflop']:.3f} | {1000 * r['gbyte']:.0f} | {r['gflops']:.0f} | {r['ceiling_gflops']:.0f} | {r['ceiling_gbytes']:.1f} | {r['fraction']:.0%} |"
            for r in best["roofline"]
        ]
        lines += [""]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """The `bench` tool."""
    parser = Parser(prog="python -m lvd_live bench", description=__doc__)
    parser.add_argument("--video", type=Path, default=DEMO)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument(
        "--rounds", type=int, default=3, help="interleaved rounds of frames, paper-size network and references"
    )
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        help="of the CPU, ours and the references': one measurement for each number (default: 1, and as many as there are cores)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), nargs="+", help="default: what is there")
    parser.add_argument("--weights", type=Path)
    parser.add_argument(
        "--no-plain",
        dest="plain",
        action="store_false",
        help="leave out the formula's N x N x 3 output (a second or more a round)",
    )
    parser.add_argument(
        "--compiled", action="store_true", help="torch.compile, too: minutes to compile, and a C++ compiler is needed"
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument(
        "--scaling",
        type=Path,
        metavar="FILE.png",
        help="instead: draw time against vertices, iterations, perturbations, picture size, clip length and number of clips",
    )
    parser.add_argument(
        "--accuracy",
        type=Path,
        metavar="DATA",
        help="instead: the plain formula's meshes and errors beside every variant's, on held-out people (shards, such as runs/data-held-out)",
    )
    parser.add_argument("--people", type=int, default=256, help="of --accuracy")
    args = parser.parse_args(argv)
    args.threads = args.threads or sorted({1, cores()})
    if min(args.frames, args.rounds, args.people, *args.threads) < 1:
        raise UserError("--frames, --rounds, --threads and --people must be at least 1.")
    if args.device and "cuda" in args.device and not torch.cuda.is_available():
        raise UserError("There is no CUDA device here: leave --device out, or choose cpu.")
    for path in (args.json, args.scaling):
        if path is not None:
            check_writable(path)
    limit_threads(args.threads[0])
    if args.scaling:
        from lvd_live.bench.scaling import draw_scaling

        draw_scaling(args.scaling, args.video)
        return 0
    if args.accuracy:
        from lvd_live.bench import accuracy

        text, results = accuracy.report(args.accuracy, args.weights, args.people)
        sys.stdout.write(text + "\n")
        if args.json:
            args.json.write_text(json.dumps(results, indent=1))
        return 0
    devices = args.device or ["cpu"] + ["cuda"] * torch.cuda.is_available()
    results = [result for device in devices for threads in args.threads for result in measure(device, threads, args)]
    sys.stdout.write(report(results, args) + "\n")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))
    return 0
