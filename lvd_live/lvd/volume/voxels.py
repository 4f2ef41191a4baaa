"""From points to the volume that a network takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lvd_live.lvd.volume.features import trilinear_corners


def density(clouds: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    """How many points lie in each voxel, shared trilinearly among eight: (B, 1, size³) float32, axes z, y, x.

    As log(1 + 2c/m), m the mean count of the cloud's voxels that hold any: the number of points hardly matters.

    clouds : B clouds (P_i, 3), cube frame; points outside of -1..1 are left out.
    """
    owner = torch.cat([torch.full((len(cloud),), i) for i, cloud in enumerate(clouds)]).to(clouds[0].device)
    points = torch.cat(list(clouds)).float()
    inside = (points.abs() <= 1).all(1)
    index, weights = trilinear_corners(points[inside], size)
    index = index + (owner[inside] * size**3)[:, None]
    count = torch.bincount(index.flatten(), weights.flatten(), len(clouds) * size**3).view(len(clouds), -1).float()
    mean = count.sum(1) / (count > 0).sum(1).clamp(min=1)
    return torch.log1p(2 * count / mean.clamp(min=1e-6)[:, None]).view(-1, 1, size, size, size)


def squared_distance(clouds: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    """The squared distance of each voxel's centre from the nearest point, cube frame's units, as the paper's network
    takes it: (B, 1, size, size, size) float32, axes z, y, x.

    clouds : B clouds (P_i, 3), cube frame, of at least one point each.
    """
    at = (2 * np.arange(size) + 1) / size - 1
    z, y, x = np.meshgrid(at, at, at, indexing="ij")
    centres = np.stack([x, y, z], -1).reshape(-1, 3)
    from scipy.spatial import cKDTree  # here, because whoever reads weights imports this, and scipy takes long

    distances = [cKDTree(cloud.cpu().numpy()).query(centres)[0] ** 2 for cloud in clouds]
    volume = torch.from_numpy(np.stack(distances).astype(np.float32)).to(clouds[0].device)
    return volume.view(-1, 1, size, size, size)


EVIDENCE = {"density": density, "squared distance": squared_distance}
"""What a volume can hold, by the name that presets use."""
