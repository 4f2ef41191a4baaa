"""Recorded motion, as quaternions: the poses of models/synth/poses.npz in their order in time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from lvd_live.train.lift_noise import Noise

CLIP_RATE = 30.0  # frames a second of the recorded clips
LARGEST_GAP = 6  # frames between two poses that belong to one stretch
SHORTEST = 10  # frames of a stretch


class Clips:
    """Recorded clips at 30 frames a second, as quaternions, w first."""

    def __init__(self, models: Path, *, held_out: bool, device: torch.device):
        with np.load(models / "synth" / "poses.npz", allow_pickle=False) as file:
            pose, clip, category = file["pose"].astype(np.float32), file["clip"], file["category"]
            keep = file["held_out"] == held_out
        with np.load(models / "synth" / "pose_frames.npz", allow_pickle=False) as file:
            frame = file["frame"].astype(int)
        parts, lengths, kinds = [], [], []
        for number in np.unique(clip[keep]):
            rows = np.flatnonzero(clip == number)
            rows = rows[np.argsort(frame[rows])]
            for stretch in np.split(rows, np.flatnonzero(np.diff(frame[rows]) > LARGEST_GAP) + 1):
                if frame[stretch[-1]] - frame[stretch[0]] >= SHORTEST:
                    parts.append(resampled(pose[stretch], frame[stretch]))
                    lengths.append(len(parts[-1]))
                    kinds.append(category[stretch[0]])
        self._quaternions = torch.from_numpy(np.concatenate(parts)).to(device)
        self._lengths = torch.tensor(lengths, device=device)
        self._starts = torch.cumsum(self._lengths, 0) - self._lengths
        total = np.bincount(kinds, lengths)
        share = np.array(lengths) * np.sqrt(total[kinds]) / total[kinds]
        self._shares = torch.tensor(share / share.sum(), device=device).float()

    def draw(self, times: torch.Tensor, noise: Noise) -> torch.Tensor:
        """Quaternions (B, T, 24, 4) at times (B, T), seconds, from a random moment of a random stretch on; at its ends
        the motion goes back."""
        chosen = torch.multinomial(self._shares, len(times), replacement=True, generator=noise.random)
        last = (self._lengths[chosen] - 1)[:, None].float()
        speed = torch.exp(0.3 * noise.normal(len(times), 1))
        at = (times * speed * CLIP_RATE + noise.uniform(len(times), 1) * 2 * last) % (2 * last)
        at = torch.where(at > last, 2 * last - at, at)
        low = torch.minimum(at.floor(), last - 1)
        place = self._starts[chosen][:, None] + low.long()
        return between(self._quaternions[place], self._quaternions[place + 1], (at - low)[..., None, None])


def resampled(pose: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Poses (P, 24, 3) axis-angle of frames (P,), at every frame between: quaternions (N, 24, 4) float32, w first."""
    q = Rotation.from_rotvec(pose.reshape(-1, 3)).as_quat()[:, [3, 0, 1, 2]].reshape(*pose.shape[:2], 4)
    for i in range(1, len(q)):
        q[i] *= np.where((q[i] * q[i - 1]).sum(-1, keepdims=True) < 0, -1, 1)
    every = np.arange(frame[0], frame[-1] + 1)
    high = np.searchsorted(frame, every).clip(1)
    part = ((every - frame[high - 1]) / (frame[high] - frame[high - 1]))[:, None, None]
    out = (1 - part) * q[high - 1] + part * q[high]
    kernel = np.array([0.25, 0.5, 0.25])  # rounds the corners between the poses kept
    padded = np.concatenate([out[:1], out, out[-1:]])
    out = sum(k * padded[i : len(out) + i] for i, k in enumerate(kernel))
    return (out / np.linalg.norm(out, axis=-1, keepdims=True)).astype(np.float32)


def between(a: torch.Tensor, b: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """Quaternions (..., 4) between a and b: the normalised straight line."""
    b = torch.where((a * b).sum(-1, keepdim=True) < 0, -b, b)
    return torch.nn.functional.normalize(a + part * (b - a), dim=-1)


def to_quaternion(axis_angle: torch.Tensor) -> torch.Tensor:
    """(..., 3) radians -> (..., 4), w first."""
    angle = axis_angle.norm(dim=-1, keepdim=True)
    return torch.cat([torch.cos(angle / 2), axis_angle * torch.sinc(angle / (2 * torch.pi)) / 2], -1)


def to_matrix(q: torch.Tensor) -> torch.Tensor:
    """Unit quaternions (..., 4), w first -> (..., 3, 3)."""
    w, x, y, z = q.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def about_y(angle: torch.Tensor) -> torch.Tensor:
    """Rotations (..., 3, 3) by angles (...)."""
    c, s, o, i = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, o, s, o, i, o, -s, o, c], -1).unflatten(-1, (3, 3))


def multiplied(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Products of quaternions (..., 4), w first."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )
