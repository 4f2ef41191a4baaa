"""The field rewritten for descent: the same numbers as `field.Field` on the diagonal, with far less work."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from lvd_live.lvd.features import CropFeatures, LazyFeatureMap
from lvd_live.lvd.field import Field


def per_vertex_head(weight: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Every vertex's head on its own hidden vectors: weight (N, 3, hidden), hidden (B, M, N, hidden) -> (B, M, N, 3)."""
    B, M, N, H = hidden.shape
    if B * M > 1 or N % 2:
        return torch.einsum("nch,bmnh->bmnc", weight, hidden)
    pairs = (
        weight.view(N // 2, 6, H) @ hidden.view(N // 2, 2, H).mT
    )  # half of it is not wanted, and it takes half the time of N products of a matrix and a vector
    return pairs.view(N // 2, 2, 3, 2).diagonal(dim1=1, dim2=3).mT.reshape(1, 1, N, 3)


@dataclass(frozen=True)
class PreparedCrop:
    """A crop prepared for descent: the first layer already applied to all that does not depend on the point.

    rows (B, (S+2)² + 4, hidden) float32: that layer's map, S × S with a border of zeros, row by row; then the layer's slope along x, y and z, and its bias.
    corner, affine (B, 1, 4) int32: which rows, all pictures' one below the other, are the four pixels of the map's first corner, and the last four of the picture.
    map, made: where the map is deferred, it and which rows (B, (S+2)² + 4) bool are there already.
    """

    rows: torch.Tensor
    corner: torch.Tensor
    affine: torch.Tensor
    size: int
    map: LazyFeatureMap | None = None
    made: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def table(self, index: torch.Tensor) -> torch.Tensor:
        """All pictures' rows, (R, hidden), those of `index` (any shape, int32) made."""
        rows = self.rows.flatten(0, 1)
        if self.map is not None:
            asked = torch.zeros_like(self.made)
            asked.flatten()[index.flatten()] = True
            picture, row = torch.nonzero(asked & ~self.made, as_tuple=True)
            self.made.logical_or_(asked)
            if len(row):
                side = self.size + 2
                pixel = (picture * self.size + row // side - 1) * self.size + row % side - 1
                rows.index_copy_(0, picture * self.rows.shape[1] + row, self.map.pixels(pixel).float())
        return rows


class FoldedField(nn.Module):
    """A `Field` frozen for descent on pictures: exact, per vertex only.

    The first layer is linear before its ReLU, so W·sample(F) = sample(W·F): the map is multiplied once per picture (`prepare`); its bias stays outside so that zero padding is exact.
    What the layer makes of the point, the whole and the landmarks is affine in the point: a slope and a bias per picture. Weight norm is folded. While all vertices stand at one point they share one
    hidden vector (`diagonal_from_point`).
    """

    def __init__(self, field: Field):
        super().__init__()
        w1, G, L = field.layer1.weight.detach(), field.whole, field.landmarks
        end = w1.shape[1] - 4 * L
        self.clip, self.dtype = field.clip, torch.float32  # what the second layer multiplies in
        self.register_buffer("w_point", w1[:, :3].T.contiguous())
        self.register_buffer("w_features", w1[:, 3 : end - G].contiguous())  # None once the backbone has absorbed it
        self.register_buffer("w_whole", w1[:, end - G : end].T.contiguous() if G else None)
        self.register_buffer(
            "w_landmarks", w1[:, end:].unflatten(1, (L, 4)).permute(1, 2, 0).contiguous() if L else None
        )  # (L, 4, hidden)
        self.register_buffer("b1", field.layer1.bias.detach().clone())
        self.layer2 = nn.Sequential(nn.Linear(*field.layer2.weight.T.shape), nn.ReLU(inplace=True))
        self.layer2[0].weight, self.layer2[0].bias = (
            nn.Parameter(p.detach().clone(), requires_grad=False) for p in (field.layer2.weight, field.layer2.bias)
        )
        self.register_buffer("w_head", field.head.weight.detach().view(field.vertices, 3, -1).clone())
        self.register_buffer("b_head", field.head.bias.detach().view(field.vertices, 3).clone())

    displacement, squash = Field.displacement, Field.squash

    def prepare(self, seen: CropFeatures) -> PreparedCrop:
        """Once per picture. seen.features: square."""
        table = (
            seen.features
            if self.w_features is None
            else F.conv2d(seen.features, self.w_features[..., None, None].to(seen.features.dtype))
        )
        (B, _, S, _), later = table.shape, isinstance(table, LazyFeatureMap)
        slope, bias = self.affine(seen, B)
        rows = slope.new_empty(B, (S + 2) ** 2 + 4, slope.shape[2])
        grid = rows[:, :-4].view(B, S + 2, S + 2, -1)
        if not later:
            grid[:, 1:-1, 1:-1] = table.permute(0, 2, 3, 1)
        for edge in (grid[:, 0], grid[:, -1], grid[:, :, 0], grid[:, :, -1]):
            edge.zero_()
        rows[:, -4:-1], rows[:, -1:] = slope, bias
        place = torch.arange(B * rows.shape[1], dtype=torch.int32, device=rows.device).view(B, 1, -1)
        corner = torch.cat([place[..., :2], place[..., S + 2 : S + 4]], -1)
        made = None
        if later:
            made = torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device)
            made[:, :-4].view(B, S + 2, S + 2)[:, 1:-1, 1:-1] = False
        return PreparedCrop(rows, corner, place[..., -4:], S, table if later else None, made)

    def affine(self, seen: CropFeatures, B: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What the first layer makes of the point, the whole and the landmarks: slope (B, 3, hidden) and bias (B, 1, hidden)."""
        slope, bias = self.w_point.expand(B, -1, -1), self.b1.expand(B, 1, -1)
        if self.w_whole is not None:
            bias = bias + (seen.whole.float() @ self.w_whole)[:, None]
        if self.w_landmarks is not None and seen.landmarks is not None:
            place, confidence = seen.landmarks[..., :3].float(), seen.landmarks[..., 3].float()
            w_xy = torch.einsum("bl,lch->bch", confidence, self.w_landmarks[:, :2])
            slope = slope - F.pad(w_xy, (0, 0, 0, 1))
            bias = (
                bias
                + torch.einsum("bl,blc,lch->bh", confidence, place, self.w_landmarks[:, :3])[:, None]
                + (confidence @ self.w_landmarks[:, 3])[:, None]
            )
        return slope, bias

    def first(self, points: torch.Tensor, prepared: PreparedCrop) -> torch.Tensor:
        """The first layer, before its ReLU, at points (B, M, 3): (B·M, hidden) float32. The map, bilinear and zero outside, and slope · point + bias: a weighted sum of eight rows."""
        side, half = prepared.size + 2, prepared.size / 2
        place = (
            torch.stack([points[..., 0] * half, points[..., 1] * -half], -1).add_((side - 1) / 2).clamp_(0, side - 1)
        )  # pixels of the map with its border
        low = place.int().clamp_(0, side - 2)  # a NaN stays a NaN, but not as an index
        high_share = place - low
        share = torch.stack([1 - high_share, high_share], -1)  # (B, M, xy, low or high)
        index = torch.cat(
            [prepared.corner + (low[..., 1:] * side + low[..., :1]), prepared.affine.expand(-1, points.shape[1], -1)],
            -1,
        )
        weights = torch.cat(
            [(share[..., 1, :, None] * share[..., 0, None, :]).flatten(2), points, torch.ones_like(points[..., :1])], -1
        )
        return F.embedding_bag(
            index.flatten(0, 1), prepared.table(index), per_sample_weights=weights.flatten(0, 1), mode="sum"
        )

    def hidden(self, points: torch.Tensor, prepared: PreparedCrop) -> torch.Tensor:
        """Points (B, M, 3) -> (B, M, hidden) float32."""
        x = F.relu(self.first(points, prepared).to(self.dtype), inplace=True)
        return self.layer2(x).float().unflatten(0, points.shape[:2])

    def diagonal(
        self, points: torch.Tensor, prepared: PreparedCrop, targets: torch.Tensor | slice = slice(None)
    ) -> torch.Tensor:
        """Points (B, N, 3) -> Δ (B, N, 3). With `targets`, T of the N vertices, and M points for each of them: (B, M·T, 3) -> (B, M·T, 3)."""
        weight, bias = self.w_head[targets], self.b_head[targets]
        hidden = self.hidden(points, prepared).unflatten(1, (-1, len(weight)))
        out = per_vertex_head(weight, hidden) + bias
        return self.displacement(out.flatten(1, 2), points)

    def diagonal_from_point(self, point: torch.Tensor, prepared: PreparedCrop) -> torch.Tensor:
        """All vertices at one point (B, 3) -> Δ (B, N, 3)."""
        h = self.hidden(point[:, None], prepared)[:, 0]
        out = torch.einsum("nch,bh->bnc", self.w_head, h) + self.b_head
        return self.displacement(out, point[:, None])
