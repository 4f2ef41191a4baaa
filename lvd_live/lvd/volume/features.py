"""What a backbone makes of a volume."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class VolumeFeatures:
    """What is known of a batch of volumes, from which the field reads.

    levels : each (B, C_i, S_i, S_i, S_i) with axes z, y, x; the first voxel's centre at -1 + 1/S_i. An aligned feature
        is their trilinear values at the point, concatenated; outside of -1..1, those at the nearest point inside.
    whole : (B, G), a vector about the whole volume; None where the backbone gives none.
    """

    levels: tuple[torch.Tensor, ...]
    whole: torch.Tensor | None = None

    @property
    def landmarks(self) -> None:
        """Volumes have none."""
        return None

    def __len__(self) -> int:
        return len(self.levels[0])

    def at(self, points: torch.Tensor) -> torch.Tensor:
        """Aligned features (B, M, ΣC_i) float32 of points (B, M, 3), cube frame."""
        points = points.float()
        return torch.cat([sample_volume(level.float(), points) for level in self.levels], -1)

    def repeated(self, count: int) -> VolumeFeatures:
        """The features of a single volume as those of a batch of `count` equal ones, without copying."""
        levels = tuple(level.expand(count, -1, -1, -1, -1) for level in self.levels)
        return VolumeFeatures(levels, None if self.whole is None else self.whole.expand(count, -1))


def sample_volume(volume: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Trilinear values (B, M, C) of volumes (B, C, S, S, S), axes z, y, x, at points (B, M, 3: x, y, z) in -1..1.

    The same as `grid_sample` with its border padding; on a CPU, forward and backward take a fraction of its time where
    the volume's channels lie last in memory. Differentiable in the volume, not in the points.
    """
    B, C, S = volume.shape[:3]
    if volume.device.type != "cpu":
        grid = points[:, :, None, None]
        return F.grid_sample(volume, grid, padding_mode="border", align_corners=False)[..., 0, 0].transpose(1, 2)
    rows = volume.permute(0, 2, 3, 4, 1).reshape(B * S**3, C)
    index, weights = trilinear_corners(points.detach(), S)
    index = index + S**3 * torch.arange(B, device=points.device)[:, None, None]
    values = F.embedding_bag(index.flatten(0, 1), rows, per_sample_weights=weights.flatten(0, 1), mode="sum")
    return values.unflatten(0, (B, -1))


def trilinear_corners(points: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The eight voxels around points (..., 3: x, y, z) in -1..1 of a volume of size³: index, weights, both (..., 8).

    index : int64, into the volume's voxels in the order of axes z, y, x. weights : float32, sums to 1; points outside
    of the outermost voxels' centres count as the nearest place between them. Of NaN weights are NaN, the index exists.
    """
    place = ((points + 1) * (size / 2) - 0.5).clamp(0, size - 1)
    low = place.nan_to_num(0).floor().clamp(max=max(size - 2, 0))
    high = place - low
    low, far = low.long(), torch.stack([1 - high, high], -1)  # (..., xyz, low or high)
    x, y, z = far.unbind(-2)
    weights = (z[..., :, None, None] * y[..., None, :, None] * x[..., None, None, :]).flatten(-3)
    step = torch.tensor([0, 1], device=points.device).clamp(max=size - 1)
    offset = (step[:, None, None] * size**2 + step[:, None] * size + step).flatten()
    first = (low[..., 2] * size + low[..., 1]) * size + low[..., 0]
    return first[..., None] + offset, weights
