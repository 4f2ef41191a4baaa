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
from lvd_live.synth.backdrop import as_by_a_camera, random_backdrop, random_occluder
from lvd_live.synth.base_mesh import BaseMesh
from lvd_live.synth.composition import inside_picture, over, shrunk
from lvd_live.synth.dressed import dress_person
from lvd_live.synth.lighting import sample_light
from lvd_live.synth.observe import imagined, observe
from lvd_live.synth.outfit_sampling import sample_outfit
from lvd_live.synth.people import People, View
from lvd_live.synth.shot import Shot
from lvd_live.synth.skins import Skins
from lvd_live.synth.surroundings import Place, Surroundings
from lvd_live.synth.wardrobe import Wardrobe
from lvd_live.threads import limit_threads

log = logging.getLogger(__name__)

IDENTITIES = 16  # people in a shard
POSES = 16  # pictures of each
OCCLUDED = 0.18  # share of pictures with something in front of the person
PLACES = 0.9  # share of pictures before a panorama, the others before a random backdrop
FINE = 2  # the finder looks at pictures so many times as large, as it does at a camera's


class ShardMaker:
    """Makes shards: bodies, clothes, poses and light, their pictures, and what BlazePose finds in these."""

    def __init__(
        self,
        models: Path,
        size: int,
        *,
        seed: int = 0,
        held_out: bool = False,
        webcams: float | None = None,
        plain: bool | None = None,
    ):
        """Load the baked material and open a renderer. Raises UserError if there is no OpenGL.

        models : the folder with the baked material. size : pixels along a crop's side.
        held_out, webcams : see `people.People`.
        plain : the people of earlier figures: painted skin, coloured backdrops, a finder that sees the crop's pixels.
            By default held-out people are, so that figures measured on them stay comparable.
        """
        from lvd_live.synth.render import Renderer  # here, because reading shards needs no OpenGL

        self.plain = held_out if plain is None else plain
        self.size, self.seed = size, seed + (1 << 20) * held_out
        self.people = People(models, held_out=held_out, webcams=webcams, plain=self.plain)
        self.wardrobe = Wardrobe.load(models / "synth" / "wardrobe.npz")
        with np.load(models / "synth" / "base.npz", allow_pickle=False) as arrays:
            self.base = BaseMesh.from_arrays(arrays)
        with np.load(models / "body" / "lvd_body.npz", allow_pickle=False) as body:
            self.control = body["control"]
        self.skins = None if self.plain else Skins.load(models / "synth" / "skins.npz")
        self.surroundings = None if self.plain else Surroundings.load(models / "synth" / "surroundings.npz")
        maps = None if self.skins is None else self.skins.textures
        scale = 1 if self.plain else FINE
        self.renderer = Renderer(
            size * scale, batch=POSES, textures=self.wardrobe.textures, skins=maps, smooth=scale == 1
        )
        self.finder = BlazePoseFinder(models / "blazepose", providers="cpu")

    def _behind(self, view: View, place: Place | None, size: int, rng: np.random.Generator) -> np.ndarray:
        """What is behind the person, or the look of what is before them, (size, size, 3) uint8 RGB."""
        return place.backdrop(size, view.R, view.focal, view.offset, rng) if place else random_backdrop(size, rng)

    def make(self, index: int, identities: int = IDENTITIES) -> dict[str, np.ndarray]:
        """The arrays of shard `index`."""
        rng = np.random.default_rng((self.seed, index))
        samples = [sample for _ in range(identities) for sample in self._person(rng)]
        return {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}

    def _person(self, rng: np.random.Generator) -> Iterator[dict[str, np.ndarray]]:
        """The samples of one random identity."""
        betas = self.people.shape(rng)
        person = dress_person(self.base, betas, sample_outfit(self.wardrobe, rng, skins=self.skins), skins=self.skins)
        views = self.people.views(betas, rng, POSES)
        places = [self._place(rng) for _ in views]
        with self.renderer.upload(person) as identity:
            lights = [
                place.light(v.R, rng) if place else sample_light(rng) for v, place in zip(views, places, strict=True)
            ]
            shots = [
                Shot(identity, v.bones, v.focal, (v.offset[0], v.offset[1]), light)
                for v, light in zip(views, lights, strict=True)
            ]
            pictures = self.renderer.render(shots)
        for view, place, rgba in zip(views, places, pictures, strict=True):
            yield self._sample(view, place, rgba, rng)

    def _place(self, rng: np.random.Generator) -> Place | None:
        """Where a picture is taken; None before a random backdrop."""
        return self.surroundings.place(rng) if self.surroundings and rng.random() < PLACES else None

    def _sample(
        self, view: View, place: Place | None, rgba: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """The fields of one sample. rgba : (s, s, 4) uint8, the rendered person, premultiplied, as fine as the finder
        sees it."""
        fine, alpha = over(self._behind(view, place, len(rgba), rng), rgba)
        if rng.random() < OCCLUDED:
            hidden = random_occluder(alpha, rng)
            elsewhere = self._place(rng) if place else None  # a thing that looks like its surroundings is none
            fine[hidden] = self._behind(view, elsewhere, len(rgba), rng)[hidden]
            alpha[hidden] = 0
        if not self.plain:
            fine = as_by_a_camera(fine, rng)
        inside = inside_picture(view.cut, len(fine))
        fine[~inside], alpha[~inside] = 0, 0
        observed = observe(self.finder, fine, inside, view.landmarks, rng, self.size, twice=not self.plain)
        inside = inside_picture(view.cut, self.size)
        picture, alpha = (shrunk(array, self.size) for array in (fine, alpha))
        picture[~inside], alpha[~inside] = 0, 0
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
    plain: bool | None = None,
) -> None:
    """Make those shards of `indices` that are not there yet; see `ShardMaker`.

    In a process of its own it stops when the process that started it has ended.
    """
    missing, parent = [i for i in indices if not shard_path(out, i).exists()], multiprocessing.parent_process()
    if missing:
        maker = ShardMaker(models, size, seed=seed, held_out=held_out, webcams=webcams, plain=plain)
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
    part: tuple[int, int] = (0, 1),
    make: Callable[..., None] = make_shards,
) -> list[SpawnProcess]:
    """Processes that fill `out` with shards 0 .. shards-1, side by side, each every workers-th.

    part : (k, n), where n programs fill it, each with as many workers: this one is the k-th.
    make : a function of a module, called like `make_shards`, or a partial of one.

    They end with the program that started them. Raises ModuleNotFoundError without moderngl, which pictures need.
    """
    drawn = getattr(make, "func", make) is make_shards
    if workers and drawn and importlib.util.find_spec("moderngl") is None:
        raise ModuleNotFoundError("synthetic people are drawn with moderngl", name="moderngl")
    for library in ("OPENBLAS", "LP"):  # numpy's and llvmpipe's threads, counted once, when a worker loads them
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(
            target=_worker, args=(make, out, models, size, range(first, shards, workers * part[1]), seed), daemon=True
        )
        for first in range(workers * part[0], workers * (part[0] + 1))
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
