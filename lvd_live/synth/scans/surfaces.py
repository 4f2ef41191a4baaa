"""Shards of dressed people in the rest pose, as random surface points with skin weights.

A shard is one .npy file of PEOPLE records (see `synth.dataset.write_shard`); person i of shard k depends on (seed, k)
alone. The records' fields:

    points   (P, 3) float16   body frame, metres, evenly by area and in random order: any slice is a thinner scan
    joint    (P, 4) uint8     the joints that move a point
    weight   (P, 4) uint8     and their shares, of 255
    betas    (20,) float32    the body's shape coefficients
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np

from lvd_live.synth.base_mesh import BaseMesh
from lvd_live.synth.dataset import shard_path, write_shard
from lvd_live.synth.dressed import DressedPerson, dress_person
from lvd_live.synth.outfit_sampling import sample_outfit
from lvd_live.synth.people import People
from lvd_live.synth.wardrobe import Wardrobe

PEOPLE = 64  # of a shard
POINTS = 12_288  # of a person


class SurfaceMaker:
    """Makes shards of dressed people."""

    def __init__(self, models: Path, *, seed: int = 0, held_out: bool = False):
        """models : the folder with the baked material. held_out : see `people.People`."""
        self.seed = seed + (1 << 20) * held_out
        self.people = People(models, held_out=held_out)
        self.wardrobe = Wardrobe.load(models / "synth" / "wardrobe.npz")
        with np.load(models / "synth" / "base.npz", allow_pickle=False) as arrays:
            self.base = BaseMesh.from_arrays(arrays)

    def make(self, index: int, count: int = POINTS, people: int = PEOPLE) -> dict[str, np.ndarray]:
        """The arrays of shard `index`. count : points of each person."""
        rng = np.random.default_rng((self.seed, index))
        records = [self._person(count, rng) for _ in range(people)]
        return {key: np.stack([record[key] for record in records]) for key in records[0]}

    def _person(self, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        betas = self.people.shape(rng)
        person = dress_person(self.base, betas, sample_outfit(self.wardrobe, rng))
        return surface_points(person, count, rng) | {"betas": betas}


def surface_points(person: DressedPerson, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random points of a dressed person's surface: the fields points, joint and weight of a record.

    A point has the skin weights of its triangle's nearest corner, which is millimetres away.
    """
    corners = person.vertices["position"][person.faces]  # (F, 3, 3)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    ladder = np.cumsum(area, dtype=np.float64)
    face = np.searchsorted(ladder, rng.random(count) * ladder[-1], side="right").clip(max=len(area) - 1)
    u, v = np.sqrt(rng.random(count)), rng.random(count)
    share = np.stack([1 - u, u * (1 - v), u * v], 1)
    points = np.einsum("pk,pkc->pc", share, corners[face])
    nearest = person.faces[face, share.argmax(1)]
    return {
        "points": points.astype(np.float16),
        "joint": person.vertices["joint"][nearest],
        "weight": person.vertices["weight"][nearest],
    }


def make_surfaces(
    out: Path, models: Path, count: int, indices: range, *, seed: int = 0, held_out: bool = False
) -> None:
    """Make those shards of `indices` that are not there yet, `count` points a person; see `SurfaceMaker`.

    In a process of its own it stops when the process that started it has ended.
    """
    missing, parent = [i for i in indices if not shard_path(out, i).exists()], multiprocessing.parent_process()
    if missing:
        maker = SurfaceMaker(models, seed=seed, held_out=held_out)
        for i in missing:
            if parent is not None and not parent.is_alive():
                return  # it was killed, without a chance to end its workers
            write_shard(shard_path(out, i), maker.make(i, count))
