"""The field g: at any point, the displacement toward every vertex of the person's mesh.

Three fully connected layers with weight norm over the point (x, y, z) and the picture's feature at (x, y). Training asks at few points for all vertices (Eq. 5); descent asks at
vertex i for vertex i alone, the diagonal. `FoldedField` answers the diagonal with the same numbers and far less work.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm


def sample(features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Read a map (B, C, H, W) at points (B, M, 2 or 3), crop frame: bilinear, zero outside. Returns (B, M, C) float32: a half-precision grid would be off by half a pixel."""
    grid = points[:, None, :, :2] * points.new_tensor([1.0, -1.0])
    return F.grid_sample(features.float(), grid, align_corners=False)[:, :, 0].transpose(1, 2)


class Field(nn.Module):
    """Displacement field over pixel-aligned features.

    vertices : N, how many vertices the head serves. clip : None gives the published head, whose output is the displacement itself. A number λ (crop units) gives a head that
    predicts each vertex's *position* and moves toward it by at most λ, Δ = λ·tanh((position − point)/λ): the training target's clip at λ built in, and a fixed point that does not
    depend on where the vertex came from.
    """

    def __init__(self, features: int, hidden: int, vertices: int, clip: float | None = None):
        super().__init__()
        self.vertices, self.clip = vertices, clip
        self.layer1 = weight_norm(nn.Linear(3 + features, hidden))
        self.layer2 = weight_norm(nn.Linear(hidden, hidden))
        self.head = weight_norm(nn.Linear(hidden, 3 * vertices))

    def hidden(self, points: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Points (B, M, 3), features (B, C, H, W) -> (B, M, hidden)."""
        x = torch.cat([points, sample(features, points)], -1)
        return F.relu(self.layer2(F.relu(self.layer1(x))))

    def head_of(self, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The head's weights (T, 3, hidden) and bias (T, 3) for vertices `targets` (T,) int64."""
        return self.head.weight.view(self.vertices, 3, -1)[targets], self.head.bias.view(self.vertices, 3)[targets]

    def displacement(self, out: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """The head's output, float32, as a displacement from `points` (broadcast against it)."""
        return out if self.clip is None else self.clip * torch.tanh((out - points) / self.clip)

    def forward(self, points: torch.Tensor, features: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """From every point to every target vertex: points (B, M, 3), targets (T,) -> Δ (B, M, T, 3)."""
        weight, bias = self.head_of(targets)
        h = self.hidden(points, features)
        with torch.autocast(points.device.type, enabled=False):  # millimetres need float32
            out = F.linear(h.float(), weight.flatten(0, 1), bias.flatten()).unflatten(-1, (-1, 3))
            return self.displacement(out, points[:, :, None])

    def diagonal(self, points: torch.Tensor, features: torch.Tensor, targets: torch.Tensor | None = None) -> torch.Tensor:
        """From point i to target i alone: points (B, T, 3), targets (T,), all vertices by default -> Δ (B, T, 3)."""
        if targets is None:
            targets = torch.arange(self.vertices, device=points.device)
        weight, bias = self.head_of(targets)
        h = self.hidden(points, features)
        with torch.autocast(points.device.type, enabled=False):
            out = torch.einsum("tch,bth->btc", weight, h.float()) + bias
            return self.displacement(out, points)


class FoldedField(nn.Module):
    """A `Field` frozen for descent on pictures: exact, per vertex only.

    The first layer is linear before its ReLU, so W·sample(F) = sample(W·F): the map is multiplied once per picture (`prepare`), its bias stays outside so that zero padding is exact.
    Weight norm is folded. While all vertices stand at one point they share one hidden vector (`diagonal_from_point`).
    """

    def __init__(self, field: Field):
        super().__init__()
        w1 = field.layer1.weight.detach()
        self.clip = field.clip
        self.register_buffer("w_point", w1[:, :3].T.contiguous())
        self.register_buffer("w_features", w1[:, 3:, None, None].contiguous())
        self.register_buffer("b1", field.layer1.bias.detach().clone())
        self.register_buffer("w2", field.layer2.weight.detach().clone())
        self.register_buffer("b2", field.layer2.bias.detach().clone())
        self.register_buffer("w_head", field.head.weight.detach().view(field.vertices, 3, -1).clone())
        self.register_buffer("b_head", field.head.bias.detach().view(field.vertices, 3).clone())

    displacement = Field.displacement

    def prepare(self, features: torch.Tensor) -> torch.Tensor:
        """Features (B, C, H, W) -> the folded map (B, hidden, H, W)."""
        return F.conv2d(features, self.w_features.to(features.dtype))

    def hidden(self, points: torch.Tensor, folded: torch.Tensor) -> torch.Tensor:
        x = sample(folded, points).float() + points @ self.w_point + self.b1
        return F.relu(F.linear(F.relu(x), self.w2, self.b2))

    def diagonal(self, points: torch.Tensor, folded: torch.Tensor) -> torch.Tensor:
        """Points (B, N, 3), the folded map -> Δ (B, N, 3)."""
        out = torch.einsum("nch,bnh->bnc", self.w_head, self.hidden(points, folded)) + self.b_head
        return self.displacement(out, points)

    def diagonal_from_point(self, point: torch.Tensor, folded: torch.Tensor) -> torch.Tensor:
        """All vertices at one point (B, 3) -> Δ (B, N, 3)."""
        h = self.hidden(point[:, None], folded)[:, 0]
        out = torch.einsum("nch,bh->bnc", self.w_head, h) + self.b_head
        return self.displacement(out, point[:, None])
