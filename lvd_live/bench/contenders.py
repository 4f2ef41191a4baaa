"""What is timed: the `live` preset on a clip, and the `paper` preset on a crop, each in every variant."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lvd_live.bench import stages
from lvd_live.bench.reference import HALF_CROP_MM, ITERATIONS, paper_network, timed
from lvd_live.bench.variants import PLAIN, build, variants
from lvd_live.body.fit import BodyFitter
from lvd_live.lift.finder import make_blazepose
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import INT8
from lvd_live.lvd.runtime.graph_step import GraphStep
from lvd_live.lvd.runtime.ranges import has_ranges
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.weights import load_network
from lvd_live.paths import MODELS
from lvd_live.person.quality import QUALITIES
from lvd_live.sources.frame import Frame
from lvd_live.tracking.tracker import Tracker

WARM_UP, FOLLOWED = 8, 12  # frames: before anything is timed; that what follows a fit is timed on


@dataclass(frozen=True)
class Plan:
    """What a benchmark measures.

    video : the clip, its first `frames`. rounds : interleaved. weights : of the live preset, None: the shipped.
    plain : the formula's N × N × 3 output, too. compiled : torch.compile, too.
    """

    video: Path
    frames: int
    rounds: int
    weights: Path | None
    plain: bool
    compiled: bool


class Live:
    """The `live` preset on a clip: one tracker for each variant, one round at a time."""

    def __init__(self, device: str, threads: int, plan: Plan, frames: list[Frame]):
        self.finder = make_blazepose(QUALITIES["live"], providers=device, threads=threads)
        base = Tracker.load(weights=plan.weights, device=device, engine="float32")
        network, _, _ = load_network(plan.weights or MODELS / "weights" / "live.safetensors")
        chosen = Runtime(network, device=device).engine
        named = variants(device, plan.compiled)
        if device == "cpu" and has_ranges(network):
            named[INT8] = {"engine": INT8}
        self.trackers = {name: base.clone(runtime=build(network, device, **options)) for name, options in named.items()}
        self.best = chosen if chosen in self.trackers else PLAIN
        for tracker in self.trackers.values():
            stages.run_frames(frames[:WARM_UP], self.finder, tracker)
        self.fitter = BodyFitter(self.trackers[self.best].body)
        self.betas = np.zeros(self.fitter.n_betas, np.float32)
        self.times: dict[str, stages.Times] = {name: {} for name in self.trackers}
        self.meshes: dict[str, dict[int, np.ndarray]] = {name: {} for name in self.trackers}

    def round(self, frames: list[Frame]) -> None:
        """Time every variant on some frames."""
        for name, tracker in self.trackers.items():
            self.finder.reset()
            tracker.reset()
            times, done = stages.run_frames(frames, self.finder, tracker)
            self.meshes[name] |= {item.frame.index: item.fit.vertices for item in done}
            if name == self.best:
                times |= stages.after(done[:FOLLOWED], tracker, self.fitter, self.betas)
            for stage, values in times.items():
                self.times[name].setdefault(stage, []).extend(values)

    def change_mm(self, name: str) -> float:
        """How far the variant's meshes are from those of plain float32, on average."""
        reference = self.meshes[PLAIN]
        apart = [
            np.linalg.norm(m - reference[i], axis=-1).mean() for i, m in self.meshes[name].items() if i in reference
        ]
        return 1000 * float(np.mean(apart))


class Paper:
    """The `paper` preset, untrained: a crop encoded, and as many iterations as the published demo's, from a point.

    network : None for one of the paper's size.
    """

    def __init__(self, device: str, compiled: bool = False, network: LVD | None = None):
        network = network or paper_network()
        self.device, rng, size = device, np.random.default_rng(0), network.preset.size
        self.picture = rng.integers(0, 255, (1, size, size, 3), np.uint8)
        self.mask = np.full((1, size, size), 255, np.uint8)
        self.runtimes = {
            name: build(network, device, **options) for name, options in variants(device, compiled).items()
        }
        self.fits: dict[str, Callable[[], torch.Tensor]] = {
            name: functools.partial(self.fit, runtime) for name, runtime in self.runtimes.items()
        }
        if device == "cuda":
            self.fits |= {
                f"{name}, graph": functools.partial(self.replay, GraphStep(runtime, 1, iterations=ITERATIONS))
                for name, runtime in self.runtimes.items()
            }
        self.times: dict[str, list[float]] = {name: [] for name in self.fits}
        meshes = {name: fit() for name, fit in self.fits.items()}
        self.change_mm = {
            name: HALF_CROP_MM * float((mesh - meshes[PLAIN]).norm(dim=-1).mean()) for name, mesh in meshes.items()
        }

    def fit(self, runtime: Runtime) -> torch.Tensor:
        """Vertices (1, N, 3), crop frame."""
        return runtime.descend(runtime.encode(self.picture, self.mask), None, iterations=ITERATIONS).vertices

    def replay(self, step: GraphStep) -> torch.Tensor:
        """`fit` as one `GraphStep`."""
        K = len(step.runtime.network.control)
        start = np.zeros((1, K, 3), np.float32)
        vertices, *_ = step(start=start, targets=np.arange(0), picture=self.picture, mask=self.mask)
        return torch.from_numpy(np.array(vertices)).to(self.device)

    def round(self) -> None:
        """Time every variant once."""
        for name, fit in self.fits.items():
            self.times[name].append(timed(fit, self.device))
