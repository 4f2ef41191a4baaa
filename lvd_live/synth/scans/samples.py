"""Samples: clouds in the cube frame, and where the body's vertices are in it; made on the way from shards of people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from lvd_live.body.model import BodyModel
from lvd_live.scan.cube import Cube
from lvd_live.synth.dataset import Shards
from lvd_live.synth.motion import PoseBank
from lvd_live.synth.scans.posed import Poser, pose_points
from lvd_live.synth.scans.scanner import CLEAN, Scanner, scan

KEYS = ("points", "joint", "weight", "betas")
LEAN, MUCH, MOST = 0.08, 0.4, 0.6  # radians: standard deviation of the lean, that of a share of scans, and its end
LEANS_MUCH = 0.15
SCALE, SHIFT = 0.06, 0.04  # standard deviations of how far the cube is off, logarithm and half sides

KINDS = {
    "full": CLEAN,
    "one-sided": replace(CLEAN, sides=(0, 0, 0, 1)),
    "two-sided": replace(CLEAN, sides=(0, 0, 1, 0)),
    "noisy": replace(CLEAN, points=(3_000, 6_000), noise=0.008, holes=1.0, soles=0.5, fused=0.5),
    "with objects": replace(CLEAN, strays=1.0, object=1.0, floor=0.5),
}
"""Scanners to measure with, by the name of what they give."""


@dataclass(frozen=True)
class ScanBatch:
    """B scans.

    clouds : each (P_i, 3) float32, cube frame. vertices : (B, V, 3) float32, cube frame, the truth.
    half : (B,) float32, metres per unit. pose : (B, 24, 3), betas : (B, 20), of the bodies before they were turned.
    size : voxels, to learn from them at; None: the network's own.
    """

    clouds: tuple[torch.Tensor, ...]
    vertices: torch.Tensor
    half: torch.Tensor
    pose: torch.Tensor
    betas: torch.Tensor
    size: int | None = None

    def __len__(self) -> int:
        return len(self.clouds)

    def to(self, device: torch.device) -> ScanBatch:
        """The same on a device."""
        clouds = tuple(cloud.to(device) for cloud in self.clouds)
        vertices, half, pose, betas = (t.to(device) for t in (self.vertices, self.half, self.pose, self.betas))
        return ScanBatch(clouds, vertices, half, pose, betas, self.size)


class ScanSamples:
    """Draws scans of random people in random poses."""

    def __init__(self, models: Path, *, held_out: bool = False, vertices: np.ndarray | None = None):
        """models : the folder with body and poses. held_out : whole clips that training never gets.

        vertices : (V,), which of the body's vertices are the truth; None: all.
        """
        body = BodyModel.load(models / "body" / "lvd_body.npz")
        self.poser = Poser.of(body, vertices)
        self.motion = PoseBank.load(models / "synth" / "poses.npz", held_out=held_out)

    def draw(
        self, shards: Shards, rng: np.random.Generator, count: int, scanner: Scanner, *, exact_cube: bool = False
    ) -> ScanBatch:
        """`count` scans of random people of the shards (see `surfaces`); see `of`."""
        return self.of(shards.draw(rng, count, KEYS), rng, scanner, exact_cube=exact_cube)

    @torch.no_grad()
    def of(
        self, rows: list[dict[str, np.ndarray]], rng: np.random.Generator, scanner: Scanner, *, exact_cube: bool = False
    ) -> ScanBatch:
        """A scan, in a new pose, of each of the people `rows`, whose fields are KEYS.

        exact_cube : whether the cube is `Cube.around` the cloud, as at inference, and not varied.
        """
        pose = np.stack([self.motion.sample(rng) for _ in rows]).astype(np.float32)
        poses, betas = torch.from_numpy(pose), torch.from_numpy(np.stack([row["betas"] for row in rows]))
        bones = self.poser.bones(betas, poses)
        bodies = self.poser.vertices(betas, bones)
        clouds, truth, halves = [], [], []
        for row, bone, body in zip(rows, bones, bodies, strict=True):
            points, joint = _thinned(row, bone, scanner, rng)
            R = random_turn(rng)
            cloud = scan(points @ R.T, joint, scanner, rng)
            cube = Cube.around(cloud)
            cube = cube if exact_cube else varied(cube, rng)
            clouds.append(torch.from_numpy(cube.into(cloud)))
            truth.append(torch.from_numpy(cube.into(body.numpy() @ R.T)))
            halves.append(cube.half)
        return ScanBatch(tuple(clouds), torch.stack(truth), torch.tensor(halves).float(), poses, betas)


def _thinned(
    row: dict[str, np.ndarray], bones: torch.Tensor, scanner: Scanner, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Some of a person's points, posed, (P, 3), and the joint that moves each most (P,)."""
    low, high = np.minimum(scanner.points, len(row["points"]))
    count = int(round(np.exp(rng.uniform(np.log(low), np.log(high)))))
    first = int(rng.integers(len(row["points"]) - count + 1))
    points, joint, weight = (torch.from_numpy(row[key][first : first + count]) for key in ("points", "joint", "weight"))
    strongest = np.take_along_axis(joint.numpy(), weight.numpy().argmax(1)[:, None], 1)[:, 0]
    return pose_points(points, joint, weight, bones).numpy(), strongest


def random_turn(rng: np.random.Generator) -> np.ndarray:
    """A rotation (3, 3): any yaw, then a lean of the upright."""
    lean = rng.normal(0, MUCH if rng.random() < LEANS_MUCH else LEAN, 2)
    lean *= min(1.0, MOST / max(float(np.linalg.norm(lean)), 1e-9))
    upright = Rotation.from_rotvec([lean[0], 0, lean[1]])
    return (upright * Rotation.from_euler("y", rng.uniform(0, 2 * np.pi))).as_matrix().astype(np.float32)


def varied(cube: Cube, rng: np.random.Generator) -> Cube:
    """A cube that is a little off."""
    half = cube.half * float(np.exp(rng.normal(0, SCALE)))
    return Cube(cube.centre + rng.normal(0, SHIFT, 3) * half, half)


def held_out_scans(
    samples: ScanSamples, shards: Shards, kind: str, count: int, *, batch: int = 16, seed: int = 99
) -> list[ScanBatch]:
    """`count` scans of a kind of KINDS, always the same ones, in batches."""
    rng = np.random.default_rng((seed, list(KINDS).index(kind)))
    sizes = [min(batch, count - i) for i in range(0, count, batch)]
    return [samples.draw(shards, rng, size, KINDS[kind], exact_cube=True) for size in sizes]
