"""The field g: from any point, the displacement to every vertex of the person's mesh.

Three fully connected layers with weight norm over the point (x, y, z), the feature map's value at (x, y) and, in the
live preset, a vector about the whole picture and the landmarks relative to the point. Training asks at few points for
all vertices (Eq. 5); descent asks at vertex i for vertex i alone: the diagonal of that table.
`folded_field.FoldedField` computes the diagonal alone, to the same numbers with far less work.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from lvd_live.lvd.features import CropFeatures


def sample(features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Read a feature map (B, C, H, W) at points (B, M, 2 or 3), crop frame: bilinear, zero outside.

    Returns (B, M, C) float32. The grid is never half precision, which would be off by half a pixel.
    """
    grid = points[:, None, :, :2] * points.new_tensor([1.0, -1.0])
    return F.grid_sample(features.float(), grid, align_corners=False)[:, :, 0].transpose(1, 2)


def soft_clip(displacement: torch.Tensor, clip: float) -> torch.Tensor:
    """Clip displacements component-wise at ±clip, smoothly: λ·tanh(Δ/λ)."""
    return clip * torch.tanh(displacement / clip)


def displacement_from(out: torch.Tensor, points: torch.Tensor, clip: float | None) -> torch.Tensor:
    """The head's output (..., 3) float32 as displacement from `points` (..., 3), see `Field` about `clip`."""
    return out if clip is None else soft_clip(out - F.pad(points[..., 2:], (2, 0)), clip)


class Field(nn.Module):
    """Displacement field over pixel-aligned features.

    features : C, channels of the feature map.
    hidden : width of both hidden layers.
    vertices : N, how many vertices the head serves.
    clip : None is the published head, whose output is the displacement itself. A number λ, crop units, builds two
        things in that the published head has to learn: the training target's clip, Δ = λ·tanh(out/λ), and depth. A
        feature is read at the point's (x, y), so it can hold the offset from there, but it cannot know the point's z:
        the head gives the vertex's depth, and the point's z is subtracted.
    whole : G, length of the vector about the whole picture (0, as published: none).
    landmarks : L, how many landmarks the field can be given (0, as published: none). Landmark k enters as
        c·(x_k − x, y_k − y, z_k) and c, its confidence; a missing one is all zeros.
    """

    def __init__(
        self, features: int, hidden: int, vertices: int, clip: float | None = None, whole: int = 0, landmarks: int = 0
    ):
        super().__init__()
        self.vertices, self.clip, self.whole, self.landmarks = vertices, clip, whole, landmarks
        self.layer1 = weight_norm(nn.Linear(3 + features + whole + 4 * landmarks, hidden))
        self.layer2 = weight_norm(nn.Linear(hidden, hidden))
        self.head = weight_norm(nn.Linear(hidden, 3 * vertices))

    def hidden(self, points: torch.Tensor, crop: CropFeatures) -> torch.Tensor:
        """Points (B, M, 3), crop frame -> (B, M, hidden)."""
        inputs = [points, sample(crop.feature_map, points)]
        if self.whole:
            assert crop.whole is not None, "the backbone that this field was made for gives it"
            inputs.append(crop.whole[:, None].expand(-1, points.shape[1], -1))
        if self.landmarks:
            inputs.append(self.landmarks_from(points, crop.landmarks))
        return F.relu(self.layer2(F.relu(self.layer1(torch.cat(inputs, -1)))))

    def landmarks_from(self, points: torch.Tensor, landmarks: torch.Tensor | None) -> torch.Tensor:
        """Landmarks (B, L, 4), None for none, relative to points (B, M, 3): (B, M, 4·L)."""
        if landmarks is None:
            return points.new_zeros(*points.shape[:2], 4 * self.landmarks)
        place, confidence = landmarks[:, None, :, :3], landmarks[:, None, :, 3:]
        offset = confidence * (place - points[:, :, None] * points.new_tensor([1.0, 1.0, 0.0]))
        return torch.cat([offset, confidence.expand(-1, points.shape[1], -1, -1)], -1).flatten(2)

    def head_of(self, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The head's weights (T, 3, hidden) and bias (T, 3) for vertices `targets` (T,) int64."""
        return self.head.weight.view(self.vertices, 3, -1)[targets], self.head.bias.view(self.vertices, 3)[targets]

    def forward(self, points: torch.Tensor, crop: CropFeatures, targets: torch.Tensor) -> torch.Tensor:
        """From every point (B, M, 3) to every target vertex (T,) int64: Δ (B, M, T, 3) float32, crop units."""
        weight, bias = self.head_of(targets)
        h = self.hidden(points, crop)
        with torch.autocast(points.device.type, enabled=False):  # millimetres need float32
            out = F.linear(h.float(), weight.flatten(0, 1), bias.flatten()).unflatten(-1, (-1, 3))
            return displacement_from(out, points[:, :, None], self.clip)

    def diagonal(self, points: torch.Tensor, crop: CropFeatures, targets: torch.Tensor | None = None) -> torch.Tensor:
        """From point i to target i alone: points (B, T, 3), targets (T,), by default all -> Δ (B, T, 3) float32."""
        if targets is None:
            targets = torch.arange(self.vertices, device=points.device)
        weight, bias = self.head_of(targets)
        h = self.hidden(points, crop)
        with torch.autocast(points.device.type, enabled=False):  # millimetres need float32
            out = torch.einsum("tch,bth->btc", weight, h.float()) + bias
            return displacement_from(out, points, self.clip)
