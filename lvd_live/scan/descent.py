"""Where registration starts: meshes that a network's descent leaves in a cloud."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.spatial import cKDTree

from lvd_live.body.correspondence import Correspondence
from lvd_live.body.model import BodyModel
from lvd_live.scan.cube import Cube
from lvd_live.scan.network import ScanNetwork

LOOKED_AT = 2000  # points and vertices that a mesh is judged by


class Descent(Protocol):
    """Clouds (P_i, 3), any unit, y up, to meshes of a body's topology in the clouds' own frames.

    Returns vertices (B, N, 3) float64 and, if `certain`, their uncertainty (B, N), in the clouds' unit, else None.
    """

    def __call__(self, clouds: Sequence[np.ndarray], *, certain: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """See the class."""


class NetworkDescent:
    """A network's descent, its meshes carried to the body that is registered.

    weights : None, the network that is shipped. Raises UserError where a file is missing or unfit.
    """

    def __init__(self, network: ScanNetwork, served: BodyModel, body: BodyModel):
        """served : the body whose vertices the network moves. body : the one that is registered."""
        self._network = network
        same = served.faces.shape == body.faces.shape and bool((served.faces == body.faces).all())
        self._carry = None if same else Correspondence.between(served, body)

    @classmethod
    def load(cls, served: BodyModel, body: BodyModel, weights: Path | None = None) -> NetworkDescent:
        """weights : a file; None: the one that is shipped."""
        return cls(ScanNetwork.load(weights), served, body)

    def __call__(self, clouds: Sequence[np.ndarray], *, certain: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """See `Descent`."""
        cubes = [Cube.around(cloud) for cloud in clouds]
        inside = [cube.into(cloud) for cube, cloud in zip(cubes, clouds, strict=True)]
        ended = self._network.descend(inside, samples=8 if certain else 0)
        meshes = np.stack([cube.out_of(v) for cube, v in zip(cubes, ended.vertices, strict=True)])
        half = np.array([cube.half for cube in cubes])
        std = None if ended.sigma is None else ended.sigma * half[:, None]
        if self._carry is None:
            return meshes, std
        return self._carry(meshes), None if std is None else self._carry(std[..., None])[..., 0]


def two_way(points: np.ndarray, vertices: np.ndarray, *, partial: bool = False) -> float:
    """How far points (P, 3) and a mesh's vertices (N, 3) lie from each other, of the cloud's size: the mean of both
    ways, or of the points' alone (`partial`), over the longest side of the cloud's box."""
    some = points[:: max(1, len(points) // LOOKED_AT)]
    mesh = vertices[:: max(1, len(vertices) // LOOKED_AT)]
    there = cKDTree(mesh).query(some)[0].mean()
    back = there if partial else cKDTree(some).query(mesh)[0].mean()
    return float((there + back) / 2 / np.ptp(some, axis=0).max())
