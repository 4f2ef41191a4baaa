"""The network for scans: backbone and field under one name."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lvd_live.lvd.field import Field
from lvd_live.lvd.mesh_network import MeshNetwork
from lvd_live.lvd.presets import ScanPreset
from lvd_live.lvd.volume.features import VolumeFeatures
from lvd_live.lvd.volume.pyramids import PYRAMIDS
from lvd_live.lvd.volume.voxels import EVIDENCE


class VolumeLVD(MeshNetwork):
    """Backbone f and field g of Learned Vertex Descent on voxelised scans; see `MeshNetwork` about the other arguments.

    preset : see there.
    """

    memory_format = torch.channels_last_3d  # of the kernels, where the device prefers one

    def __init__(
        self,
        preset: ScanPreset,
        control: torch.Tensor | None = None,
        columns: torch.Tensor | None = None,
        mix: torch.Tensor | None = None,
    ):
        super().__init__(preset.name, preset.vertices, control, columns, mix)
        self.preset = preset
        self.backbone = PYRAMIDS[preset.backbone]()
        self.field = Field(
            self.backbone.channels, preset.hidden, preset.vertices, preset.clip, self.backbone.whole, solid=True
        )

    def voxelise(self, clouds: Sequence[torch.Tensor], size: int | None = None) -> torch.Tensor:
        """Clouds (P_i, 3), cube frame, as volumes (B, 1, size, size, size). size : voxels; None, the preset's."""
        return EVIDENCE[self.preset.evidence](clouds, size or self.preset.size)

    def encode(self, volume: torch.Tensor) -> VolumeFeatures:
        """The features of volumes (B, 1, S, S, S) from `voxelise`."""
        return self.backbone(volume)
