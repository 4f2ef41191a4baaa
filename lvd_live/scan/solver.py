"""Gauss-Newton for pose, shape, place and size of a body in a scan, from a mesh that lies near it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation
from threadpoolctl import ThreadpoolController

from lvd_live.body.procrustes import nearest_rotation
from lvd_live.body.skeleton import BODY_PARTS, JOINT_NAMES
from lvd_live.scan.evidence import FARTHEST, Cloud, Pairs, gathered, pairs, robust
from lvd_live.scan.prior import PosePrior
from lvd_live.scan.skinned import Parameters, SkinnedBody
from lvd_live.scan.view import View

MEASUREMENTS, ERROR = (
    400,
    0.01,
)  # independent measurements that a scan counts as beside the priors, metres of error each
DAMPING = 1e-3  # Levenberg's, of the diagonal
SPREAD = 0.06  # metres: a descent's mesh is no surer than that
TURN = 0.6  # radians: no joint turns by more in one step
SIZE = 0.15  # standard deviation of the logarithm of the size, where it is free
CLOTHED = {"hands": 1.0, "head": 0.5}  # weight of a point outside the body, by part; CLOTHES elsewhere
CLOTHES = 0.5
UNLIKELY = 1e-3  # metres of residual that a pose of the usual distance from the mean counts
MESH_STEPS = 8  # from rest to a mesh
MESH_EVERY = 4  # of the mesh's vertices: enough, they do not err independently
ROUGH = (0.15, 0.12, 0.09, 0.07)  # metres, the width of the robust loss, step by step
MIDDLE = (0.06, 0.05, 0.04, 0.03, 0.03, 0.03)
FINE = (0.04, 0.03, 0.03, 0.025, 0.02, 0.02, 0.02, 0.02)
_one_thread = ThreadpoolController().wrap(limits=1, user_api="blas")  # products this small only wait for more threads


@dataclass(frozen=True)
class Held:
    """A mesh (N, 3), metres, that vertices are held to where a scan does not show them; weight : (N,)."""

    mesh: np.ndarray
    weight: np.ndarray

    @classmethod
    def by(cls, mesh: np.ndarray, std: np.ndarray | None, area: np.ndarray) -> Held:
        """A descent's mesh and its uncertainty (N,), metres. area : (N,), shares of the surface."""
        spread = np.full(len(mesh), SPREAD) if std is None else np.maximum(std, SPREAD)
        return cls(mesh, area * (ERROR / spread) ** 2)

    def pairs(self, vertices: np.ndarray, shown: np.ndarray) -> Pairs:
        """Each vertex (N, 3) that is not `shown` (N,) with its place in the mesh."""
        offset = self.mesh - vertices
        zero = np.zeros_like(offset)
        return Pairs(np.arange(len(offset)), offset, zero[:, 0], zero, ~shown, self.weight)


@dataclass(frozen=True)
class Schedule:
    """How a fit goes on. widths : metres, of the robust loss, step by step. plane : share of the point-to-plane part.
    partial : the scan shows one side only. view : what is known of free space then. held : where vertices are guessed
    to be that the scan does not show."""

    widths: Sequence[float]
    plane: float = 0.8
    partial: bool = False
    view: View | None = None
    held: Held | None = None


