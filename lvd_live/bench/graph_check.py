"""Whether `GraphStep` on a device says what single calls say, and how fast it is by the batch's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lvd_live.bench.reference import HALF_CROP_MM, timed
from lvd_live.bench.variants import build
from lvd_live.lvd.coarse import FEW
from lvd_live.lvd.network import COARSE_CHANNELS, FINE_CHANNELS, LVD
from lvd_live.lvd.runtime.graph_step import GraphStep
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.uncertainty import perturbations
from lvd_live.person.crop import choose_crop
from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame
from lvd_live.tracking.conditioning import CropView, view_crop

ITERATIONS, PERTURBATIONS = 2, 8
MOST_MM = 0.1  # between the step and single calls, of one precision
SIZES = {"cpu": (1, 2, 4), "cuda": (1, 2, 4, 8, 16, 32, 64)}
TIMED = 10

Options = dict[str, dict[str, Any]]  # of `build`, by variant


def graph(
    network: LVD, device: str, options: Options, seen: Sequence[tuple[Frame, Person]]
) -> tuple[dict[str, Any], list[str]]:
    """The step on pairs of crops beside single calls of the runtime, mm: `apart_mm`, `std_apart_mm`; the first pair
    once more after another: `repeated_mm`; the crops exchanged, `exchanged_mm`; and how far the two meshes of
    a pair are from each other: `pairs_apart_mm`."""
    figures: dict[str, Any] = {}
    problems: list[str] = []
    size = network.preset.size
    views = [view_crop(f.picture, p, choose_crop(p, None), size, "all") for f, p in (seen[0], seen[len(seen) // 2])]
    for name in _of_pytorch(options):
        runtime = build(network, device, **options[name])
        asked = np.arange(0, len(network.control), FEW)
        step = GraphStep(runtime, 2, iterations=ITERATIONS, count=PERTURBATIONS, asked=len(asked))
        first, second = ([views[0], views[1]], [views[1], views[0]])
        mesh, spread, _ = (part.copy() for part in _call(step, first, asked))
        other = _call(step, second, asked)[0].copy()
        again = _call(step, first, asked)[0]
        plain, plain_spread = _single_calls(runtime, first, asked)
        row = {
            "apart_mm": _mm(mesh - plain),
            "std_apart_mm": HALF_CROP_MM * float(np.abs(spread - plain_spread).mean()),
            "repeated_mm": _mm(again - mesh),
            "pairs_apart_mm": _mm(other - mesh),
            "exchanged_mm": _mm(other[::-1] - mesh),
        }
        figures[name] = row
        most = MOST_MM if "bfloat16" not in name else 10 * MOST_MM
        if not max(row["apart_mm"], row["std_apart_mm"], row["repeated_mm"], row["exchanged_mm"]) <= most:
            problems.append(f"The step as {name} does not say what single calls say: {row}.")
        if not row["pairs_apart_mm"] > most:
            problems.append(f"The step as {name} does not look at its crops.")
    return figures, problems


def _of_pytorch(options: Options) -> list[str]:
    """The variants that a GPU runs, too."""
    return [name for name in options if name != "onnxruntime"]


def _mm(difference: np.ndarray) -> float:
    return HALF_CROP_MM * float(np.linalg.norm(difference, axis=-1).mean())


def _call(step: GraphStep, views: Sequence[CropView], asked: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    picture, mask, landmarks, maps = _stacked(views)
    start = np.zeros((len(views), len(step.runtime.network.control), 3), np.float32)
    return step(start=start, targets=asked, picture=picture, mask=mask, landmarks=landmarks, maps=maps)


def _single_calls(runtime: Runtime, views: Sequence[CropView], asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (B, K, 3) and the spread of those asked (B, T), crop units, crop by crop."""
    offsets = perturbations(PERTURBATIONS, len(runtime.network.control)).to(runtime.device)
    targets, meshes, spreads = torch.from_numpy(asked).to(runtime.device), [], []
    for view in views:
        prepared = runtime.encode(*view.batched())
        mesh = runtime.descend(prepared, None, iterations=ITERATIONS).vertices
        meshes.append(mesh.cpu().numpy())
        spreads.append(runtime.uncertainty(prepared, mesh, offsets, targets).cpu().numpy())
    return np.concatenate(meshes), np.concatenate(spreads)


def _stacked(views: Sequence[CropView]) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    pictures, masks, landmarks, features = zip(*(view.batched() for view in views), strict=True)
    maps = tuple(np.concatenate(parts) for parts in zip(*features, strict=True))
    return np.concatenate(pictures), np.concatenate(masks), np.concatenate(landmarks), maps


def batches(network: LVD, device: str, options: Options) -> dict[str, Any]:
    """By variant and batch size: milliseconds of a step with the uncertainty of every sixteenth vertex, fits a second
    and, on CUDA, the memory taken at most, MiB; a size for which there is too little is the last."""
    figures: dict[str, Any] = {}
    for name in _of_pytorch(options):
        runtime, rows = build(network, device, **options[name]), {}
        for size in SIZES[device]:
            try:
                rows[str(size)] = _timed_batch(runtime, size)
            except torch.OutOfMemoryError:
                rows[str(size)] = {"too_little_memory": True}
                break
        figures[name] = rows
    return figures


def _timed_batch(runtime: Runtime, batch: int) -> dict[str, float]:
    if runtime.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    rng, S, K = np.random.default_rng(0), runtime.size, len(runtime.network.control)
    asked = np.arange(0, K, FEW)
    step = GraphStep(runtime, batch, iterations=ITERATIONS, count=PERTURBATIONS, asked=len(asked))
    maps = (
        rng.integers(0, 99, (batch, FINE_CHANNELS, 32, 32), np.uint8),
        rng.integers(0, 99, (batch, COARSE_CHANNELS, 8, 8), np.uint8),
        np.tile(np.array([[1, 0, 0], [0, -1, 0]], np.float32), (batch, 1, 1)),
    )
    given: dict[str, np.ndarray] = {
        "start": np.zeros((batch, K, 3), np.float32),
        "targets": asked,
        "picture": rng.integers(0, 255, (batch, S, S, 3), np.uint8),
        "mask": np.full((batch, S, S), 255, np.uint8),
        "landmarks": rng.uniform(-1, 1, (batch, 33, 4)).astype(np.float32),
    }

    def call() -> None:
        step(**given, maps=maps)

    call()
    ms = float(np.median([timed(call, runtime.device.type) for _ in range(TIMED)]))
    figures = {"ms": ms, "fits_per_second": 1000 * batch / ms}
    if runtime.device.type == "cuda":
        figures["peak_mb"] = torch.cuda.max_memory_allocated() / (1 << 20)
    return figures
