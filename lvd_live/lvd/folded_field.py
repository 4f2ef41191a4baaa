"""The field rewritten for descent: the same numbers as `field.Field` on the diagonal, with far less work."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from lvd_live.lvd.features import CropFeatures, LazyFeatureMap
from lvd_live.lvd.field import Field, displacement_from


def per_vertex_head(weight: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Each vertex's head on its own hidden vectors: weight (N, 3, H), hidden (B, M, N, H) -> (B, M, N, 3)."""
    B, M, N, H = hidden.shape
    if B * M > 1 or N % 2:
        return torch.einsum("nch,bmnh->bmnc", weight, hidden)
    # N/2 products of 6 × H and H × 2, half of whose results go unused, take half the time of N products of 3 × H and H.
    pairs = weight.view(N // 2, 6, H) @ hidden.view(N // 2, 2, H).mT
    return pairs.view(N // 2, 2, 3, 2).diagonal(dim1=1, dim2=3).mT.reshape(1, 1, N, 3)


def bilinear_corners(points: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where to read a map S × S that has a border of zeros, (S+2)² pixels row by row, at points (B, M, 2 or more).

    Returns the first of the four pixels around each point (B, M, 1) int32, and the four's weights (B, M, 4) float32:
    upper left, upper right, lower left, lower right. Outside of the border, the nearest pixels of it.
    """
    side, half = size + 2, size / 2
    place = torch.stack([points[..., 0] * half, points[..., 1] * -half], -1)
    place = place.add_((side - 1) / 2).clamp_(0, side - 1)
    low = place.int().clamp_(0, side - 2)  # of a NaN the weights stay NaN, but the index is one that exists
    high_share = place - low
    share = torch.stack([1 - high_share, high_share], -1)  # (B, M, xy, low or high)
    weights = (share[..., 1, :, None] * share[..., 0, None, :]).flatten(2)
    return low[..., 1:] * side + low[..., :1], weights


@dataclass(frozen=True)
class LazyRows:
    """The rows of a `PreparedCrop` that are computed when they are first read.

    map : W · features as a lazy map, (B, hidden, S, S).
    made : (B, R) bool, the rows that are there already.
    """

    map: LazyFeatureMap
    made: torch.Tensor

    def fill(self, rows: torch.Tensor, index: torch.Tensor) -> None:
        """Compute those of `rows` (B·R, hidden) that `index` (any shape, int32) names and that are still missing."""
        asked = torch.zeros_like(self.made)
        asked.flatten()[index.flatten()] = True
        picture, row = torch.nonzero(asked & ~self.made, as_tuple=True)
        self.made.logical_or_(asked)
        if len(row):
            size, count = self.map.shape[-1], self.made.shape[1]
            side = size + 2
            pixel = (picture * size + row // side - 1) * size + row % side - 1
            rows.index_copy_(0, picture * count + row, self.map.pixels(pixel).float())


@dataclass(frozen=True)
class PreparedCrop:
    """A crop prepared for descent: the first layer already applied to all that does not depend on the point.

    rows : (B, R, hidden) float32, R = (S+2)² + 4: the layer's map W · features, S × S with a border of zeros, row by
        row; then the layer's slope along x, y and z, and its bias.
    corner : (B, 1, 4) int32, the four pixels of the map's first corner, as rows of all pictures one below the other.
    affine : (B, 1, 4) int32, slope and bias, likewise.
    size : S, pixels.
    lazy : None where all rows are there.
    """

    rows: torch.Tensor
    corner: torch.Tensor
    affine: torch.Tensor
    size: int
    lazy: LazyRows | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def table(self, index: torch.Tensor) -> torch.Tensor:
        """All pictures' rows (B·R, hidden), of which those of `index` (any shape, int32) can be read."""
        rows = self.rows.flatten(0, 1)
        if self.lazy is not None:
            self.lazy.fill(rows, index)
        return rows


class FoldedField(nn.Module):
    """A `Field` frozen for descent on pictures: exact, on the diagonal only.

    The first layer is linear before its ReLU, so W·sample(F) = sample(W·F): the map is multiplied once per picture
    (`prepare`); the bias stays outside of it, so that zero padding is exact. What the layer makes of the point, the
    whole and the landmarks is affine in the point: a slope and a bias per picture. Weight norm is folded. While all
    vertices stand at one point they share one hidden vector (`diagonal_from_point`).

    w_features : (hidden, C); None once the backbone has absorbed it and gives W · features itself.
    dtype : what the second layer multiplies in.
    """

    w_point: torch.Tensor  # (3, hidden)
    w_features: torch.Tensor | None
    w_whole: torch.Tensor | None  # (G, hidden)
    w_landmarks: torch.Tensor | None  # (L, 4, hidden)
    b1: torch.Tensor  # (hidden,)
    w_head: torch.Tensor  # (N, 3, hidden)
    b_head: torch.Tensor  # (N, 3)

    def __init__(self, field: Field):
        super().__init__()
        w1, G, L = field.layer1.weight.detach(), field.whole, field.landmarks
        end = w1.shape[1] - 4 * L
        w_landmarks = w1[:, end:].unflatten(1, (L, 4)).permute(1, 2, 0).contiguous() if L else None
        self.clip, self.dtype = field.clip, torch.float32
        self.register_buffer("w_point", w1[:, :3].T.contiguous())
        self.register_buffer("w_features", w1[:, 3 : end - G].contiguous())
        self.register_buffer("w_whole", w1[:, end - G : end].T.contiguous() if G else None)
        self.register_buffer("w_landmarks", w_landmarks)
        self.register_buffer("b1", field.layer1.bias.detach().clone())
        linear = nn.Linear(*field.layer2.weight.T.shape)
        linear.weight = nn.Parameter(field.layer2.weight.detach().clone(), requires_grad=False)
        linear.bias = nn.Parameter(field.layer2.bias.detach().clone(), requires_grad=False)
        self.layer2: nn.Module = nn.Sequential(linear, nn.ReLU(inplace=True))
        self.register_buffer("w_head", field.head.weight.detach().view(field.vertices, 3, -1).clone())
        self.register_buffer("b_head", field.head.bias.detach().view(field.vertices, 3).clone())

    def prepare(self, crop: CropFeatures) -> PreparedCrop:
        """Apply the first layer to square crops, once per picture."""
        features = crop.features
        if self.w_features is not None:
            features = F.conv2d(crop.feature_map, self.w_features[..., None, None].to(crop.feature_map.dtype))
        B, _, S, _ = features.shape
        slope, bias = self.affine(crop, B)
        rows = slope.new_empty(B, (S + 2) ** 2 + 4, slope.shape[2])
        grid = rows[:, :-4].view(B, S + 2, S + 2, -1)
        lazy = None
        if isinstance(features, LazyFeatureMap):
            made = torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device)
            made[:, :-4].view(B, S + 2, S + 2)[:, 1:-1, 1:-1] = False
            lazy = LazyRows(features, made)
        else:
            grid[:, 1:-1, 1:-1] = features.permute(0, 2, 3, 1)
        for edge in (grid[:, 0], grid[:, -1], grid[:, :, 0], grid[:, :, -1]):
            edge.zero_()
        rows[:, -4:-1], rows[:, -1:] = slope, bias
        index = torch.arange(B * rows.shape[1], dtype=torch.int32, device=rows.device).view(B, 1, -1)
        corner = torch.cat([index[..., :2], index[..., S + 2 : S + 4]], -1)
        return PreparedCrop(rows, corner, index[..., -4:], S, lazy)

    def affine(self, crop: CropFeatures, B: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The first layer of point, whole and landmarks alone: slope (B, 3, hidden) and bias (B, 1, hidden)."""
        slope, bias = self.w_point.expand(B, -1, -1), self.b1.expand(B, 1, -1)
        if self.w_whole is not None:
            assert crop.whole is not None, "the backbone that this field was made for gives it"
            bias = bias + (crop.whole.float() @ self.w_whole)[:, None]
        if self.w_landmarks is not None and crop.landmarks is not None:
            place, confidence = crop.landmarks[..., :3].float(), crop.landmarks[..., 3].float()
            w_xy = torch.einsum("bl,lch->bch", confidence, self.w_landmarks[:, :2])
            slope = slope - F.pad(w_xy, (0, 0, 0, 1))
            bias = bias + torch.einsum("bl,blc,lch->bh", confidence, place, self.w_landmarks[:, :3])[:, None]
            bias = bias + (confidence @ self.w_landmarks[:, 3])[:, None]
        return slope, bias

    def first(self, points: torch.Tensor, prepared: PreparedCrop) -> torch.Tensor:
        """The first layer before its ReLU, at points (B, M, 3): (B·M, hidden) float32.

        A weighted sum of eight rows: four pixels of the map, and slope · point + bias.
        """
        first_pixel, shares = bilinear_corners(points, prepared.size)
        affine = prepared.affine.expand(-1, points.shape[1], -1)
        index = torch.cat([prepared.corner + first_pixel, affine], -1)
        weights = torch.cat([shares, points, torch.ones_like(points[..., :1])], -1)
        return F.embedding_bag(
            index.flatten(0, 1), prepared.table(index), per_sample_weights=weights.flatten(0, 1), mode="sum"
        )

    def hidden(self, points: torch.Tensor, prepared: PreparedCrop) -> torch.Tensor:
        """Points (B, M, 3) -> (B, M, hidden) float32."""
        x = F.relu(self.first(points, prepared), inplace=True).to(self.dtype)  # a ReLU of bfloat16 takes longer
        return self.layer2(x).float().unflatten(0, points.shape[:2])

    def diagonal(
        self, points: torch.Tensor, prepared: PreparedCrop, targets: torch.Tensor | slice = slice(None)
    ) -> torch.Tensor:
        """From point i to vertex i alone: points (B, N, 3) -> Δ (B, N, 3), crop units.

        With `targets`, T of the N vertices, and M points for each of them: (B, M·T, 3) -> (B, M·T, 3).
        """
        weight, bias = self.w_head[targets], self.b_head[targets]
        hidden = self.hidden(points, prepared).unflatten(1, (-1, len(weight)))
        out = per_vertex_head(weight, hidden) + bias
        return displacement_from(out.flatten(1, 2), points, self.clip)

    def diagonal_from_point(self, point: torch.Tensor, prepared: PreparedCrop) -> torch.Tensor:
        """From one point (B, 3) to all vertices: Δ (B, N, 3), crop units."""
        h = self.hidden(point[:, None], prepared)[:, 0]
        out = torch.einsum("nch,bh->bnc", self.w_head, h) + self.b_head
        return displacement_from(out, point[:, None], self.clip)
