"""The hand lifter: what the hand network answers to 21 points in space with their uncertainty.

The network's landmarks err most where fingers hide each other, and its depths are guesses. A small network that saw its
answers on rendered hands beside the truth corrects both.

*Hand frame*: a right hand's, left ones mirrored; x right, y down, turned in the picture so that the knuckles lie above
the wrist, the landmarks' bounding box in the middle, half its longer side = 1; z away from the camera, from the wrist.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from lvd_live.errors import UserError
from lvd_live.lift.hand_network import HandLiftNetwork
from lvd_live.lift.lifter import read_network
from lvd_live.paths import MODELS
from lvd_live.person.types import Hand

_WORLD_UNIT = 0.1  # metres
_LEAST_HALF = 1e-3  # pixels


@dataclass(frozen=True)
class HandViews:
    """What is known of B hands, each along the picture's axes: x right, y down, z away from the camera.

    landmarks (B, 21, 3), world (B, 21, 3), presence (B,), right_side (B,), length (B,) : see `person.types.Hand`.
    forearm : (B, 3) unit, from the elbow to the wrist, as if the hand were on the optical axis. side : (B,) 0 left, 1.
    """

    landmarks: np.ndarray
    world: np.ndarray
    presence: np.ndarray
    right_side: np.ndarray
    length: np.ndarray
    forearm: np.ndarray
    side: np.ndarray

    @classmethod
    def of(cls, hand: Hand, side: int, forearm: np.ndarray) -> HandViews:
        """A single one. forearm : (3,)."""
        presence, right_side, length = np.array([[hand.presence], [hand.right_side], [hand.length]])
        return cls(
            hand.landmarks[None], hand.world[None], presence, right_side, length, forearm[None], np.array([side])
        )


@dataclass(frozen=True)
class HandFrames:
    """Hand frames of B hands. turn : (B, 2, 2) from the picture's axes, mirrored where `sign` (B,) is −1, to theirs.
    middle : (B, 2), half : (B,), pixels, of the boxes."""

    sign: np.ndarray
    turn: np.ndarray
    middle: np.ndarray
    half: np.ndarray

    @classmethod
    def of(cls, landmarks: np.ndarray, side: np.ndarray) -> HandFrames:
        """Those of landmarks (B, 21, 2 or more), pixels. side : (B,) 0 left, 1 right."""
        sign = np.where(side > 0, 1.0, -1.0)
        xy = landmarks[..., :2] * np.stack([sign, np.ones_like(sign)], 1)[:, None]
        up = (xy[:, 5] + xy[:, 13]) / 4 + xy[:, 9] / 2 - xy[:, 0]
        up = up / np.maximum(np.linalg.norm(up, axis=1, keepdims=True), _LEAST_HALF)
        turn = np.stack([np.stack([-up[:, 1], up[:, 0]], 1), -up], 1)
        xy = xy @ turn.swapaxes(1, 2)
        low, high = xy.min(1), xy.max(1)
        return cls(sign, turn, (low + high) / 2, np.maximum((high - low).max(1) / 2, _LEAST_HALF))

    def directed(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (B, K, 3) along the picture's axes, along those of the frames."""
        mirrored = vectors[..., :2] * np.stack([self.sign, np.ones_like(self.sign)], 1)[:, None]
        return np.concatenate([mirrored @ self.turn.swapaxes(1, 2), vectors[..., 2:]], -1)

    def placed(self, points: np.ndarray) -> np.ndarray:
        """Points (B, K, 3) of pictures, pixels, in the frames; the first one's depth becomes 0."""
        out = self.directed(points)
        out[..., :2] -= self.middle[:, None]
        out[..., 2] -= out[:, :1, 2]
        return out / self.half[:, None, None]

    def in_picture(self, points: np.ndarray) -> np.ndarray:
        """The inverse of `placed`."""
        out = points * self.half[:, None, None]
        out[..., :2] = (out[..., :2] + self.middle[:, None]) @ self.turn
        out[..., 0] *= self.sign[:, None]
        return out


def hand_features(views: HandViews, frames: HandFrames) -> np.ndarray:
    """(B, FEATURES) float32: of each point its landmark and its place in space (in 10 cm), hand frame; the forearm; the
    logarithm of the box's size beside the length; presence; the side's probability; the frame's upward direction."""
    landmarks = frames.placed(views.landmarks.astype(float))
    world = frames.directed((views.world - views.world[:, :1]).astype(float)) / _WORLD_UNIT
    forearm = frames.directed(views.forearm.astype(float)[:, None])[:, 0]
    size = np.log(2 * frames.half / np.maximum(views.length, _LEAST_HALF))
    about = np.stack([size, views.presence, views.right_side, *frames.turn[:, 0].T], 1)
    points = np.concatenate([landmarks, world], -1).reshape(len(size), -1)
    return np.concatenate([points, forearm, about], 1).astype(np.float32)


class HandLifter:
    """Lifts hands. network : a trained one."""

    def __init__(self, network: HandLiftNetwork):
        self.network = network.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: Path) -> HandLifter:
        """Read a weight file written by `train --lifter --hands`. Raises UserError."""
        if not path.is_file():
            raise UserError(f"There is no hand lifter {path}: restore models/ from the repository.")
        return cls(read_network(path, HandLiftNetwork))

    @staticmethod
    @cache
    def shipped() -> HandLifter:
        """The one in models/lift, read once."""
        return HandLifter.load(MODELS / "lift" / "hands.safetensors")

    @torch.inference_mode()
    def __call__(self, views: HandViews) -> tuple[np.ndarray, np.ndarray]:
        """Points (B, 21, 3), pixels, depth from the wrist in pixels, too, x and y as on the optical axis and without
        perspective; and the scales of their Laplace distributions (B, 21, 3), pixels."""
        frames = HandFrames.of(views.landmarks.astype(float), views.side)
        points, log_scale = self.network(torch.from_numpy(hand_features(views, frames)))
        scale = np.exp(log_scale.numpy()[..., [0, 0, 1]].astype(float)) * frames.half[:, None, None]
        return frames.in_picture(points.numpy().astype(float)), scale
