"""A skinned body of any number of joints, its vertices and their derivatives by pose, shape, place and size.

With T_m(r) = G_m (r − J_m) + j_m the motion of bone m, r_i the rest vertices with shape and pose correctives, w the
skin weights, s the logarithm of the size and t the place,

    v_i = e^s Σ_m w_im T_m(r_i) + t.

A turn δ of joint k, in the world's axes, moves the joints of its subtree S(k) about j_k:

    ∂v_i/∂δ_k = −[c_ik]×,    c_ik = e^s Σ_{m in S(k)} w_im (T_m(r_i) − j_k).

The pose correctives' own derivatives are left out: they are small beside those of the bones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.control import vertex_areas
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import cross_matrix

COMPONENTS = 20  # of the shape at most: files with 300 say with the rest what clothes would decide


@dataclass(frozen=True)
class Parameters:
    """One posed body. Metres, radians, the frame of the points it is fitted to.

    pose : (K, 3) float64 axis-angle, each joint relative to its parent, the root first.
    betas : (B,) float64. place : (3,) float64, added last. size : logarithm of the factor before it.
    """

    pose: np.ndarray
    betas: np.ndarray
    place: np.ndarray
    size: float = 0.0


@dataclass(frozen=True)
class Posed:
    """A body under `parameters`; K joints, N vertices, float32 unless said.

    vertices : (N, 3) metres, as fitted. rest : (N, 3), shaped and corrected for the pose. rest_joints, joints : (K, 3)
    float64, before size and place. turns : (K, 3, 3) float64, the joints' rotations in the world.
    """

    parameters: Parameters
    vertices: np.ndarray
    rest: np.ndarray
    rest_joints: np.ndarray
    joints: np.ndarray
    turns: np.ndarray

    def joints_placed(self) -> np.ndarray:
        """The joints (K, 3) float64 where the vertices are."""
        return np.exp(self.parameters.size) * self.joints + self.parameters.place


class SkinnedBody:
    """A body file's arrays in NumPy.

    body : the file. faces : (M, 3) int64. weights : (N, K) float32. parents : K ints. area : (N,) float64, each
    vertex's share of the template's surface; they sum to 1. n_betas, n_joints : B and K.
    """

    def __init__(self, body: BodyModel, components: int = COMPONENTS):
        self.body, self.faces = body, body.faces.numpy()
        self.template = body.v_template.numpy().astype(np.float32)
        self.dirs = body.shapedirs.numpy()[..., :components].astype(np.float32)
        self.regressor, self.weights = body.J_regressor.numpy(), body.weights.numpy().astype(np.float32)
        self.parents = list(body.parents)
        self.n_betas, self.n_joints = self.dirs.shape[2], self.weights.shape[1]
        self._correctives = None if body.posedirs is None else body.posedirs.numpy()
        self._joint_dirs = np.einsum("jn,ncb->jcb", self.regressor, self.dirs, optimize=True).astype(float)
        self._below = _subtrees(self.parents)  # S: (K, K), 1 where the column's joint is in the row's subtree
        self._share = self.weights @ self._below.T.astype(np.float32)
        area = vertex_areas(self.template.astype(float), self.faces)
        area = np.maximum(area, area.mean() * 1e-2)
        self.area = area / area.sum()

    @property
    def n_unknowns(self) -> int:
        """3 K of the pose, B of the shape, 3 of the place, 1 of the size."""
        return 3 * self.n_joints + self.n_betas + 4

    def at_rest(self) -> Parameters:
        """The template's parameters."""
        return Parameters(np.zeros((self.n_joints, 3)), np.zeros(self.n_betas), np.zeros(3))

    def posed(self, p: Parameters) -> Posed:
        """The body under p."""
        rest = self.template + self.dirs @ p.betas.astype(np.float32)
        J = self.regressor.astype(np.float32) @ rest
        local = Rotation.from_rotvec(p.pose).as_matrix()
        if self._correctives is not None:
            bent = (local[1:] - np.eye(3)).reshape(-1).astype(np.float32)
            rest = rest + (bent @ self._correctives).reshape(-1, 3)
        G, j = local.copy(), J.astype(float)
        rest_joints = j.copy()
        for k in range(1, self.n_joints):
            parent = self.parents[k]
            G[k] = G[parent] @ local[k]
            j[k] = j[parent] + G[parent] @ (rest_joints[k] - rest_joints[parent])
        moved = self._blended(G, j - np.einsum("kab,kb->ka", G, rest_joints), rest)
        vertices = np.float32(np.exp(p.size)) * moved + p.place.astype(np.float32)
        return Posed(p, vertices, rest, rest_joints, j, G)

    def jacobian(self, posed: Posed, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """∂v/∂(turns of the joints in the world, betas, place, size): (n, 3, 3 K + B + 4) float32.

        rows : the n vertices asked for.
        """
        K, B, count = self.n_joints, self.n_betas, len(posed.vertices[rows])
        scale = np.float32(np.exp(posed.parameters.size))
        J = np.empty((count, 3, self.n_unknowns), np.float32)
        arms = scale * self._arms(posed, rows)
        turning = np.zeros((count, 3, K, 3), np.float32)
        for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            turning[:, a, :, b], turning[:, b, :, a] = arms[..., c], -arms[..., c]
        J[..., : 3 * K] = turning.reshape(count, 3, -1)
        J[..., 3 * K : 3 * K + B] = scale * self._by_shape(posed, rows)
        J[..., 3 * K + B : -1] = np.eye(3, dtype=np.float32)
        J[..., -1] = posed.vertices[rows] - posed.parameters.place.astype(np.float32)
        return J

    def pose_frame(self, posed: Posed) -> np.ndarray:
        """d(turns in the world)/d(pose): (3 K + B + 4) square, block by block; the root's is the identity.

        A turn in the world is G_parent J_l(ω) dω, with J_l the left Jacobian of the rotations; the root's unknown is
        the turn itself.
        """
        T = np.eye(self.n_unknowns)
        left = _left_jacobian(posed.parameters.pose)
        for k in range(1, self.n_joints):
            some = slice(3 * k, 3 * k + 3)
            T[some, some] = posed.turns[self.parents[k]] @ left[k]
        return T

    def moved(self, p: Parameters, step: np.ndarray) -> Parameters:
        """p after a step (3 K + B + 4,) of its unknowns, as `pose_frame` has them."""
        K, B = self.n_joints, self.n_betas
        pose = p.pose + step[: 3 * K].reshape(K, 3)
        pose[0] = (Rotation.from_rotvec(step[:3]) * Rotation.from_rotvec(p.pose[0])).as_rotvec()
        shape = p.betas + step[3 * K : 3 * K + B]
        return replace(p, pose=pose, betas=shape, place=p.place + step[-4:-1], size=p.size + float(step[-1]))

    def unposed(self, posed: Posed, offsets: np.ndarray) -> np.ndarray:
        """Offsets (N, 3) of the posed vertices, metres as fitted, as offsets of the rest vertices, (N, 3) float64."""
        blend = (self.weights @ posed.turns.reshape(-1, 9)).reshape(-1, 3, 3)
        return np.linalg.solve(blend, offsets[..., None])[..., 0] / np.exp(posed.parameters.size)

    def _blended(self, G: np.ndarray, t: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """Linear blend skinning of rest (N, 3) by v = G v + t of each joint."""
        T = np.concatenate([G.reshape(-1, 9), t], 1).astype(np.float32)
        blend = self.weights @ T
        return np.einsum("nab,nb->na", blend[:, :9].reshape(-1, 3, 3), rest) + blend[:, 9:]

    def _arms(self, posed: Posed, rows: np.ndarray | slice) -> np.ndarray:
        """c (n, K, 3) float32 before the size."""
        G, count = posed.turns, self.n_joints
        t = posed.joints - np.einsum("kab,kb->ka", G, posed.rest_joints)
        by_bone = posed.rest[rows] @ G.reshape(-1, 3).T.astype(np.float32) + t.reshape(-1).astype(np.float32)
        by_bone = by_bone.reshape(-1, count, 3) * self.weights[rows][..., None]
        total = by_bone.swapaxes(1, 2) @ self._below.T.astype(np.float32)
        return total.swapaxes(1, 2) - self._share[rows][..., None] * posed.joints.astype(np.float32)

    def _by_shape(self, posed: Posed, rows: np.ndarray | slice) -> np.ndarray:
        """∂v/∂betas (n, 3, B) float32 before the size."""
        G, dJ, weights = posed.turns, self._joint_dirs, self.weights[rows]
        moved = dJ.copy()
        for k in range(1, self.n_joints):
            parent = self.parents[k]
            moved[k] = moved[parent] + G[parent] @ (dJ[k] - dJ[parent])
        blend = (weights @ G.reshape(-1, 9).astype(np.float32)).reshape(-1, 3, 3)
        offset = weights @ (moved - G @ dJ).reshape(self.n_joints, -1).astype(np.float32)
        return blend @ self.dirs[rows] + offset.reshape(len(blend), 3, -1)


def _subtrees(parents: list[int]) -> np.ndarray:
    below = np.eye(len(parents))
    for k in range(len(parents) - 1, 0, -1):
        below[parents[k]] += below[k]
    return below


def _left_jacobian(pose: np.ndarray) -> np.ndarray:
    """J_l (K, 3, 3) of the rotations exp [ω]× of pose (K, 3): exp [ω + dω]× ≈ exp [J_l dω]× exp [ω]×."""
    angle = np.linalg.norm(pose, axis=1)
    small = angle < 1e-4
    safe = np.where(small, 1.0, angle)
    a = np.where(small, 0.5, (1 - np.cos(safe)) / safe**2)[:, None, None]
    b = np.where(small, 1 / 6, (safe - np.sin(safe)) / safe**3)[:, None, None]
    K = cross_matrix(pose)
    return np.eye(3) + a * K + b * (K @ K)
