"""Shards of synthetic samples: made by workers, read by the trainer while they are still being made.

A shard is one .npy file, an array of n records, complete once it has its name; sample i of shard k depends on (seed, k)
alone. The records' fields:

    picture    (n, S, S, 3) uint8 RGB       the crop, with its background; 0 beyond the picture's edge
    alpha      (n, S, S) uint8              the person, exactly
    mask       (n, S, S) uint8              the person as the finder segments it
    landmarks  (n, 33, 4) float16           the finder's: x, y, depth from the hips, confidence; crop frame
    fine       (n, 48, 32, 32) uint8        the detector features, see `conditioning.quantise`
    coarse     (n, 288, 8, 8) uint8
    region     (n, 2, 3) float32            where they lie, see `conditioning.region_in_crop`
    truth      (n, 33, 3) float16           the same landmarks on the body
    observed   (n,) bool                    BlazePose found the person; else mask and landmarks are the truth with noise
    vertices   (n, K, 3) float16            control vertices, crop frame
    betas (n, 20), pose (n, 24, 3), R (n, 3, 3), t (n, 3), focal (n,), offset (n, 2) float32: see `people.View`
"""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np

from lvd_live.errors import UserError
from lvd_live.person.blazepose import BlazePoseFinder
from lvd_live.synth.backdrop import random_backdrop, random_occluder
from lvd_live.synth.base_mesh import BaseMesh
from lvd_live.synth.dressed import dress_person
from lvd_live.synth.lighting import sample_light
from lvd_live.synth.observe import imagined, observe
from lvd_live.synth.outfit_sampling import sample_outfit
from lvd_live.synth.people import People, View
from lvd_live.synth.shot import Shot
from lvd_live.synth.wardrobe import Wardrobe
from lvd_live.threads import limit_threads

log = logging.getLogger(__name__)

IDENTITIES = 16  # people in a shard
POSES = 16  # pictures of each
OCCLUDED = 0.18  # share of pictures with something in front of the person


