"""SMPL+D: a displacement of each vertex beyond the skinned body, so that the mesh lies on the scan.

Non-rigid ICP (Amberg et al. 2007) with a Laplacian that gets softer. For displacements d of the vertices v, scan points
s at mixes B_s of the vertices, and targets p_i, each vertex's projection onto the scan's nearest tangent plane,

    min over d of  Σ_s ω_s |B_s (v + d) − s|² + Σ_i ω_i |v_i + d_i − p_i|² + λ Σ_edges κ |d_i − d_j|² + ε |d|².

Where the displaced mesh would pass through itself and the body did not, the displacements are taken back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from lvd_live.body.skeleton import BODY_PARTS, JOINT_NAMES
from lvd_live.scan.evidence import OPPOSED, Cloud, features, to_scan
from lvd_live.scan.intersections import added, self_intersections
from lvd_live.scan.nearest import MeshSearch
from lvd_live.scan.skinned import SkinnedBody
from lvd_live.scan.watched import Progress, part, unwatched
from lvd_live.topology import vertex_normals

STIFFNESS = (1.0, 0.2, 0.05, 0.02, 0.01, 0.005)  # λ, round by round, beside a vertex's share of the scan
SOFTEST, STIFFEST = 0.2, 1000.0  # κ of long and of short edges
HANDS = 10.0  # κ of a hand's edges at least: fingers lie too close to each other for nearest points
REACH = (0.08, 0.06, 0.04, 0.03, 0.03, 0.03)  # metres, round by round: points that far count a quarter
TO_SCAN = 0.5  # weight of the vertices' own targets beside the scan's points
PULL = 1e-3  # ε, toward no displacement
HALVINGS, RETREATS = 5, 7  # rounds in which displacements at crossings are halved, and taken back further around


class Displacer:
    """Displaces the vertices of one body."""

    def __init__(self, body: SkinnedBody):
        self._body = body
        stiff = np.ones(len(body.template))
        if body.n_joints == len(JOINT_NAMES):
            hands = [JOINT_NAMES.index(name) for name in BODY_PARTS["hands"]]
            stiff[np.isin(body.weights.argmax(1), hands)] = HANDS
        edges = _edges(body.faces)
        self._laplacian = _laplacian(body.template, edges, stiff)
        graph = scipy.sparse.coo_matrix((np.ones(len(edges)), edges.T), (len(stiff), len(stiff))).tocsr()
        self._near = (graph + graph.T + scipy.sparse.identity(len(stiff))).tocsr()

    def displacements(
        self,
        vertices: np.ndarray,
        cloud: Cloud,
        *,
        partial: bool,
        stiffness: Sequence[float] = STIFFNESS,
        report: Progress = unwatched,
    ) -> np.ndarray:
        """d (N, 3) float64, metres, of the posed vertices (N, 3) toward a cloud.

        partial : vertices far from the scan get no target of their own.
        """
        start = np.asarray(vertices, float)
        d = np.zeros_like(start)
        for i, (softness, reach) in enumerate(zip(stiffness, REACH, strict=False)):
            report(0.6 * i / len(stiffness), "displacing the vertices")
            d = self._round(start, d, cloud, softness, reach, partial=partial)
        return self._without_crossings(start, d, part(report, 0.6, 1.0))

    def _round(
        self, start: np.ndarray, d: np.ndarray, cloud: Cloud, stiffness: float, reach: float, *, partial: bool
    ) -> np.ndarray:
        now, count = start + d, len(start)
        outward = vertex_normals(now, self._body.faces).astype(float)
        known = cloud.has_normals
        found = MeshSearch(now, self._body.faces, with_normals=known).nearest(cloud.points, cloud.normals)
        trust = cloud.weight / (1 + (found.distance / reach) ** 2) ** 2
        if known:
            facing = np.einsum("pk,pkc->pc", found.mix, outward[found.corners])
            trust = trust * ((facing * cloud.normals).sum(1) > OPPOSED)
        rows = np.repeat(np.arange(len(trust)), 3)
        mixes = scipy.sparse.csr_matrix((found.mix.ravel(), (rows, found.corners.ravel())), (len(trust), count))
        own = to_scan(cloud, now, outward, self._body.area, partial=partial)
        near = own.weight * own.agree / (1 + (own.offset**2).sum(1) / reach**2) ** 2 * TO_SCAN
        normal = cloud.normals[self._nearest_rows(cloud, now, outward)] if known else outward
        along = (own.offset * normal).sum(1, keepdims=True)
        target = now + along * normal
        weighted = mixes.multiply(trust[:, None]).tocsr()
        share = 1 / count
        system = weighted.T @ mixes + scipy.sparse.diags(near + PULL * share) + stiffness * share * self._laplacian
        right = weighted.T @ (cloud.points - mixes @ start) + near[:, None] * (target - start)
        solved = scipy.sparse.linalg.splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        return solved.solve(right)

    def _nearest_rows(self, cloud: Cloud, vertices: np.ndarray, outward: np.ndarray) -> np.ndarray:
        return cloud.tree.query(features(vertices, outward))[1]

    def _without_crossings(self, start: np.ndarray, d: np.ndarray, report: Progress) -> np.ndarray:
        """d, smaller where the mesh would newly pass through itself."""
        faces = self._body.faces
        before = self_intersections(start, faces)
        keep = np.ones(len(start))
        for retreat in range(HALVINGS + RETREATS):
            report(retreat / (HALVINGS + RETREATS), "taking back what passes through itself")
            new = added(before, self_intersections(start + keep[:, None] * d, faces), len(faces))
            if not len(new):
                break
            hit = np.zeros(len(start))
            hit[faces[new].ravel()] = 1
            for _ in range(retreat - HALVINGS + 1):
                hit = np.minimum(self._near @ hit, 1)
            keep = np.where(hit > 0, 0.5 * keep if retreat < HALVINGS else 0.0, keep)
        return keep[:, None] * d


def _edges(faces: np.ndarray) -> np.ndarray:
    """The edges (E, 2) of triangles (M, 3)."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(np.sort(edges, 1), axis=0)


def _laplacian(vertices: np.ndarray, edges: np.ndarray, stiff: np.ndarray) -> scipy.sparse.csr_matrix:
    """The Laplacian (N, N) of a mesh's graph with κ the third power of the mean edge's length over an edge's own, or
    the stiffer (N,) of its ends: small features (face, toes) move as one, or they would fold."""
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    weight = np.clip((length.mean() / np.maximum(length, 1e-9)) ** 3, SOFTEST, STIFFEST)
    root = np.sqrt(np.maximum(weight, np.where(stiff[edges].max(1) > 1, stiff[edges].max(1), 0)))
    rows = np.arange(len(edges))
    entries = np.concatenate([root, -root]), (np.concatenate([rows, rows]), edges.T.ravel())
    difference = scipy.sparse.csr_matrix(entries, (len(edges), len(stiff)))
    return (difference.T @ difference).tocsr()
