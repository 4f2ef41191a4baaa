"""The field g: at any point, the displacement toward every vertex of the person's mesh.

Three fully connected layers with weight norm over the point (x, y, z), the picture's feature at (x, y) and, in the live
preset, a vector about the whole picture and the landmarks as seen from the point. Training asks at few points for all
vertices (Eq. 5); descent asks at vertex i for vertex i alone, the diagonal. `folded_field.FoldedField` answers the
diagonal with the same numbers and far less work.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from lvd_live.lvd.features import CropFeatures


def sample(features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Read a map (B, C, H, W) at points (B, M, 2 or 3), crop frame: bilinear, zero outside. Returns (B, M, C) float32: a half-precision grid would be off by half a pixel."""
    grid = points[:, None, :, :2] * points.new_tensor([1.0, -1.0])
    return F.grid_sample(features.float(), grid, align_corners=False)[:, :, 0].transpose(1, 2)


class Field(nn.Module):
    """Displacement field over pixel-aligned features.

    vertices : N, how many vertices the head serves. clip : None gives the published head, whose output is the displacement itself. A number λ (crop units) gives a head with two things
    built in that the published one has to learn: the training target's clip, Δ = λ·tanh(out/λ), and depth. A feature is read at the point's (x, y), so it can tell the offset from
    there; it cannot know the point's z, so the head says where the vertex lies in depth and the point's z is subtracted.
    whole : G, the length of a vector about the whole picture that every point is told (0: none, as published).
    landmarks : L, how many landmarks the field may be told (0: none, as published). Landmark k enters as c·(x_k − x, y_k − y, z_k) and its confidence c; missing ones are zeros.
    """

    def __init__(
        self, features: int, hidden: int, vertices: int, clip: float | None = None, whole: int = 0, landmarks: int = 0
    ):
        super().__init__()
        self.vertices, self.clip, self.whole, self.landmarks = vertices, clip, whole, landmarks
        self.layer1 = weight_norm(nn.Linear(3 + features + whole + 4 * landmarks, hidden))
        self.layer2 = weight_norm(nn.Linear(hidden, hidden))
        self.head = weight_norm(nn.Linear(hidden, 3 * vertices))

    def hidden(self, points: torch.Tensor, seen: CropFeatures) -> torch.Tensor:
        """Points (B, M, 3) -> (B, M, hidden)."""
        inputs = [points, sample(seen.features, points)]
        if self.whole:
            inputs.append(seen.whole[:, None].expand(-1, points.shape[1], -1))
        if self.landmarks:
            inputs.append(self.landmarks_from(points, seen.landmarks))
        return F.relu(self.layer2(F.relu(self.layer1(torch.cat(inputs, -1)))))

    def landmarks_from(self, points: torch.Tensor, landmarks: torch.Tensor | None) -> torch.Tensor:
        """The landmarks (B, L, 4) as seen from points (B, M, 3): (B, M, 4·L)."""
        if landmarks is None:
            return points.new_zeros(*points.shape[:2], 4 * self.landmarks)
        place, confidence = landmarks[:, None, :, :3], landmarks[:, None, :, 3:]
        offset = confidence * (place - points[:, :, None] * points.new_tensor([1.0, 1.0, 0.0]))
        return torch.cat([offset, confidence.expand(-1, points.shape[1], -1, -1)], -1).flatten(2)

    def head_of(self, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The head's weights (T, 3, hidden) and bias (T, 3) for vertices `targets` (T,) int64."""
        return self.head.weight.view(self.vertices, 3, -1)[targets], self.head.bias.view(self.vertices, 3)[targets]

    def displacement(self, out: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """The head's output, float32, as a displacement from `points` (broadcast against it)."""
        return out if self.clip is None else self.squash(out - F.pad(points[..., 2:], (2, 0)))

    def squash(self, displacement: torch.Tensor) -> torch.Tensor:
        """Clip displacements component-wise at ±clip, smoothly."""
        return self.clip * torch.tanh(displacement / self.clip)

    def forward(self, points: torch.Tensor, seen: CropFeatures, targets: torch.Tensor) -> torch.Tensor:
        """From every point to every target vertex: points (B, M, 3), targets (T,) -> Δ (B, M, T, 3)."""
        weight, bias = self.head_of(targets)
        h = self.hidden(points, seen)
        with torch.autocast(points.device.type, enabled=False):  # millimetres need float32
            out = F.linear(h.float(), weight.flatten(0, 1), bias.flatten()).unflatten(-1, (-1, 3))
            return self.displacement(out, points[:, :, None])

    def diagonal(self, points: torch.Tensor, seen: CropFeatures, targets: torch.Tensor | None = None) -> torch.Tensor:
        """From point i to target i alone: points (B, T, 3), targets (T,), all vertices by default -> Δ (B, T, 3)."""
        if targets is None:
            targets = torch.arange(self.vertices, device=points.device)
        weight, bias = self.head_of(targets)
        h = self.hidden(points, seen)
        with torch.autocast(points.device.type, enabled=False):
            out = torch.einsum("tch,bth->btc", weight, h.float()) + bias
            return self.displacement(out, points)
