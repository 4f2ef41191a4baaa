"""python -m lvd_live bench --check: does a device give the CPU's meshes, and how fast? For a machine's first time.

Parity of every precision with plain float32 on the CPU, in mm, the frames' step as one CUDA graph, batch sizes, the
paper's network, and end to end with the person finder on the device. What fails is told and written down, and the rest
goes on. On a CPU the same code runs, without a graph.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from lvd_live.bench import stages
from lvd_live.bench.contenders import Paper
from lvd_live.bench.graph_check import batches, graph
from lvd_live.bench.variants import PLAIN, build, variants
from lvd_live.errors import UserError
from lvd_live.lift.finder import make_blazepose
from lvd_live.lvd.network import LVD
from lvd_live.lvd.weights import load_network
from lvd_live.paths import MODELS
from lvd_live.person.quality import QUALITIES
from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame
from lvd_live.tracking.fit import Fit
from lvd_live.tracking.tracker import Tracker

log = logging.getLogger(__name__)

FRAMES, ITERATIONS = 24, 3  # of the clip; of descent, the same everywhere, so that meshes can be compared
MOST_MM = {"float32": 1.0, "bfloat16": 3.0}  # from plain float32 on the CPU, mean over vertices and frames
MOST_PX = 2.0  # between the landmarks of the finder here and on the CPU, mean
LIMIT_S = 300.0
ROUNDS = 3  # of the paper's network

Figures = dict[str, Any]  # JSON values
Found = tuple[Figures, list[str]]  # figures, and a sentence for each that is not as it should be


class Trial:
    """What the checks work on: people in a clip's first frames, found and fitted on the CPU in plain float32.

    Raises UserError where nobody is found.
    """

    def __init__(self, device: str, video: Path, weights: Path | None):
        self.device, self.video = device, video
        self.frames, _ = stages.decode(video, FRAMES)
        self.network: LVD = load_network(weights or MODELS / "weights" / "live.safetensors")[0]
        finder = make_blazepose(QUALITIES["live"], providers="cpu")
        found = [(frame, finder.find(frame.picture)) for frame in self.frames]
        self.seen: list[tuple[Frame, Person]] = [(frame, person) for frame, person in found if person is not None]
        if len(self.seen) < 2:
            raise UserError(f"Nobody can be followed in the first {FRAMES} frames of {video}: choose another --video.")
        self._base = Tracker.load(weights=weights, device="cpu", engine="float32")
        self.fits = self.fit({"engine": "float32", "pack": False}, "cpu")

    @cached_property
    def options(self) -> dict[str, dict[str, Any]]:
        """The ways to run the network here, see `variants`."""
        return variants(self.device)

    def tracker(self, options: dict[str, Any], device: str) -> Tracker:
        """One with the network made ready by `build`."""
        return self._base.clone(runtime=build(self.network, device, **options))

    def fit(self, options: dict[str, Any], device: str) -> list[Fit | None]:
        """The people fitted, frame after frame, without the outline."""
        tracker = self.tracker(options, device)
        tracker.change(iterations=ITERATIONS, silhouette_fit=False)  # which may take another vertex for the outline's
        return [tracker.step(frame, person) for frame, person in self.seen]


def run(device: str, video: Path, weights: Path | None) -> Figures:
    """All checks on a device. `passed`, `seconds`, `machine`, and `checks`: by name `passed`, `seconds`, `figures` and
    `problems`, sentences."""
    began = time.perf_counter()
    trial = Trial(device, video, weights)
    checks: dict[str, Callable[[Trial], Found]] = {
        "parity": parity,
        "graph": lambda t: graph(t.network, t.device, t.options, t.seen),
        "end to end": end_to_end,
        "paper": paper,
        "batches": lambda t: (batches(t.network, t.device, t.options), []),
    }
    done = {name: attempt(check, trial) for name, check in checks.items()}
    seconds = time.perf_counter() - began
    return {
        "device": device,
        "machine": machine(device),
        "passed": all(check["passed"] for check in done.values()),
        "seconds": seconds,
        "within_five_minutes": seconds < LIMIT_S,
        "checks": done,
    }


def attempt(check: Callable[[Trial], Found], trial: Trial) -> Figures:
    """A check's row; what it raises is its problem."""
    began = time.perf_counter()
    figures: Figures = {}
    try:
        figures, problems = check(trial)
    except UserError as error:
        problems = [str(error)]
    except Exception as error:  # of a driver or a library, on a machine that nobody has tried
        log.debug("a check failed", exc_info=True)
        problems = [f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"]
    seconds = time.perf_counter() - began
    return {"passed": not problems, "seconds": seconds, "problems": problems, "figures": figures}


def machine(device: str) -> Figures:
    """What this is measured on."""
    facts: Figures = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "providers": onnxruntime.get_available_providers(),
        "threads": torch.get_num_threads(),
    }
    if device == "cuda":
        about = torch.cuda.get_device_properties(0)
        facts |= {
            "gpu": about.name,
            "capability": f"{about.major}.{about.minor}",
            "memory_mb": about.total_memory / (1 << 20),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "tf32": torch.backends.cudnn.allow_tf32,
        }
    return facts


