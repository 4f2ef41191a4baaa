"""The network: backbone and field under one name, and what they are fed with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from lvd_live.lvd.backbones import BACKBONES
from lvd_live.lvd.backbones.base import CONTEXT_STRIDE, Backbone
from lvd_live.lvd.features import CropFeatures
from lvd_live.lvd.field import Field
from lvd_live.lvd.mesh_network import MeshNetwork
from lvd_live.lvd.presets import Preset

LANDMARKS = (0, 7, 8, *range(11, 21), *range(23, 33))
"""Which of BlazePose's 33 landmarks the network is given: nose, ears, limbs, hands, feet."""

HEAT_SIGMA = 0.05  # crop units, of the Gaussian that stands for a landmark
LEAST_HEAT = 1e-12  # less is nothing: products of such numbers are denormal, which processors multiply 100 times slower
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB in 0..1
FINE_CHANNELS, COARSE_CHANNELS = 48, 288  # of the detector features
FINE_SCALE, COARSE_SCALE = 8 / 255, 16 / 255  # what their uint8 values are multiplied with


@dataclass(frozen=True)
class AlignedFeatures:
    """Detector features of a batch of crops, and where they lie on them; see `tracking.conditioning`.

    fine : (B, 48, 32, 32) uint8.
    coarse : (B, 288, 8, 8) uint8.
    region : (B, 2, 3) float32, from the crop frame to the maps' -1..1, x right and y down.
    """

    fine: torch.Tensor
    coarse: torch.Tensor
    region: torch.Tensor

    def to(self, device: torch.device) -> AlignedFeatures:
        return AlignedFeatures(self.fine.to(device), self.coarse.to(device), self.region.to(device))


class LVD(MeshNetwork):
    """Backbone f and field g of Learned Vertex Descent on pictures; see `MeshNetwork` about the other arguments."""

    memory_format = torch.channels_last  # of the kernels
    backbone: Backbone

    def __init__(
        self,
        preset: Preset,
        control: torch.Tensor | None = None,
        columns: torch.Tensor | None = None,
        mix: torch.Tensor | None = None,
    ):
        super().__init__(preset.name, preset.vertices, control, columns, mix)
        self.preset = preset
        landmarks = len(LANDMARKS) if preset.landmarks else 0
        fine, coarse = (FINE_CHANNELS, COARSE_CHANNELS) if preset.landmarks else (0, 0)
        make = BACKBONES[preset.backbone] if isinstance(preset.backbone, str) else preset.backbone
        self.backbone = make(4, 2 * landmarks + fine, coarse)
        self.field = Field(
            self.backbone.channels, preset.hidden, preset.vertices, preset.clip, self.backbone.whole, landmarks
        )

    def encode(
        self, picture: torch.Tensor, landmarks: torch.Tensor | None = None, maps: AlignedFeatures | None = None
    ) -> CropFeatures:
        """Encode crops (B, 4, S, S) from `network_input`, with conditioning where it is given and the preset takes it.

        landmarks : (B, L, 4: x, y, depth, confidence), crop frame; those of LANDMARKS.
        """
        if not self.preset.landmarks or (landmarks is None and maps is None):
            features, whole = self.backbone(picture)
            return CropFeatures(features, whole)
        size = picture.shape[-1]
        cells = size // self.backbone.stride
        if landmarks is None:
            drawn = picture.new_zeros(len(picture), 2 * len(LANDMARKS), cells, cells)
        else:
            drawn = landmark_maps(landmarks, cells)
        if maps is None:
            fine, coarse = picture.new_zeros(len(picture), FINE_CHANNELS, cells, cells), None
        else:
            fine = warp_map(maps.fine, maps.region, cells) * FINE_SCALE
            coarse = warp_map(maps.coarse, maps.region, size // CONTEXT_STRIDE) * COARSE_SCALE
        features, whole = self.backbone(picture, torch.cat([drawn, fine], 1), coarse)
        return CropFeatures(features, whole, landmarks)


def network_input(picture: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Crops as the network takes them: (B, 4, S, S) float32, the mask in -1..1 as the fourth channel.

    picture : (B, S, S, 3) uint8 RGB; normalised, then the background set to 0, as published.
    mask : (B, S, S) uint8, 255 on the person.
    """
    m = mask * (1 / 255)
    x = torch.empty(len(mask), 4, *mask.shape[1:], device=picture.device)
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):  # one by one: three in a row are slow to widen
        torch.mul((picture[..., channel] * (1 / (255 * std))).sub_(mean / std), m, out=x[:, channel])
    torch.sub(2 * m, 1, out=x[:, 3])
    return x


def warp_map(features: torch.Tensor, region: torch.Tensor, size: int) -> torch.Tensor:
    """Detector features (B, C, h, w) as maps (B, C, size, size) on the crop: bilinear, zero outside.

    region : (B, 2, 3), see `AlignedFeatures`.
    """
    theta = torch.stack([region[..., 0], -region[..., 1], region[..., 2]], -1)  # a grid's y runs down, the crop's up
    grid = F.affine_grid(theta, [len(features), 1, size, size], align_corners=False)
    return F.grid_sample(features.float(), grid, align_corners=False)


def landmark_maps(landmarks: torch.Tensor, size: int) -> torch.Tensor:
    """Draw landmarks (B, L, 4: x, y, depth, confidence), crop frame, as maps (B, 2·L, size, size).

    L Gaussians, each as high as its confidence, then the same times their depths.
    """
    at = (2 * torch.arange(size, device=landmarks.device) + 1) / size - 1
    x, y, z, confidence = landmarks.unsqueeze(-2).unbind(-1)
    gx, gy = (torch.exp(-(d**2) / (2 * HEAT_SIGMA**2)) for d in (at - x, -at - y))  # (B, L, size) each
    gx, gy = (F.threshold(g, LEAST_HEAT, 0.0) for g in (gx, gy))
    heat = (confidence * gy)[..., None] * gx[:, :, None]
    return torch.cat([heat, heat * z[..., None]], 1)
