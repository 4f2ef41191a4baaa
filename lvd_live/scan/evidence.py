"""Pairs of scan points and body vertices, and what they say about where each vertex should go.

Every pair asks vertex i to move by d: along the normal n, and a little in all directions. What all pairs ask of it is

    M_i = Σ ω (α n nᵀ + (1 − α) I),    g_i = Σ ω (α n nᵀ + (1 − α) I) d,

so that with J_i = ∂v_i the Gauss-Newton step solves Σ J_iᵀ M_i J_i δ = Σ J_iᵀ g_i, however many points there are.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from scipy.spatial import cKDTree

from lvd_live.scan.sampling import evenly
from lvd_live.topology import vertex_normals

NORMAL = 0.06  # metres that a unit of difference in normals counts for when the nearest point is sought
OPPOSED = 0.1  # cosine of the normals below which two points are no pair
ROUGH_POINTS = 3_000  # of a cloud, for the first steps
FARTHEST = 0.1  # metres: in the residual, nothing is farther


@dataclass(frozen=True)
class Cloud:
    """Points of a scan. Metres.

    points : (P, 3) float64. normals : (P, 3) float64, outward and of unit length, or zeros where they are unknown.
    weight : (P,) float64, they sum to 1. tree : of `features`. sure : whether the normals' sides are known.
    """

    points: np.ndarray
    normals: np.ndarray
    weight: np.ndarray
    tree: cKDTree
    sure: bool = True

    @classmethod
    def of(cls, points: np.ndarray, normals: np.ndarray | None = None, *, sure: bool = True) -> Cloud:
        """normals : (P, 3), or None: unknown. sure : see the class."""
        known = np.zeros_like(points) if normals is None else normals
        tree = cKDTree(features(points, known), balanced_tree=False, compact_nodes=False)
        return cls(points, known, np.full(len(points), 1 / len(points)), tree, sure)

    def turned_with(self, vertices: np.ndarray, faces: np.ndarray) -> Cloud:
        """The same, with normals that are not sure on the side of those of a mesh that lies near."""
        if self.sure:
            return self
        near = cKDTree(vertices).query(self.points)[1]
        along = (vertex_normals(vertices, faces)[near] * self.normals).sum(1, keepdims=True)
        return Cloud.of(self.points, np.where(along < 0, -self.normals, self.normals))

    @functools.cached_property
    def spacing(self) -> float:
        """The median distance of a point from the next one."""
        some = self.points[:: max(1, len(self.points) // 500)]
        return float(np.median(cKDTree(self.points).query(some, k=2)[0][:, 1]))

    @property
    def has_normals(self) -> bool:
        """Whether the normals are known."""
        return bool(self.normals.any())


def features(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Place and normal in metres, side by side: what the search trees compare."""
    return np.concatenate([points, NORMAL * normals], 1) if normals.any() else np.asarray(points)


def thinned(cloud: Cloud, rng: np.random.Generator) -> Cloud:
    """ROUGH_POINTS of a cloud."""
    few = evenly(cloud.points, ROUGH_POINTS, rng)
    return Cloud.of(cloud.points[few], cloud.normals[few], sure=cloud.sure)


@dataclass(frozen=True)
class Pairs:
    """P pairs. vertex : (P,) int. offset : (P, 3) metres, from the vertex to its point. along : (P,), the same along
    the vertex's normal `normal` (P, 3): positive where the point lies outside. agree : (P,) bool, normals not opposed.
    weight : (P,), they sum to 1 or less."""

    vertex: np.ndarray
    offset: np.ndarray
    along: np.ndarray
    normal: np.ndarray
    agree: np.ndarray
    weight: np.ndarray


def pairs(
    cloud: Cloud, vertices: np.ndarray, faces: np.ndarray, area: np.ndarray, *, partial: bool
) -> tuple[Pairs, Pairs]:
    """Each scan point with the vertex nearest to it, and each vertex (N, 3) with the scan point nearest to it.

    area : (N,), weights of the vertices. partial : what the scan does not show is no evidence; see `to_scan`.
    """
    outward = vertex_normals(vertices, faces).astype(float)
    return to_body(cloud, vertices, outward), to_scan(cloud, vertices, outward, area, partial=partial)


def to_body(cloud: Cloud, vertices: np.ndarray, outward: np.ndarray) -> Pairs:
    """Each scan point with the vertex nearest to it. outward : (N, 3), the vertices' normals."""
    known = cloud.has_normals
    tree = cKDTree(features(vertices, outward if known else np.zeros_like(outward)), balanced_tree=False)
    _, near = tree.query(features(cloud.points, cloud.normals))
    offset, normal = cloud.points - vertices[near], outward[near]
    agree = (cloud.normals * normal).sum(1) > OPPOSED if known else np.ones(len(near), bool)
    return Pairs(near, offset, (offset * normal).sum(1), normal, agree, cloud.weight)


def to_scan(cloud: Cloud, vertices: np.ndarray, outward: np.ndarray, area: np.ndarray, *, partial: bool) -> Pairs:
    """Each vertex with the scan point nearest to it.

    partial : vertices farther than 3 cm from the scan count nothing: the scan may not show that side.
    """
    known = cloud.has_normals
    _, near = cloud.tree.query(features(vertices, outward if known else np.zeros_like(outward)))
    offset = cloud.points[near] - vertices
    agree = (cloud.normals[near] * outward).sum(1) > OPPOSED if known else np.ones(len(near), bool)
    if partial:
        agree &= np.linalg.norm(offset, axis=1) < 0.03
    return Pairs(np.arange(len(vertices)), offset, (offset * outward).sum(1), outward, agree, area)


def robust(pair: Pairs, width: float, ease: np.ndarray) -> np.ndarray:
    """ω (P,): Geman and McClure's weights, with `ease` (N,) of those vertices whose point lies outside the body.

    width : metres; a point that far counts a quarter.
    """
    near = 1 / (1 + (pair.offset**2).sum(1) / width**2) ** 2
    return pair.weight * pair.agree * near * np.where(pair.along > 0, ease[pair.vertex], 1.0)


def gathered(pair: Pairs, omega: np.ndarray, plane: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """M (N, 3, 3) and g (N, 3) float32 of the pairs with weights omega (P,). plane : α."""
    n, rest = pair.normal, 1 - plane
    pull = plane * pair.along[:, None] * n + rest * pair.offset
    rows = [n[:, a] * n[:, b] * plane + (rest if a == b else 0) for a, b in _UPPER]
    table = np.column_stack([*rows, pull]) * omega[:, None]
    columns = np.arange(len(omega))
    sums = scipy.sparse.csr_matrix((np.ones(len(omega)), (pair.vertex, columns)), (count, len(omega))) @ table
    M = np.empty((count, 3, 3), np.float32)
    for i, (a, b) in enumerate(_UPPER):
        M[:, a, b] = M[:, b, a] = sums[:, i]
    return M, sums[:, 6:].astype(np.float32)


_UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