def parity(trial: Trial) -> Found:
    """Meshes and uncertainty of every variant beside those of plain float32 on the CPU, warm, frame after frame."""
    figures: Figures = {}
    problems: list[str] = []
    for name, options in trial.options.items():
        fits = trial.fit(options, trial.device)
        both = [(a, b) for a, b in zip(fits, trial.fits, strict=True) if a is not None and b is not None]
        if len(both) < len(fits):
            problems.append(f"{name} loses the person in {len(fits) - len(both)} of {len(fits)} frames.")
        if not both:
            continue
        apart = np.array([np.linalg.norm(a.vertices - b.vertices, axis=1) for a, b in both]) * 1000
        std = np.array([np.abs(a.vertex_std - b.vertex_std) for a, b in both]) * 1000
        mean = float(apart.mean())
        figures[name] = {"mean_mm": mean, "worst_vertex_mm": float(apart.max()), "std_mm": float(std.mean())}
        most = MOST_MM["bfloat16" if "bfloat16" in name else "float32"]
        if not mean <= most:
            problems.append(f"{name} is {mean:.2f} mm from float32 on the CPU, more than {most:g}.")
    return figures, problems


def paper(trial: Trial) -> Found:
    """The paper's network, untrained, 5 iterations on a crop: milliseconds of each variant, on CUDA as a graph, too."""
    network = Paper(trial.device)
    for _ in range(ROUNDS if trial.device == "cuda" else 1):
        network.round()
    figures = {
        name: {"ms": float(np.median(times)), "apart_mm": network.change_mm[name]}
        for name, times in network.times.items()
    }
    problems = [
        f"The paper's network as {name} is {row['apart_mm']:.1f} mm from {PLAIN}."
        for name, row in figures.items()
        if "bfloat16" not in name and not row["apart_mm"] <= MOST_MM["float32"]
    ]
    return figures, problems


def end_to_end(trial: Trial) -> Found:
    """Person finder and fit on the device, as the program runs them: stages, fits a second, the live pipeline."""
    finder = make_blazepose(QUALITIES["live"], providers=trial.device)
    tracker = trial.tracker({"engine": "auto"}, trial.device)
    stages.run_frames(trial.frames, finder, tracker)  # warm
    finder.reset()
    tracker.reset()
    times, done = stages.run_frames(trial.frames, finder, tracker)
    if not done:
        return {}, ["Nobody is followed with the person finder on this device."]
    on_cpu = {frame.index: person for frame, person in trial.seen}
    apart = [
        np.linalg.norm(item.person.landmarks[:, :2] - on_cpu[item.frame.index].landmarks[:, :2], axis=1).mean()
        for item in done
        if item.frame.index in on_cpu
    ]
    figures: Figures = {
        "finder": finder.provider,
        "network": tracker.runtime.provider,
        "stages_ms": {name: float(np.median(values)) for name, values in times.items()},
        "landmarks_apart_px": float(np.mean(apart)),
    }
    figures |= stages.live(trial.frames, finder, tracker, seconds=4.0)
    problems = []
    if not figures["landmarks_apart_px"] <= MOST_PX:
        problems.append(f"Landmarks are {figures['landmarks_apart_px']:.1f} pixels from the CPU's.")
    if finder.provider != trial.device:
        problems.append(f"The person finder runs on {finder.provider}, not on {trial.device}.")
    return figures, problems


def report(results: list[Figures]) -> str:
    """The results of `run` as lines of text."""
    lines = []
    for result in results:
        where = result["machine"].get("gpu", result["device"])
        lines.append(f"{where}: {'all is well' if result['passed'] else 'NOT all is well'}, {result['seconds']:.0f} s")
        for name, check in result["checks"].items():
            lines.append(f"  {'ok  ' if check['passed'] else 'FAIL'} {name} ({check['seconds']:.0f} s)")
            lines += [f"       {problem}" for problem in check["problems"]]
            lines += [f"       {key}: {_words(value)}" for key, value in check["figures"].items()]
    return "\n".join(lines)


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
