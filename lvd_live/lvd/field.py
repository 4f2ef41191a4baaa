"""The field g: from any point, the displacement to every vertex of the person's mesh.

Fully connected layers with weight norm over the point (x, y, z), the features aligned with it (of a picture at (x, y),
Eq. 4; of a volume at (x, y, z), Eq. 6) and, in the live preset, a vector about the whole picture and the landmarks
relative to the point. Training asks at few points for all vertices (Eq. 5); descent asks at vertex i for vertex i
alone: the diagonal of that table. For pictures, `folded_field.FoldedField` computes the diagonal alone, to the same
numbers with far less work; on scans, whose maps would be larger folded than they are, `Field` itself descends.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from lvd_live.lvd.features import Features


def soft_clip(displacement: torch.Tensor, clip: float) -> torch.Tensor:
    """Clip displacements component-wise at ±clip, smoothly: λ·tanh(Δ/λ)."""
    return clip * torch.tanh(displacement / clip)


def displacement_from(out: torch.Tensor, points: torch.Tensor, clip: float | None) -> torch.Tensor:
    """The head's output (..., 3) float32 as displacement from `points` (..., 3), see `Field` about `clip`."""
    return out if clip is None else soft_clip(out - F.pad(points[..., 2:], (2, 0)), clip)


class Field(nn.Module):
    """Displacement field over aligned features.

    features : C, channels of the aligned features.
    hidden : width of both hidden layers, or the widths of two or more.
    vertices : N, how many vertices the head serves.
    clip : None is the published head, whose output is the displacement itself. A number λ, crop units, builds two
        things in that the published head has to learn: the training target's clip, Δ = λ·tanh(out/λ), and depth. A
        feature is read at the point's (x, y), so it can hold the offset from there, but it cannot know the point's z:
        the head gives the vertex's depth, and the point's z is subtracted. Not where the features are `solid`.
    whole : G, length of the vector about the whole picture (0, as published: none).
    landmarks : L, how many landmarks the field can be given (0, as published: none). Landmark k enters as
        c·(x_k − x, y_k − y, z_k) and c, its confidence; a missing one is all zeros.
    solid : whether features are read at (x, y, z), as of a volume: the head's output is the displacement.
    """

    def __init__(
        self,
        features: int,
        hidden: int | tuple[int, ...],
        vertices: int,
        clip: float | None = None,
        whole: int = 0,
        landmarks: int = 0,
        *,
        solid: bool = False,
    ):
        super().__init__()
        self.vertices, self.clip, self.whole, self.landmarks, self.solid = vertices, clip, whole, landmarks, solid
        widths = (hidden, hidden) if isinstance(hidden, int) else hidden
        self.layer1 = weight_norm(nn.Linear(3 + features + whole + 4 * landmarks, widths[0]))
        self.layer2 = weight_norm(nn.Linear(widths[0], widths[1]))
        self.deeper = nn.ModuleList(weight_norm(nn.Linear(*pair)) for pair in itertools.pairwise(widths[1:]))
        self.head = weight_norm(nn.Linear(widths[-1], 3 * vertices))

    def hidden(self, points: torch.Tensor, evidence: Features) -> torch.Tensor:
        """Points (B, M, 3), in the features' frame -> (B, M, the last hidden layer's width)."""
        inputs = [points, evidence.at(points)]
        if self.whole:
            assert evidence.whole is not None, "the backbone that this field was made for gives it"
            inputs.append(evidence.whole[:, None].expand(-1, points.shape[1], -1))
        if self.landmarks:
            inputs.append(self.landmarks_from(points, evidence.landmarks))
        x = torch.cat(inputs, -1)
        for layer in (self.layer1, self.layer2, *self.deeper):
            x = F.relu(layer(x))
        return x

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

    def displacement(self, out: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """The head's output (..., 3) float32 as displacement from `points` (..., 3), see `clip` and `solid`."""
        if self.solid and self.clip is not None:
            return soft_clip(out, self.clip)
        return displacement_from(out, points, self.clip)

    def forward(self, points: torch.Tensor, evidence: Features, targets: torch.Tensor) -> torch.Tensor:
        """From every point (B, M, 3) to every target vertex (T,) int64: Δ (B, M, T, 3) float32, the frame's units."""
        weight, bias = self.head_of(targets)
        h = self.hidden(points, evidence)
        with torch.autocast(points.device.type, enabled=False):  # millimetres need float32
            out = F.linear(h.float(), weight.flatten(0, 1), bias.flatten()).unflatten(-1, (-1, 3))
            return self.displacement(out, points[:, :, None])

    def diagonal(self, points: torch.Tensor, evidence: Features, targets: torch.Tensor | None = None) -> torch.Tensor:
        """From point i to target i alone: points (B, T, 3), targets (T,), by default all -> Δ (B, T, 3) float32.

        With M points for each target, (B, M·T, 3) -> (B, M·T, 3).
        """
        if targets is None:
            targets = torch.arange(self.vertices, device=points.device)
        weight, bias = self.head_of(targets)
        h = self.hidden(points, evidence).unflatten(1, (-1, len(targets)))
        with torch.autocast(points.device.type, enabled=False):  # millimetres need float32
            out = torch.einsum("tch,bmth->bmtc", weight, h.float()) + bias
            return self.displacement(out.flatten(1, 2), points)

    def diagonal_from_point(self, point: torch.Tensor, evidence: Features) -> torch.Tensor:
        """From one point (B, 3) to all vertices: Δ (B, N, 3)."""
        weight, bias = self.head_of(torch.arange(self.vertices, device=point.device))
        h = self.hidden(point[:, None], evidence)[:, 0]
        with torch.autocast(point.device.type, enabled=False):  # millimetres need float32
            out = torch.einsum("tch,bh->btc", weight, h.float()) + bias
            return self.displacement(out, point[:, None])