class ShardMaker:
    """Makes shards: bodies, clothes, poses and light, their pictures, and what BlazePose finds in these."""

    def __init__(self, models: Path, size: int, *, seed: int = 0, held_out: bool = False, webcams: float | None = None):
        """Load the baked material and open a renderer. Raises UserError if there is no OpenGL.

        models : the folder with the baked material. size : pixels along a crop's side.
        held_out, webcams : see `people.People`.
        """
        from lvd_live.synth.render import Renderer  # here, because reading shards needs no OpenGL

        self.size, self.seed = size, seed + (1 << 20) * held_out
        self.people = People(models, held_out=held_out, webcams=webcams)
        self.wardrobe = Wardrobe.load(models / "synth" / "wardrobe.npz")
        with np.load(models / "synth" / "base.npz", allow_pickle=False) as arrays:
            self.base = BaseMesh.from_arrays(arrays)
        with np.load(models / "body" / "lvd_body.npz", allow_pickle=False) as body:
            self.control = body["control"]
        self.renderer = Renderer(size, batch=POSES, textures=self.wardrobe.textures)
        self.finder = BlazePoseFinder(models / "blazepose", providers="cpu")

    def make(self, index: int, identities: int = IDENTITIES) -> dict[str, np.ndarray]:
        """The arrays of shard `index`."""
        rng = np.random.default_rng((self.seed, index))
        samples = [sample for _ in range(identities) for sample in self._person(rng)]
        return {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}

    def _person(self, rng: np.random.Generator) -> Iterator[dict[str, np.ndarray]]:
        """The samples of one random identity."""
        betas = self.people.shape(rng)
        person = dress_person(self.base, betas, sample_outfit(self.wardrobe, rng))
        views = self.people.views(betas, rng, POSES)
        with self.renderer.upload(person) as identity:
            shots = [Shot(identity, v.bones, v.focal, (v.offset[0], v.offset[1]), sample_light(rng)) for v in views]
            pictures = self.renderer.render(shots)
        for view, rgba in zip(views, pictures, strict=True):
            yield self._sample(view, rgba, rng)

    def _sample(self, view: View, rgba: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The fields of one sample. rgba : (S, S, 4) uint8, the rendered person, premultiplied."""
        picture, alpha = _over_backdrop(rgba, rng)
        inside = _inside_picture(view.cut, self.size)
        picture[~inside], alpha[~inside] = 0, 0
        observed = observe(self.finder, picture, inside, view.landmarks, rng)
        conditioning = observed or imagined(alpha, view.landmarks, rng)
        return {
            "picture": picture,
            "alpha": alpha,
            "mask": np.where(inside, conditioning.mask, 0).astype(np.uint8),
            "landmarks": conditioning.landmarks.astype(np.float16),
            "fine": conditioning.fine,
            "coarse": conditioning.coarse,
            "region": conditioning.region,
            "truth": view.landmarks.astype(np.float16),
            "observed": np.array(observed is not None),
            "vertices": view.vertices[self.control].astype(np.float16),
            "betas": view.betas,
            "pose": view.pose,
            "R": view.R.astype(np.float32),
            "t": view.t.astype(np.float32),
            "focal": np.array(view.focal, np.float32),
            "offset": view.offset.astype(np.float32),
        }


def _over_backdrop(rgba: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A rendered person on a random backdrop, at times occluded: picture (S, S, 3), alpha (S, S), uint8."""
    size = len(rgba)
    alpha = rgba[..., 3].copy()
    behind = random_backdrop(size, rng).astype(np.uint16)
    uncovered = 255 - alpha[..., None].astype(np.uint16)
    picture = (rgba[..., :3] + behind * uncovered // 255).clip(0, 255).astype(np.uint8)
    if rng.random() < OCCLUDED:
        hidden = random_occluder(alpha, rng)
        picture[hidden] = random_backdrop(size, rng)[hidden]
        alpha[hidden] = 0
    return picture, alpha


def _inside_picture(cut: np.ndarray, size: int) -> np.ndarray:
    """(S, S) bool: the pixels of a crop that lie inside the picture. cut : (4,), see `people.View`."""
    left, bottom, right, top = cut
    centres = (2 * np.arange(size) + 1) / size - 1
    columns, rows = (centres > left) & (centres < right), (-centres > bottom) & (-centres < top)
    return columns[None] & rows[:, None]


def write_shard(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays of equal length as the records of one file, so that it is there whole or not at all."""
    n = len(next(iter(arrays.values())))
    records = np.empty(n, [(key, value.dtype, value.shape[1:]) for key, value in arrays.items()])
    for key, value in arrays.items():
        records[key] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("wb") as file:
        np.save(file, records)
    part.replace(path)


def make_shards(
    out: Path,
    models: Path,
    size: int,
    indices: range,
    *,
    seed: int = 0,
    held_out: bool = False,
    webcams: float | None = None,
) -> None:
    """Make those shards of `indices` that are not there yet; see `ShardMaker`.

    In a process of its own it stops when the process that started it has ended.
    """
    missing, parent = [i for i in indices if not shard_path(out, i).exists()], multiprocessing.parent_process()
    if missing:
        maker = ShardMaker(models, size, seed=seed, held_out=held_out, webcams=webcams)
        for i in missing:
            if parent is not None and not parent.is_alive():
                return  # it was killed, without a chance to end its workers
            write_shard(shard_path(out, i), maker.make(i))


def shard_path(folder: Path, index: int) -> Path:
    """The file of a shard."""
    return folder / f"{index:05d}.npy"


def start_workers(
    out: Path,
    models: Path,
    size: int,
    shards: int,
    workers: int,
    *,
    seed: int = 0,
    make: Callable[..., None] = make_shards,
) -> list[SpawnProcess]:
    """Processes that fill `out` with shards 0 .. shards-1, side by side, each every workers-th.

    They end with the program that started them. make : a function of a module, called like `make_shards`.
    Raises ModuleNotFoundError without moderngl, which pictures need.
    """
    if workers and make is make_shards and importlib.util.find_spec("moderngl") is None:
        raise ModuleNotFoundError("synthetic people are drawn with moderngl", name="moderngl")
    for library in ("OPENBLAS", "LP"):  # numpy's and llvmpipe's threads, counted once, when a worker loads them
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_worker, args=(make, out, models, size, range(k, shards, workers), seed), daemon=True)
        for k in range(workers)
    ]
    for process in processes:
        process.start()
    return processes


def _worker(make: Callable[..., None], out: Path, models: Path, size: int, indices: range, seed: int) -> None:
    os.nice(5)
    limit_threads(1)
    try:
        make(out, models, size, indices, seed=seed)
    except UserError as error:
        log.error("A worker that makes synthetic people stopped: %s", error)
        sys.exit(1)


@dataclass
class Shards:
    """The shards of a folder, as memory maps; `refresh` takes in those made since.

    upsample : columns (N, 8) int and mix (N, 8) float, or None. With it, `rows` gives all N vertices of the body
        instead of the control vertices, see `body.control`.
    """

    folder: Path
    maps: list[np.memmap]
    upsample: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def open(cls, folder: Path, upsample: tuple[np.ndarray, np.ndarray] | None = None) -> Shards:
        """The shards that are there now."""
        shards = cls(folder, [], upsample)
        shards.refresh()
        return shards

    def refresh(self) -> int:
        """Map the shards made since; returns how many there are now."""
        known = {Path(m.filename).name for m in self.maps if m.filename}
        for path in sorted(self.folder.glob("[0-9]*.npy")):
            if path.name not in known:
                self.maps.append(np.load(path, mmap_mode="r", allow_pickle=False))
        return len(self.maps)

    def rows(
        self, shard: np.ndarray, chosen: int | slice | np.ndarray, keys: tuple[str, ...] | None = None
    ) -> dict[str, np.ndarray]:
        """Samples of one of `maps`: the arrays of `keys`, or of all fields.

        chosen : an index, a slice or an array of indices.
        """
        records = shard[chosen]
        out = {key: np.array(records[key], order="C") for key in keys or shard.dtype.names or ()}
        if self.upsample is not None and "vertices" in out:
            columns, mix = self.upsample
            out["vertices"] = (out["vertices"].astype(np.float32)[..., columns, :] * mix[..., None]).sum(-2)
        return out

    def draw(self, rng: np.random.Generator, count: int, keys: tuple[str, ...]) -> list[dict[str, np.ndarray]]:
        """`count` random samples, each the fields `keys`."""
        picks = [(self.maps[rng.integers(len(self.maps))], rng.random()) for _ in range(count)]
        return [self.rows(m, int(u * len(m)), keys) for m, u in picks]
