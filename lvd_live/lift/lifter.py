"""The trained lifter: a person finder's landmarks of one picture in, landmarks in space out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from lvd_live.errors import UserError
from lvd_live.lift.hand_network import HandLiftNetwork
from lvd_live.lift.network import LiftNetwork, symmetric
from lvd_live.lift.over_time import TimeNetwork
from lvd_live.paths import MODELS
from lvd_live.person.sides import COUNTERPART

EXCHANGED = np.array(COUNTERPART)
"""Each landmark's partner on the body's other side."""

OVER_TIME = "over_time.safetensors"
LARGEST_BYTES = 32 << 20
LEAST_HALF = 1e-3  # a box is never smaller, pixels or crop units
MOST_NEARNESS = 3.0  # half box sizes: what the finder says of depth is clipped there
Network = TypeVar("Network", LiftNetwork, TimeNetwork, HandLiftNetwork)
_LONGEST = 200  # characters of a library's own words: they may repeat what stands in the file


@dataclass(frozen=True)
class View:
    """What is known of the camera: its focal length in pixels, width and height of the picture, and whether the focal
    length is more than an assumption."""

    focal: float
    width: int
    height: int
    known: bool

    def cameras(self, count: int) -> Cameras:
        """The same for `count` people, in pixels with y up."""
        principal = np.array([(self.width - 1) / 2, (1 - self.height) / 2], np.float32)
        return Cameras(
            np.full(count, self.focal, np.float32), np.tile(principal, (count, 1)), np.full(count, self.known)
        )


@dataclass(frozen=True)
class Cameras:
    """The cameras before B people, in the unit and the axes (y up) of their landmarks.

    focal : (B,) float32, focal length. principal : (B, 2) float32, principal point.
    known : (B,) bool, whether the focal length is more than an assumption.
    """

    focal: np.ndarray
    principal: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class Lifted:
    """Landmarks in space.

    points : (33, 3) float32: x, y in picture pixels, corrected; nearness to the camera from the hips' middle, pixels:
    f (D − d) / D, with D the hips' distance and d the landmark's along the optical axis.
    scale : (33, 2) float32 pixels, of the Laplace distributions of x and y, and of the nearness.
    doubt : the mean logarithm of the scale in box units: of two readings the one with less is the likelier.
    """

    points: np.ndarray
    scale: np.ndarray
    doubt: float


class Lifter:
    """Lifts landmarks. network : a trained one. over_time : one trained on top of it, or None, see `SteadyLifter`."""

    def __init__(self, network: LiftNetwork, over_time: TimeNetwork | None = None):
        self.network = network.eval().requires_grad_(False)
        self.over_time = None if over_time is None else over_time.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: Path) -> Lifter:
        """Read a weight file written by `train --lifter`, and over_time.safetensors beside it, if there is one, by
        `train --lifter --over-time`. Raises UserError where the first is missing, or one holds none."""
        if not path.is_file():
            raise UserError(f"There is no lifter {path}: restore models/ from the repository.")
        network, beside = read_network(path, LiftNetwork), path.with_name(OVER_TIME)
        over_time = read_network(beside, TimeNetwork) if beside.is_file() else None
        if over_time is not None and over_time.norm.weight.numel() != network.width:
            raise UserError(f"{beside} was trained on top of another lifter than {path}.")
        return cls(network, over_time)

    @staticmethod
    @cache
    def shipped() -> Lifter:
        """The one in models/lift, read once."""
        return Lifter.load(MODELS / "lift" / "lifter.safetensors")

    def __call__(self, landmarks: np.ndarray, view: View) -> Lifted:
        """Lift (33, 4) float: x, y, picture pixels (pixel centres on whole numbers); nearness from the hips' middle as
        the finder has it, pixels, all 0 where it has none; visibility 0..1."""
        return self.lift_readings(landmarks[None], view)[0]

    def readings(self, landmarks: np.ndarray, view: View) -> tuple[Lifted, Lifted]:
        """The landmarks (33, 4) as they are, and with left and right exchanged; without the finder's depth, which takes
        the finder's side."""
        flat = landmarks * np.array([1, 1, 0, 1], landmarks.dtype)
        as_is, exchanged = self.lift_readings(np.stack([flat, flat[EXCHANGED]]), view)
        return as_is, exchanged

    def doubts(self, landmarks: np.ndarray, size: tuple[int, int]) -> tuple[float, float]:
        """Doubts of landmarks (33, 3), picture pixels and visibility: as they are, and with left and right exchanged.

        size : width and height of the picture, pixels; its focal length is taken for the longer side.
        """
        view = View(float(max(size)), *size, known=False)
        as_is, exchanged = self.readings(np.insert(landmarks, 2, 0, axis=1), view)
        return as_is.doubt, exchanged.doubt

    def lift_readings(self, landmarks: np.ndarray, view: View) -> list[Lifted]:
        """Several at once, (B, 33, 4)."""
        xy = landmarks[..., :2]
        inside = np.all((xy >= -0.5) & (xy <= np.array([view.width, view.height]) - 0.5), -1)
        upright = np.array([1, -1, 1, 1])
        points, scale, doubt = self.lift(landmarks * upright, inside, view.cameras(len(landmarks)))
        points *= upright[:3].astype(np.float32)
        return [Lifted(*one) for one in zip(points, scale, doubt.tolist(), strict=True)]

    @torch.inference_mode()
    def lift(
        self, landmarks: np.ndarray, inside: np.ndarray, cameras: Cameras
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lift B people's landmarks, in any unit, y up.

        landmarks : (B, 33, 4) float: x, y, nearness as the finder has it (or 0), visibility.
        inside : (B, 33) bool, whether each lies in the picture.
        Returns points (B, 33, 3) and scale (B, 33, 2) float32 in the unit of `landmarks`, and doubt (B,), see `Lifted`.
        """
        features, camera, middle, half = inputs_of(landmarks, inside, cameras)
        _, *answer = symmetric(self.network, torch.from_numpy(features), torch.from_numpy(camera))
        points, log_scale = (x.numpy() for x in answer)
        size = half[:, None, None]
        points = points * size
        points[..., :2] += middle[:, None]
        return points, np.exp(log_scale) * size, log_scale.mean((1, 2))


def read_network(path: Path, kind: type[Network]) -> Network:
    """A network of a weight file, whose metadata names its sizes. Raises UserError."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ValueError("it is too large")
        with safe_open(path, "pt") as file:
            shape = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}
            sizes = {name: int(shape[name]) for name in kind.SIZES}
            with torch.device("meta"):  # takes no memory, whatever size is stated
                network = kind(**sizes | {"blocks": min(sizes["blocks"], len(state))})
            network.load_state_dict(state, assign=True)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        why = "".join(str(error).splitlines()[:1]).removesuffix(":")[:_LONGEST]
        raise UserError(f"{path} does not hold a lifter's weights ({why}).") from error
    return network


def inputs_of(
    landmarks: np.ndarray, inside: np.ndarray, cameras: Cameras
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `LiftNetwork` takes, of what `Lifter.lift` takes: features (B, 33, 5) and camera (B, 4) float32; and the
    boxes' middles (B, 2) and half sizes (B,), in the unit of the landmarks."""
    xy = landmarks[..., :2].astype(np.float32)
    low, high = xy.min(1), xy.max(1)
    middle, half = (low + high) / 2, np.maximum((high - low).max(1) / 2, LEAST_HALF)
    unit = (xy - middle[:, None]) / half[:, None, None]
    nearness = np.clip(landmarks[..., 2:3] / half[:, None, None], -MOST_NEARNESS, MOST_NEARNESS)
    features = np.concatenate([unit, nearness, landmarks[..., 3:4], inside[..., None]], -1).astype(np.float32)
    focal = cameras.focal[:, None]
    rays, size = (middle - cameras.principal) / focal, half[:, None] / focal
    camera = np.concatenate([2 * rays, 2 * size, cameras.known[:, None]], 1).astype(np.float32)
    return features, camera, middle, half
