"""Bring the limbs of a mesh onto the outline of the person's mask, after descent.

The mask knows the outline to a pixel; a network that reads cells of four pixels does not, and where it is in doubt it
makes limbs thin. For each vertex i on the mesh's outline let n_i be the outline's normal there and g_i the distance
along it to the mask's edge. Each bone k shifts by t_k and swells by s_k, and its vertices, with skin weights w_ik and
normals m_i, do so with it:

    min over t, s of  Σ_i ω_i (Σ_k w_ik (n_i · t_k + n_i · m_i s_k) − g_i)²  +  E(t) + SWELL E(s),
    E(t) = STIFF Σ_k |t_k − t_parent(k)|² + SHORT Σ_k |t_k|²

An iterated, robust least-squares problem of 72 unknowns; E settles the aperture problem. Clothes widen a mask on both
sides of a limb, which shifts nothing and swells it in part. A limb that is wider is deeper, too: it swells along its
normals in space, but shifts in the picture's plane alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from threadpoolctl import ThreadpoolController

from lvd_live import render
from lvd_live.body.model import BodyModel
from lvd_live.topology import Normals
from lvd_live.tracking.doubt import agreement

STIFF, SHORT = 0.2, 0.1  # of the outline's share of a bone
SWELL = 5.0  # how much harder a bone swells than it shifts: a mask is wider than the body in it
ROBUST = 0.03  # crop units: gaps beyond count less, as 1/(1 + g/ROBUST)
CLOTHES = 0.5  # weight of a mask that is wider than the mesh, beside one that is narrower: clothes and hair widen it
REACH = 0.12  # crop units: gaps beyond count nothing, they are another limb's or a skirt's
RIM = 0.025  # crop units: vertices so near the drawn outline lie on it
FARTHEST = REACH + 2 * RIM  # crop units outside a mask: beyond, distances make no difference to a vertex on an outline
EDGE = 0.03  # crop units: so near the crop's edge, or the picture's, a mask has no outline
COLD, WARM = 3, 1  # times that the mesh is drawn
STEPS = 2  # toward the mask, each time
EVERY = 3  # of the vertices every third: enough for an outline
_one_thread = ThreadpoolController().wrap(limits=1, user_api="blas")  # small products only wait for further threads


@dataclass(frozen=True)
class _Outline:
    """The P vertices on the drawn outline: where they are without any shift, and how each answers to one.

    vertices, outward : (P, 3). weights : (P, 24) skin weights. depth : (P,) crop units, within the drawing.
    rows : (P, 72), by how much each comes toward its normal per shift of a bone in x, in y, and per swell. near : (P,)
    0..1, whether it lies on the outline.
    """

    vertices: np.ndarray
    outward: np.ndarray
    weights: np.ndarray
    depth: np.ndarray
    rows: np.ndarray
    near: np.ndarray


class SilhouetteFit:
    """Brings a body's limbs onto masks. Remembers by how much: the next frame begins there."""

    def __init__(self, body: BodyModel):
        self._weights, self._faces = body.weights.numpy(), body.faces.numpy().astype(np.int32)
        self._normals, self._prior = Normals(self._faces, len(self._weights)), prior(body.parents)
        self.reset()

    def reset(self) -> None:
        """Forget the last frame's shifts."""
        self.overlap = 1.0  # of the last mesh, as it was drawn, with its mask: see `doubt.agreement`
        self._shifts: np.ndarray | None = None  # (3, 24), crop units: x, y, and outward

    @_one_thread
    def __call__(
        self, vertices: np.ndarray, mask: np.ndarray, bounds: tuple[float, float, float, float] = (-1.0, -1.0, 1.0, 1.0)
    ) -> np.ndarray:
        """The vertices (N, 3) float32, crop frame, moved.

        mask : (S, S) uint8, the person's in the crop. bounds : left, bottom, right, top of the picture in the crop.
        """
        low, high = np.maximum(bounds[:2], -1) + EDGE, np.minimum(bounds[2:], 1) - EDGE
        rounds, shifts = (COLD, np.zeros((3, 24))) if self._shifts is None else (WARM, self._shifts)
        inside, outward = distance_inside(mask > 127), self._normals(vertices)
        for _ in range(rounds):
            outline = self._draw(vertices, outward, shifts, inside, low, high)
            shifts = self._approach(outline, shifts, inside)
        self._shifts = shifts
        return shifted(vertices, outward, self._weights, shifts)

    def _draw(
        self,
        vertices: np.ndarray,
        outward: np.ndarray,
        shifts: np.ndarray,
        inside: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
    ) -> _Outline:
        """Draw the shifted mesh at the size of `inside` (S, S), `distance_inside` of the mask, and find its outline
        between the corners low and high (2,)."""
        size = len(inside)
        now = shifted(vertices, outward, self._weights, shifts)
        drawn = distance_inside(drawn_in_crop(now, self._faces, size))
        self.overlap = agreement(drawn > 0, inside > 0, low, high)
        smooth = cv2.GaussianBlur(drawn, (0, 0), 1.0)
        slopes = (cv2.Sobel(smooth, cv2.CV_32F, *axis, ksize=1, scale=size / 4) for axis in ((1, 0), (0, 1)))
        points = now[::EVERY, :2]
        depth, x, y = read(cv2.merge([drawn, *slopes]), points).T
        normal = np.stack([-x, y], -1)  # outward, y up
        length = np.linalg.norm(normal, axis=1)
        counts = (np.abs(depth) < 2 * RIM) & (length > 0.5) & (points > low).all(1) & (points < high).all(1)
        kept = EVERY * np.flatnonzero(counts)
        vertices, outward, weights, depth = vertices[kept], outward[kept], self._weights[kept], depth[counts]
        normal = normal[counts] / length[counts, None]
        along = np.column_stack([normal, (normal * outward[:, :2]).sum(1)])
        rows = (along[:, :, None] * weights[:, None]).reshape(len(depth), shifts.size)
        return _Outline(vertices, outward, weights, depth, rows, np.exp(-((depth / RIM) ** 2)))

    def _approach(self, outline: _Outline, shifts: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Better shifts and swells of the bones than `shifts`, (3, 24); inside (S, S): `distance_inside` of the mask.

        While the mesh goes to the mask, a vertex on its outline is taken to stay there: how deep it lies and which way
        is out are those of the drawing.
        """
        o = outline
        if not len(o.depth):  # none of it lies in the picture
            return shifts
        for _ in range(STEPS):
            now = shifted(o.vertices, o.outward, o.weights, shifts)
            gap = (read(inside, now[:, :2]) - o.depth).clip(-REACH, REACH)
            trust = o.near * (1 - (gap / REACH) ** 2)
            if not trust.any():
                break
            side = np.where(gap > 0, np.float32(CLOTHES), np.float32(1))
            weighted = o.rows * (trust * side / (1 + np.abs(gap) / ROBUST))[:, None]
            prior = self._prior * (trust.sum() / 24)
            step = np.linalg.solve(weighted.T @ o.rows + prior, weighted.T @ gap - prior @ shifts.ravel())
            shifts = shifts + step.reshape(shifts.shape)
        return shifts


def prior(parents: list[int]) -> np.ndarray:
    """E(t) + SWELL E(s) as a quadratic form of x, y and outward of the 24 bones, (72, 72)."""
    smooth = np.zeros((24, 24))
    for child, parent in enumerate(parents[1:], 1):
        row = np.zeros(24)
        row[child], row[parent] = 1, -1
        smooth += STIFF * np.outer(row, row)
    smooth += SHORT * np.eye(24)
    return np.kron(np.diag([1, 1, SWELL]), smooth)


def shifted(vertices: np.ndarray, outward: np.ndarray, weights: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Vertices (N, 3) float32 whose bones shift in x and y and swell, (3, 24).

    outward : (N, 3) the vertices' normals. weights : (N, 24) skin weights.
    """
    by = weights @ shifts.T.astype(np.float32)
    moved = by[:, 2:] * outward
    moved += vertices
    moved[:, :2] += by[:, :2]
    return moved


def drawn_in_crop(vertices: np.ndarray, faces: np.ndarray, size: int) -> np.ndarray:
    """The pixels (size, size) bool of a crop that a mesh (N, 3), crop frame, covers."""
    return render.covered(vertices[:, :2], faces, size)


def distance_inside(mask: np.ndarray) -> np.ndarray:
    """How far within a mask (S, S) bool each pixel lies, crop units, float32; negative outside, and -FARTHEST where it
    is farther than that."""
    size = len(mask)
    out, mask = np.full((size, size), np.float32(-FARTHEST)), mask.view(np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    margin = math.ceil(FARTHEST * size / 2)
    near = np.s_[max(top - margin, 0) : top + height + margin, max(left - margin, 0) : left + width + margin]
    inside = mask[near]
    if width:
        deep, off = (cv2.distanceTransform(part, cv2.DIST_L2, 5) for part in (inside, 1 - inside))
        np.maximum((deep - off) * np.float32(2 / size), np.float32(-FARTHEST), out=out[near])
    return out


def read(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A picture (S, S) or (S, S, C) float32 of the crop at points (P, 2), crop frame, bilinear: (P,) or (P, C)."""
    half = len(picture) / 2
    pixels = (points * [half, -half] + half - 0.5).astype(np.float32)
    return cv2.remap(
        picture.astype(np.float32),
        pixels[None, :, 0],
        pixels[None, :, 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )[0]