class ScanSolver:
    """Fits one body file to clouds. Metres, any right-handed frame.

    free_size : the size is an unknown, else it stays 0. betas : (B,), the shape where it is known, else an unknown.
    """

    def __init__(self, body: SkinnedBody, prior: PosePrior | None = None):
        self.body = body
        self.prior = PosePrior.of(body.n_joints) if prior is None else prior
        self.ease = ease_of_clothes(body)

    @_one_thread
    def from_mesh(self, vertices: np.ndarray, std: np.ndarray | None = None, *, free_size: bool = False) -> Parameters:
        """The parameters nearest to a mesh (N, 3) of the body's topology, such as a descent leaves.

        std : (N,) metres, the vertices' uncertainty.
        """
        start = self._kabsch(vertices)
        spread = np.full(len(vertices), 0.02) if std is None else np.maximum(std, 0.01)
        omega = self.body.area / (1 + (spread / 0.03) ** 2)
        every = np.arange(0, len(vertices), MESH_EVERY if len(vertices) > 3000 else 1)
        omega = omega[every]
        for step in range(MESH_STEPS):
            posed = self.body.posed(start)
            offset = vertices[every] - posed.vertices[every]
            distance = np.linalg.norm(offset, axis=1)
            width = max(3 * float(np.median(distance)), 0.02) if step > 1 else 1.0
            weight = omega / (1 + (distance / width) ** 2)
            zero = np.zeros((len(every), 3))
            pair = Pairs(np.arange(len(every)), offset, zero[:, 0], zero, every >= 0, weight)
            M, g = gathered(pair, weight / weight.sum(), 0.0, len(every))
            start = self._step(start, M, g, free_size=free_size, trust=0.2, rows=every)
        return start

    @_one_thread
    def fit(
        self,
        cloud: Cloud,
        start: Parameters,
        schedule: Schedule,
        *,
        free_size: bool = False,
        betas: np.ndarray | None = None,
    ) -> Parameters:
        """The parameters that explain a cloud, from those that lie near.

        betas : (B,), the shape where it is known.
        """
        p = start if betas is None else replace(start, betas=np.asarray(betas, float))
        count = len(self.body.template)
        for width in schedule.widths:
            posed = self.body.posed(p)
            both = pairs(cloud, posed.vertices, self.body.faces, self.body.area, partial=schedule.partial)
            M, g = np.zeros((count, 3, 3), np.float32), np.zeros((count, 3), np.float32)
            more = [] if schedule.view is None else [(schedule.view.pairs(posed.vertices, self.body.area), width, 0.8)]
            if schedule.held is not None:
                more.append((schedule.held.pairs(posed.vertices, both[1].agree), FARTHEST, 0.0))
            for pair, reach, plane in [*((pair, width, schedule.plane) for pair in both), *more]:
                part = gathered(pair, robust(pair, reach, self.ease), plane, count)
                M, g = M + part[0], g + part[1]
            p = self._step(p, M, g, free_size=free_size, fixed_shape=betas is not None, trust=_shown(both[1]))
        return p

    def residual(self, cloud: Cloud, p: Parameters, *, partial: bool = False, view: View | None = None) -> float:
        """Metres: the mean of both ways' distances, none more than FARTHEST; points outside count by their ease.

        partial : of the way from the scan alone; with the vertices' way out of free space where a view is known.
        """
        posed = self.body.posed(p)
        both = pairs(cloud, posed.vertices, self.body.faces, self.body.area, partial=False)
        total = [self._mean_distance(pair) for pair in (both[:1] if partial else both)]
        if view is not None:
            out = np.minimum(np.linalg.norm(view.wrong(posed.vertices), axis=1), FARTHEST)
            total.append(float(self.body.area @ out))
        return float(np.mean(total))

    def score(self, cloud: Cloud, p: Parameters, *, partial: bool = False, view: View | None = None) -> float:
        """Metres: the residual, and a little for a pose that people do not take: what starts are compared by."""
        unlikely = self.prior.distance(p.pose) / len(self.prior.mean)
        return self.residual(cloud, p, partial=partial, view=view) + UNLIKELY * unlikely

    def _mean_distance(self, pair: Pairs) -> float:
        distance = np.minimum(np.linalg.norm(pair.offset, axis=1), FARTHEST)
        distance = np.where(pair.agree, distance, FARTHEST)
        side = np.where(pair.along > 0, np.sqrt(self.ease[pair.vertex]), 1.0)
        return float((pair.weight * side * distance).sum() / pair.weight.sum())

    def _step(
        self,
        p: Parameters,
        M: np.ndarray,
        g: np.ndarray,
        *,
        free_size: bool,
        fixed_shape: bool = False,
        trust: float = 1.0,
        rows: np.ndarray | slice = slice(None),
    ) -> Parameters:
        """p after one damped step of the normal equations of M (n, 3, 3) and g (n, 3), with the priors.

        trust : factor of the evidence beside the priors. rows : the n vertices that it is about.
        """
        body, K = self.body, 3 * self.body.n_joints
        posed = body.posed(p)
        J, T = body.jacobian(posed, rows), body.pose_frame(posed)
        flat = J.reshape(-1, J.shape[2])
        strength = trust * MEASUREMENTS / ERROR**2
        H = strength * (T.T @ (flat.T @ (M @ J).reshape(flat.shape)).astype(float) @ T)
        right = strength * (T.T @ (flat.T @ g.ravel()).astype(float))
        H[3:K, 3:K] += self.prior.precision
        right[3:K] -= self.prior.gradient(p.pose)
        shape = slice(K, K + body.n_betas)
        H[shape, shape] += np.eye(body.n_betas)
        right[shape] -= p.betas
        H[-1, -1] += SIZE**-2
        right[-1] -= p.size / SIZE**2
        H[np.diag_indices_from(H)] *= 1 + DAMPING
        free = np.ones(len(H), bool)
        free[shape], free[-1] = not fixed_shape, free_size
        step = np.zeros(len(H))
        step[free] = np.linalg.solve(H[np.ix_(free, free)] + 1e-9 * np.eye(int(free.sum())), right[free])
        turns = step[:K].reshape(-1, 3)
        turns *= np.minimum(1, TURN / np.maximum(np.linalg.norm(turns, axis=1, keepdims=True), 1e-12))
        return body.moved(p, step)

    def _kabsch(self, vertices: np.ndarray) -> Parameters:
        """Each joint's rotation from the vertices that it moves (Kabsch 1976), where they are enough to tell."""
        body = self.body
        rest, label = body.template, body.weights.argmax(1)
        turns = np.tile(np.eye(3), (body.n_joints, 1, 1))
        for k in range(body.n_joints):
            own = label == k
            parent = body.parents[k]
            if own.sum() < 12:
                turns[k] = turns[max(parent, 0)]
                continue
            a, b = rest[own] - rest[own].mean(0), vertices[own] - vertices[own].mean(0)
            turns[k] = nearest_rotation((b.T @ a).astype(float))
        local = turns.copy()
        for k in range(1, body.n_joints):
            local[k] = turns[body.parents[k]].T @ turns[k]
        pose = Rotation.from_matrix(local).as_rotvec()
        start = Parameters(pose, np.zeros(body.n_betas), np.zeros(3))
        centre = (body.area @ (vertices - body.posed(start).vertices)).astype(float)
        return replace(start, place=centre)


def _shown(to_scan: Pairs) -> float:
    """The share of the body's surface that a scan lies near to: a bust says little about the body's shape."""
    near = to_scan.agree & (np.linalg.norm(to_scan.offset, axis=1) < 0.06)
    return max(float(to_scan.weight[near].sum()), 0.05)


def ease_of_clothes(body: SkinnedBody) -> np.ndarray:
    """(N,): the weight of scan points outside the body, beside those inside it: bodies lie inside clothes.

    A hand alone wears none.
    """
    if body.n_joints != len(JOINT_NAMES):
        return np.ones(len(body.template))
    label = body.weights.argmax(1)
    ease = np.full(len(label), CLOTHES)
    for part, value in CLOTHED.items():
        ease[np.isin(label, [JOINT_NAMES.index(name) for name in BODY_PARTS[part]])] = value
    return ease
