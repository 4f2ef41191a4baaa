"""Learned Vertex Descent on scans, ready to use: clouds of points in, meshes and their uncertainty out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils import parametrize

from lvd_live.lvd.descent import descend
from lvd_live.lvd.runtime.onednn import has_bfloat16
from lvd_live.lvd.uncertainty import perturbations, spread
from lvd_live.lvd.volume.features import VolumeFeatures
from lvd_live.lvd.volume.network import VolumeLVD
from lvd_live.lvd.weights import load_volume_network
from lvd_live.paths import MODELS
from lvd_live.scan.cube import about_up

MOST_POINTS = 100_000  # of a cloud that are looked at, spread evenly over it
STEPS = 6


@dataclass(frozen=True)
class ScanDescent:
    """The meshes that descent ended with, of B clouds; all in the cube frame (see `lvd.volume`), float32.

    vertices : (B, N, 3), of the whole body. control : (B, K, 3), those of them that the network moves itself.
    sigma : (B, N), the uncertainty of Eq. 3, cube units; None where it was not asked for.
    steps : mean displacement of each iteration, cube units; the largest of the clouds'.
    """

    vertices: np.ndarray
    control: np.ndarray
    sigma: np.ndarray | None
    steps: tuple[float, ...]


class ScanNetwork:
    """A network for scans with its weights: call `descend`, or `descend_turned` for one cloud looked at from all sides.

    Clouds are (P, 3) arrays in the cube frame: see `cube.Cube`, which leads into it and back.
    """

    def __init__(self, network: VolumeLVD, device: str | torch.device = "cpu", about: dict | None = None):
        """network : is taken over, and its weight norm folded. about : what the weight file says of itself."""
        self.device, self.about = torch.device(device), about or {}
        for layer in network.modules():
            if parametrize.is_parametrized(layer, "weight"):
                parametrize.remove_parametrizations(layer, "weight")
        network = network.eval().requires_grad_(False)
        # PyTorch documents memory_format for Module.to, but its type stub leaves it out.
        network.to(self.device, memory_format=network.memory_format)  # type: ignore[call-overload]
        self.network = network

    @classmethod
    def load(cls, path: str | Path | None = None, device: str | torch.device = "cpu") -> ScanNetwork:
        """From a weight file; None: the one that is shipped. Raises UserError where there is none, or an unfit one."""
        network, _, about = load_volume_network(path or MODELS / "weights" / "scan.safetensors")
        return cls(network, device, about)

    @property
    def size(self) -> int:
        """The volume's side that the weights were trained for, voxels."""
        return int(self.about.get("size", self.network.preset.size))

    @torch.inference_mode()
    def encode(self, clouds: Sequence[np.ndarray]) -> VolumeFeatures:
        """The features of B clouds (P_i, 3), for `descend_features`."""
        tensors = [torch.from_numpy(_thinned(np.asarray(cloud, np.float32))).to(self.device) for cloud in clouds]
        volume = self.network.voxelise(tensors, self.size)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)):
            features = self.network.encode(volume)
        whole = None if features.whole is None else features.whole.float()
        return VolumeFeatures(tuple(level.float() for level in features.levels), whole)

    def descend(
        self, clouds: Sequence[np.ndarray], start: np.ndarray | None = None, steps: int = STEPS, *, samples: int = 8
    ) -> ScanDescent:
        """Descend on B clouds (P_i, 3), all finite, each at least one point.

        start : (B, N, 3) meshes, for example the last scan's of a sequence, or (B, K, 3) control vertices; None: every
            vertex starts at the cube's centre. steps : iterations (from a near start, 3 do).
        samples : M of Eq. 3, the starts around each vertex for `sigma`; 0: none.
        """
        return self.descend_features(self.encode(clouds), start, steps, samples=samples)

    @torch.inference_mode()
    def descend_features(
        self, features: VolumeFeatures, start: np.ndarray | None = None, steps: int = STEPS, *, samples: int = 8
    ) -> ScanDescent:
        """As `descend`, from features of B clouds (see `encode`): another start costs no second encoding."""
        field, first = self.network.field, self._start(start, len(features))
        ended = descend(field, features, first, iterations=steps)
        sigma = None
        if samples:
            offsets = perturbations(samples, field.vertices).to(self.device)
            everyone = torch.arange(field.vertices, device=self.device)
            own = spread(field, features, ended.vertices, offsets, everyone)
            sigma = self.network.dense(own[..., None])[..., 0].clamp(min=0).cpu().numpy()
        dense = self.network.dense(ended.vertices)
        return ScanDescent(dense.cpu().numpy(), ended.vertices.cpu().numpy(), sigma, ended.steps)

    def descend_turned(
        self, cloud: np.ndarray, copies: int = 4, start: np.ndarray | None = None, steps: int = STEPS, samples: int = 0
    ) -> ScanDescent:
        """Descend on copies of one cloud (P, 3), turned about the vertical in even steps, as one batch, and turn the
        meshes back: B = copies answers, all in the cloud's own frame, whose mean is better than each, and whose
        disagreement tells a wrong one.

        start : (N, 3) or (K, 3), one mesh in the cloud's own frame, or None. samples : as in `descend`.
        """
        turns = about_up(2 * np.pi * np.arange(copies) / copies)
        clouds = [cloud @ R.T for R in turns]
        starts = None if start is None else np.stack([start @ R.T for R in turns])
        ended = self.descend(clouds, starts, steps, samples=samples)
        back = [np.einsum("bnc,bcd->bnd", v, turns) for v in (ended.vertices, ended.control)]
        return ScanDescent(back[0], back[1], ended.sigma, ended.steps)

    def _start(self, start: np.ndarray | None, count: int) -> torch.Tensor:
        """Where descent starts: (count, 3), the centre, or (count, K, 3). Raises ValueError for another shape."""
        if start is None:
            return torch.zeros(count, 3, device=self.device)
        vertices = torch.from_numpy(np.asarray(start, np.float32)).to(self.device)
        served, body = self.network.field.vertices, len(self._body_rows())
        if vertices.shape == (count, body, 3) and body != served:
            return vertices[:, self.network.control]
        if vertices.shape != (count, served, 3):
            raise ValueError(f"start must be ({count}, {body} or {served}, 3), not {tuple(vertices.shape)}")
        return vertices

    def _body_rows(self) -> torch.Tensor:
        return self.network.control if self.network.columns is None else self.network.columns


def _thinned(cloud: np.ndarray) -> np.ndarray:
    """At most MOST_POINTS points of a cloud (P, 3), spread evenly over its rows. Raises ValueError for no cloud."""
    if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
        raise ValueError(f"a cloud must be (P, 3) with P > 0, not {cloud.shape}")
    if len(cloud) <= MOST_POINTS:
        return np.ascontiguousarray(cloud)
    return cloud[np.linspace(0, len(cloud) - 1, MOST_POINTS).astype(int)]
