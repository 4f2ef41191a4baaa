"""A skinned body as a linear function of its joints' rotations, in NumPy.

Linear blend skinning is linear in the joints' *global* rotations G_k. With r_i(β) the rest vertices, J_k(β) the rest
joints, w the skin weights, s_ic the weights summed over the subtree of joint c, and p the posed pelvis,

    v_i = p + Σ_k G_k a_ik,    a_ik = w_ik (r_i − J_k) + Σ_{c child of k} s_ic (J_c − J_k).

All vertices are A X, with the a_ik in A (N, 73) and G and p in X (f, 73, 3) as in `procrustes`.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.control import vertex_areas
from lvd_live.body.model import BodyModel
from lvd_live.body.procrustes import rotations


class LinearBody:
    """One body file's arrays and what follows from them; metres, rest pose in the body frame.

    body : the file in torch.
    parents : (24,) int. n_betas : number of shape components B.
    template : (N, 3) float64. shapedirs : (N, 3, B) float32. posedirs : (207, N·3) float32 or None.
    regressor : (24, N) float64, of the joints. weights : (N, 24) float64, skin weights.
    area : (N,) float64, each vertex's share of the surface, none nearly 0; they sum to 1.
    joint_dirs : (24, 3, B), of the rest joints what shapedirs are of the vertices.
    """

    def __init__(self, body: BodyModel):
        self.body, self.parents = body, np.array(body.parents)
        self.template, self.shapedirs = body.v_template.numpy().astype(float), body.shapedirs.numpy()
        self.regressor, self.weights = body.J_regressor.numpy().astype(float), body.weights.numpy().astype(float)
        self.posedirs = None if body.posedirs is None else body.posedirs.numpy()
        self.n_betas = self.shapedirs.shape[2]
        area = vertex_areas(self.template, body.faces.numpy())
        area = np.maximum(area, area.mean() * 1e-2)
        self.area = area / area.sum()
        self.joint_dirs = np.einsum("jn,ncb->jcb", self.regressor, self.shapedirs, optimize=True)
        self._subtree = self.weights.copy()  # s
        for j in range(23, 0, -1):
            self._subtree[:, self.parents[j]] += self._subtree[:, j]
        self._designed = b"", np.zeros((0, 73), np.float32), np.zeros(3)  # for the last betas

    def rest(self, betas: np.ndarray) -> np.ndarray:
        """Rest vertices (N, 3) float64 for shape coefficients (B' <= B,)."""
        return self.template + self.shapedirs[..., : len(betas)] @ np.asarray(betas, float)

    def rest_joints(self, betas: np.ndarray) -> np.ndarray:
        """Rest joints (24, 3) float64."""
        return self.regressor @ self.rest(betas)

    def design(self, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A (N, 73) float32, the a_ik side by side and a column of ones for p; and the rest pelvis (3,)."""
        key = np.asarray(betas, np.float32).tobytes()
        if self._designed[0] == key:
            return self._designed[1:]
        rest = self.rest(betas)
        J = self.regressor @ rest
        a = self.weights[:, :, None] * (rest[:, None] - J)
        for c in range(1, 24):
            k = self.parents[c]
            a[:, k] += self._subtree[:, c, None] * (J[c] - J[k])
        A = np.concatenate([a.reshape(len(rest), 72), np.ones((len(rest), 1))], 1).astype(np.float32)
        self._designed = key, A, J[0]
        return A, J[0]

    def local_rotations(self, X: np.ndarray) -> np.ndarray:
        """The rotations in X relative to each joint's parent, (f, 24, 3, 3); the root's as it is."""
        G = rotations(X)
        local = G.copy()
        local[:, 1:] = G[:, self.parents[1:]].swapaxes(-1, -2) @ G[:, 1:]
        return local

    def pose(self, X: np.ndarray) -> np.ndarray:
        """The rotations in X as axis-angle (f, 24, 3), radians, each joint relative to its parent."""
        return Rotation.from_matrix(self.local_rotations(X).reshape(-1, 3, 3)).as_rotvec().reshape(-1, 24, 3)

    def correctives(self, X: np.ndarray) -> np.ndarray:
        """What the pose correctives add to the posed vertices, (N, f, 3) float32; one zero where there are none."""
        if self.posedirs is None:
            return np.zeros((1, 1, 1), np.float32)
        G = rotations(X)
        bent = (self.local_rotations(X)[:, 1:] - np.eye(3)).reshape(len(G), 207).astype(np.float32)
        offset = (bent @ self.posedirs).reshape(len(G), -1, 3)
        blend = (self.weights @ G.reshape(len(G), 24, 9)).reshape(len(G), -1, 3, 3)
        return np.einsum("fnab,fnb->nfa", blend, offset).astype(np.float32)
