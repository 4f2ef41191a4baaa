"""Limbs that a fit has put where the scan has none: they are tried in other poses.

Gauss-Newton moves a limb to the nearest points, which may be those of the trunk or of the other limb. Here poses of one
limb are drawn from the prior, the best ones varied, and all compared by what the solver's residual would be,

    E = 1/P Σ_s min(D_s, |s − limb|) + Σ_{i in limb} a_i |v_i − scan|,

where D_s is the distance of scan point s from the rest of the body, a_i a vertex's share of the surface, and no
distance counts more than `REACH`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from lvd_live.body.skeleton import JOINT
from lvd_live.scan.evidence import Cloud, features
from lvd_live.scan.prior import PosePrior
from lvd_live.scan.skinned import Parameters, Posed, SkinnedBody
from lvd_live.scan.view import View
from lvd_live.topology import vertex_normals

CHAINS = [
    tuple(JOINT[f"{side}_{name}"] for name in names)
    for names in (("shoulder", "elbow", "wrist", "hand"), ("hip", "knee", "ankle", "foot"))
    for side in ("left", "right")
]
MOVED = 2  # joints of a chain that are turned: the others follow
DRAWN, VARIED, COPIES = 400, 8, 24  # poses from the prior; the best ones; variations of each
WIDEST, SPREAD = 2.5, (0.3, 0.15)  # times the prior's deviation, at most; radians, of the variations, by round
VERTICES, POINTS = 70, 120  # of a limb, and of the scan beside it, that are looked at
REACH = 0.3  # metres: nothing counts as farther away
BESIDE = 0.02  # metres: scan points nearer to the rest of the body than that are the rest's


@dataclass(frozen=True)
class Limb:
    """The vertices of one limb, a few of them.

    chain : its joints, from the trunk. rows : (V,) int. weights : (V, len(chain) + 1) of its joints and, first, the
    joint before them. area : (V,), the shares of the body's surface that they stand for.
    """

    chain: tuple[int, ...]
    rows: np.ndarray
    weights: np.ndarray
    area: np.ndarray

    @classmethod
    def of(cls, body: SkinnedBody, chain: tuple[int, ...]) -> Limb:
        """The limb of the joints `chain`."""
        own = np.flatnonzero(np.isin(body.weights.argmax(1), chain))
        rows = own[:: max(1, len(own) // VERTICES)]
        weights = body.weights[rows][:, [body.parents[chain[0]], *chain]].astype(float)
        weights /= np.maximum(weights.sum(1, keepdims=True), 1e-9)
        area = body.area[rows] / body.area[rows].sum() * body.area[own].sum()
        return cls(chain, rows, weights, area)


class Limbs:
    """The arms and legs of a body with SMPL's joints; `other_poses` of each."""

    def __init__(self, body: SkinnedBody, prior: PosePrior):
        self._body, self._prior = body, prior
        self.limbs = tuple(Limb.of(body, chain) for chain in CHAINS)

    def other_poses(
        self, cloud: Cloud, p: Parameters, limb: Limb, rng: np.random.Generator, view: View | None = None
    ) -> tuple[float, float, Parameters]:
        """E of a limb as it is in p, the least E that was found, and p with the limb so.

        view : of a scan from one side: vertices count by their way out of free space, not by that to the scan.
        """
        chain = list(limb.chain[:MOVED])
        judge = _Judge.of(cloud, self._body.posed(p), self._body, limb, view)
        own = (3 * (np.array(chain) - 1)[:, None] + np.arange(3)).ravel()
        drawn = rng.multivariate_normal(np.zeros(len(own)), self._prior.covariance[np.ix_(own, own)], DRAWN)
        drawn = self._prior.mean[own] + drawn * rng.uniform(1, WIDEST, (DRAWN, 1))
        drawn = drawn.reshape(DRAWN, MOVED, 3)
        poses = np.concatenate([p.pose[chain][None], drawn])
        E = judge.misfit(poses)
        now = float(E[0])
        for spread in SPREAD:
            best = np.argsort(E)[:VARIED]
            new = poses[best].repeat(COPIES, 0) + rng.normal(0, spread, (VARIED * COPIES, MOVED, 3))
            poses, E = np.concatenate([poses[best], new]), np.concatenate([E[best], judge.misfit(new)])
        pose = p.pose.copy()
        pose[chain] = poses[E.argmin()]
        return now, float(E.min()), replace(p, pose=pose)


