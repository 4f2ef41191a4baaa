"""The trained lifter: a person finder's landmarks of one picture in, landmarks in space out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from lvd_live.errors import UserError
from lvd_live.lift.network import LiftNetwork
from lvd_live.paths import MODELS

EXCHANGED = np.array([0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(k + 1 if k % 2 else k - 1 for k in range(11, 33))])
"""Each landmark's partner on the body's other side."""

HIPS = (23, 24)
LARGEST_BYTES = 32 << 20
_LONGEST = 200  # characters of a library's own words: they may repeat what stands in the file


@dataclass(frozen=True)
class View:
    """What is known of the camera: its focal length in pixels, width and height of the picture, and whether the focal
    length is more than an assumption."""

    focal: float
    width: int
    height: int
    known: bool


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
    """Lifts landmarks. network : a trained one."""

    def __init__(self, network: LiftNetwork):
        self.network = network.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: Path) -> Lifter:
        """Read a weight file written by `train --lifter`. Raises UserError where it is missing or holds none."""
        if not path.is_file():
            raise UserError(f"There is no lifter {path}: restore models/ from the repository.")
        try:
            if path.stat().st_size > LARGEST_BYTES:
                raise ValueError("it is too large")
            with safe_open(path, "pt") as file:
                shape = file.metadata() or {}
                state = {name: file.get_tensor(name).float() for name in file.keys()}
                with torch.device("meta"):  # takes no memory, whatever size is stated
                    network = LiftNetwork(int(shape["width"]), min(int(shape["blocks"]), len(state)))
                network.load_state_dict(state, assign=True)
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            why = "".join(str(error).splitlines()[:1]).removesuffix(":")[:_LONGEST]
            raise UserError(f"{path} does not hold a lifter's weights ({why}).") from error
        return cls(network)

    @staticmethod
    @cache
    def shipped() -> Lifter:
        """The one in models/lift, read once."""
        return Lifter.load(MODELS / "lift" / "lifter.safetensors")

    def __call__(self, landmarks: np.ndarray, view: View) -> Lifted:
        """Lift (33, 3) float: picture pixels (pixel centres on whole numbers) and visibility 0..1."""
        return self.lift_readings(landmarks[None], view)[0]

    def readings(self, landmarks: np.ndarray, view: View) -> tuple[Lifted, Lifted]:
        """The landmarks (33, 3) as they are, and with left and right exchanged."""
        as_is, exchanged = self.lift_readings(np.stack([landmarks, landmarks[EXCHANGED]]), view)
        return as_is, exchanged

    @torch.inference_mode()
    def lift_readings(self, landmarks: np.ndarray, view: View) -> list[Lifted]:
        """Several at once, (B, 33, 3)."""
        features, camera, middle, half = inputs_of(landmarks, view)
        points, log_scale = (x.numpy() for x in self.network(torch.from_numpy(features), torch.from_numpy(camera)))
        out = []
        for xyz, scale, centre, size in zip(points, log_scale, middle, half, strict=True):
            pixels = xyz * np.array([size, -size, size], np.float32)
            pixels[:, :2] += centre
            out.append(Lifted(pixels, np.exp(scale) * np.float32(size), float(scale.mean())))
        return out


def inputs_of(landmarks: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `LiftNetwork` takes, of landmarks (B, 33, 3): features (B, 33, 4) and camera (B, 4) float32; and the boxes'
    middles (B, 2) and half sizes (B,), picture pixels."""
    xy = landmarks[..., :2].astype(np.float32)
    low, high = xy.min(1), xy.max(1)
    middle, half = (low + high) / 2, np.maximum((high - low).max(1) / 2, 1e-3)
    edge = np.array([view.width - 0.5, view.height - 0.5], np.float32)
    inside = np.all((xy >= -0.5) & (xy <= edge), -1)
    unit = (xy - middle[:, None]) / half[:, None, None] * np.array([1, -1], np.float32)
    features = np.concatenate([unit, landmarks[..., 2:3], inside[..., None]], -1).astype(np.float32)
    principal = np.array([(view.width - 1) / 2, (view.height - 1) / 2], np.float32)
    rays = (middle - principal) / view.focal * np.array([1, -1], np.float32)
    known = np.full((len(xy), 1), view.known)
    camera = np.concatenate([2 * rays, 2 * half[:, None] / view.focal, known], 1).astype(np.float32)
    return features, camera, middle, half
