"""Batches for training: samples from shards, varied on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields

import cv2
import numpy as np
import torch

from lvd_live.lift.lifter import Lifter
from lvd_live.lvd.network import LANDMARKS, AlignedFeatures
from lvd_live.person.crop import warp_crop
from lvd_live.synth.dataset import Shards
from lvd_live.synth.lifted import lift_rows
from lvd_live.tracking.conditioning import HIPS

KEYS = ("picture", "alpha", "mask", "landmarks", "fine", "coarse", "region", "truth", "vertices", "pose", "betas")
CAMERA_KEYS = ("focal", "offset")  # what the lifter needs besides


@dataclass(frozen=True)
class LiftedVariation:
    """How landmarks are varied where they are lifted. Standard deviations, crop units.

    truth : on the true landmarks before they are lifted; a sample's own is spread around it. picture, depth : on every
    lifted landmark.
    """

    truth: float = 0.02
    picture: float = 0.005
    depth: float = 0.01


@dataclass(frozen=True)
class Variation:
    """How samples are varied.

    shift, scale, roll : standard deviations of where the sample lies in its crop; crop units, natural logarithm,
        radians.
    no_landmarks, no_maps : probabilities that a sample comes without landmarks, without detector features.
    one_landmark : probability that a landmark is missing, each on its own.
    true_landmarks, true_mask : probabilities of the truth instead of the finder's; of the landmarks with noise.
    noise, depth_noise : standard deviations on every landmark, in x and y and in depth, crop units.
    lifted : where the landmarks are lifted, instead of these two.
    """

    shift: float = 0.03
    scale: float = 0.05
    roll: float = 0.10
    no_landmarks: float = 0.30
    no_maps: float = 0.20
    one_landmark: float = 0.06
    true_landmarks: float = 0.25
    true_mask: float = 0.15
    noise: float = 0.012
    depth_noise: float = 0.03
    lifted: LiftedVariation = field(default_factory=LiftedVariation)


@dataclass(frozen=True)
class Batch:
    """B samples.

    picture : (B, S, S, 3) uint8 RGB. mask : (B, S, S) uint8.
    landmarks : (B, L, 4: x, y, depth, confidence) float32, crop frame; confidence 0: absent.
    vertices : (B, K, 3) float32, crop frame.
    pose : (B, 24, 3) axis-angle, betas : (B, 20); the parameters, but the crop may have been turned since.
    maps : zeros where absent.
    """

    picture: torch.Tensor
    mask: torch.Tensor
    landmarks: torch.Tensor
    vertices: torch.Tensor
    pose: torch.Tensor
    betas: torch.Tensor
    maps: AlignedFeatures

    def __len__(self) -> int:
        return len(self.picture)

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(*(getattr(self, f.name).to(device) for f in fields(self)))


def draw_batch(
    shards: Shards,
    rng: np.random.Generator,
    count: int,
    size: int,
    variation: Variation,
    lifter: Lifter | None = None,
) -> Batch:
    """`count` random samples at `size` pixels, varied. lifter : lifts their landmarks; None: they stay as they are."""
    rows = shards.draw(rng, count, KEYS if lifter is None else KEYS + CAMERA_KEYS)
    if lifter is None:
        samples = [vary(row, size, rng, variation) for row in rows]
    else:
        flat = np.stack([flat_landmarks(row, rng, variation) for row in rows])
        lifted = lift_rows(lifter, rows, flat, rng)
        samples = [vary(row, size, rng, variation, points) for row, points in zip(rows, lifted, strict=True)]
    arrays = [torch.from_numpy(np.stack(parts)) for parts in zip(*samples, strict=True)]
    picture, mask, landmarks, vertices, pose, betas, fine, coarse, region = arrays
    return Batch(picture, mask, landmarks, vertices, pose, betas, AlignedFeatures(fine, coarse, region))


def vary(
    row: Mapping[str, np.ndarray],
    size: int,
    rng: np.random.Generator,
    v: Variation,
    lifted: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]:
    """One sample turned, scaled and shifted in the picture's plane, with other colours and other conditioning.

    The turn is exact: the same person before a rolled camera.

    row : the fields KEYS of a shard's sample. size : pixels. lifted : (33, 4), landmarks instead of the row's own.
    Returns the arrays of `Batch` in their order, those of its maps last.
    """
    angle, k, shift = rng.normal(0, v.roll), float(np.exp(rng.normal(0, v.scale))), rng.normal(0, v.shift, 2)
    A = k * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # crop frame, y up
    mask = row["alpha"] if rng.random() < v.true_mask else row["mask"]
    picture, mask = warp_crop(row["picture"], A, shift, size), warp_crop(mask, A, shift, size)
    gain = np.exp(rng.normal(0, 0.12, 3) + rng.normal(0, 0.2)).astype(np.float32)
    if rng.random() < 0.8:
        offset = float(rng.normal(0, 6))
        picture = cv2.add(cv2.multiply(picture, (*gain.tolist(), 0.0)), (offset, offset, offset, 0.0))

    def move(points: np.ndarray) -> np.ndarray:
        points = points.astype(np.float32)
        return np.concatenate([points[:, :2] @ A.T + shift, k * points[:, 2:3]], 1).astype(np.float32)

    back = np.linalg.inv(A)
    linear, origin = row["region"][:, :2], row["region"][:, 2]
    region = np.column_stack([linear @ back, origin - linear @ back @ shift]).astype(np.float32)
    given = np.uint8(rng.random() > v.no_maps)
    return (
        picture,
        mask,
        conditioning(row, move, rng, v) if lifted is None else lifted_conditioning(lifted, move, rng, v),
        move(row["vertices"]),
        row["pose"],
        row["betas"],
        row["fine"] * given,
        row["coarse"] * given,
        region,
    )


def conditioning(
    row: Mapping[str, np.ndarray], move: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator, v: Variation
) -> np.ndarray:
    """The landmarks that the network is given, (L, 4) float32, some or all of them dropped.

    They are the finder's, or the truth with noise. move : points (P, 3) of the sample to the varied crop.
    """
    chosen = list(LANDMARKS)
    if rng.random() < v.true_landmarks:
        truth = row["truth"].astype(np.float32)
        xyz = np.concatenate([truth[:, :2], truth[:, 2:] - truth[list(HIPS), 2].mean()], 1)[chosen]
        confidence = rng.uniform(0.5, 1, len(chosen))
    else:
        xyz, confidence = row["landmarks"][chosen, :3], row["landmarks"][chosen, 3].astype(np.float32)
    xyz = move(xyz)  # depths, relative to the hips, are only scaled
    level = np.exp(rng.normal(0, 0.5))
    xyz[:, :2] += rng.normal(0, v.noise * level, (len(chosen), 2))
    stretch = np.exp(rng.normal(0, 0.08))
    noise = rng.normal(0, v.depth_noise * level, len(chosen))
    xyz[:, 2] = xyz[:, 2] * stretch + noise + xyz[:, 1] * rng.normal(0, 0.06)  # the last: the body leans
    keep = (rng.random(len(chosen)) > v.one_landmark) & (rng.random() > v.no_landmarks)
    return np.column_stack([xyz, confidence * keep]).astype(np.float32)


def flat_landmarks(row: Mapping[str, np.ndarray], rng: np.random.Generator, v: Variation) -> np.ndarray:
    """What is to be lifted, (33, 3) float32, x, y, visibility: the finder's, or the truth with noise."""
    if rng.random() >= v.true_landmarks:
        return row["landmarks"].astype(np.float32)[:, [0, 1, 3]]
    level = v.lifted.truth * np.exp(rng.normal(0, 0.5))
    xy = row["truth"][:, :2].astype(np.float32) + rng.normal(0, level, (len(row["truth"]), 2))
    return np.column_stack([xy, rng.uniform(0.7, 1, len(xy))]).astype(np.float32)


def lifted_conditioning(
    lifted: np.ndarray, move: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator, v: Variation
) -> np.ndarray:
    """As `conditioning`, of lifted landmarks (33, 4): (L, 4) float32."""
    chosen = lifted[list(LANDMARKS)]
    xyz = move(chosen[:, :3])
    xyz += rng.normal(0, 1, xyz.shape) * (v.lifted.picture, v.lifted.picture, v.lifted.depth)
    keep = (rng.random(len(xyz)) > v.one_landmark) & (rng.random() > v.no_landmarks)
    return np.column_stack([xyz, chosen[:, 3] * keep]).astype(np.float32)