@dataclass(frozen=True)
class _Judge:
    """E of one limb's poses. points : (S, 3) of the scan, those that others than the rest of the body must explain.
    away : (S,), D_s. share : of each in P."""

    cloud: Cloud
    posed: Posed
    limb: Limb
    before: int
    normals: np.ndarray
    points: np.ndarray
    away: np.ndarray
    share: float
    view: View | None

    @classmethod
    def of(cls, cloud: Cloud, posed: Posed, body: SkinnedBody, limb: Limb, view: View | None) -> _Judge:
        rest = posed.vertices[~np.isin(body.weights.argmax(1), limb.chain)][::2].astype(float)
        away = np.minimum(cKDTree(rest).query(cloud.points, distance_upper_bound=REACH)[0], REACH)
        beside = np.flatnonzero(away > BESIDE)
        some = beside[:: max(1, -(-len(beside) // POINTS))]
        share = len(beside) / max(len(some), 1) / len(cloud.points)
        normals = vertex_normals(posed.rest, body.faces).astype(float)[limb.rows]
        before = body.parents[limb.chain[0]]
        return cls(cloud, posed, limb, before, normals, cloud.points[some], away[some], share, view)

    def misfit(self, poses: np.ndarray) -> np.ndarray:
        """E (C,) of poses (C, MOVED, 3) of the limb's first joints."""
        v, n = self._placed(poses)
        if self.view is not None:
            there = np.minimum(np.linalg.norm(self.view.wrong(v.reshape(-1, 3)), axis=1), REACH)
        else:
            looked = features(v.reshape(-1, 3), n.reshape(-1, 3) * self.cloud.has_normals)
            there = np.minimum(self.cloud.tree.query(looked, distance_upper_bound=REACH)[0], REACH)
        squared = (self.points**2).sum(1)[:, None] + (v**2).sum(2)[:, None] - 2 * self.points @ v.swapaxes(1, 2)
        back = np.minimum(np.sqrt(np.maximum(squared.min(2), 0)), self.away)
        return self.share * back.sum(1) + there.reshape(len(v), -1) @ self.limb.area

    def _placed(self, poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and normals (C, V, 3) of the limb, as fitted."""
        posed, limb, count = self.posed, self.limb, len(poses)
        p, joints = posed.parameters, [self.before, *limb.chain]
        G = [np.broadcast_to(posed.turns[self.before], (count, 3, 3))]
        j = [np.tile(posed.joints[self.before], (count, 1))]
        for k, joint in enumerate(limb.chain):
            local = Rotation.from_rotvec(poses[:, k] if k < MOVED else p.pose[joint][None]).as_matrix()
            j.append(j[-1] + G[-1] @ (posed.rest_joints[joint] - posed.rest_joints[joints[k]]))
            G.append(G[-1] @ local)
        turns = np.stack(G, 1)
        offset = np.stack(j, 1) - (turns @ posed.rest_joints[joints][..., None])[..., 0]
        blend = np.einsum("vk,ckab->cvab", limb.weights, turns, optimize=True)
        moved = np.einsum("cvab,vb->cva", blend, posed.rest[limb.rows], optimize=True)
        moved += np.einsum("vk,cka->cva", limb.weights, offset, optimize=True)
        normals = np.einsum("cvab,vb->cva", turns[:, limb.weights.argmax(1)], self.normals, optimize=True)
        return np.exp(p.size) * moved + p.place, normals
