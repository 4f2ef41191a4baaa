"""Vertices to body parameters: pose, shape and translation of the skinned body that lies nearest to given meshes.

Linear blend skinning is linear in the joints' *global* rotations G_k. With r_i(β) the rest vertices, J_k(β) the rest joints, w the skin weights, s_ic the weights summed over
the subtree of joint c, and p the posed pelvis,

    v_i = p + Σ_k G_k a_ik,    a_ik = w_ik (r_i − J_k) + Σ_{c child of k} s_ic (J_c − J_k),

so a least-squares fit of all bones needs the vertices only through the Gram matrices AᵀWA (one per shape) and AᵀWV (one product per frame): Procrustes for a whole skeleton. The start is
that problem with free 3×3 matrices, each projected onto the rotations; a few Gauss–Newton steps on the rotations follow. Given the rotations, v_i is linear in β too. Outliers are held by
Huber's modified residuals: what is too far is brought near before the next step, which leaves the Gram matrix alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from scipy.spatial.transform import Rotation

from lvd_live.body.control import vertex_areas
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT

RELAXED = 4  # rounds of the convex start
STEPS = 5  # of a frame: Gauss-Newton on the rotations, then outliers brought near
SWEEPS = 7  # alternations between rotations and shape
CHUNK = 32  # frames held at once
SHAPE_FRAMES = 32  # of a session, evenly spread: what its shape is read from
MEASUREMENTS = 60  # independent measurements that a mesh is worth beside the priors: errors of neighbouring vertices go together
BEND = {"hip": 1.2, "knee": 1.2, "ankle": 0.5, "foot": 0.3, "spine": 0.3, "neck": 0.4, "head": 0.4, "collar": 0.3, "shoulder": 1.2, "elbow": 1.2, "wrist": 0.5, "hand": 0.4}
"""Radians: how far each kind of joint turns, as a prior; it decides only where a mesh is too poor to tell."""
HUBER = 2.0  # times the median distance: farther vertices are brought near
START, REACH = 5e-3, 0.1  # metres: the error expected, and what counts as far, at the first step
TRUST = 0.01  # metres: a vertex of smaller uncertainty does not count more
FLOOR = 2e-4  # metres: no mesh is taken for more exact


@dataclass(frozen=True)
class Fitted:
    """A session's body: pose (F, 24, 3) float32 axis-angle, each joint relative to its parent; betas (B,) float32; transl (F, 3) float32 metres, as in SMPL added after posing about the rest
    pelvis; the root's rotation and transl in the frame of the vertices. residual_mm (F,) float32: the mean distance of the vertices from the skinned body.
    shapes (S, B) float32: betas as each of S single frames would have them, for the spread.
    """

    pose: np.ndarray
    betas: np.ndarray
    transl: np.ndarray
    residual_mm: np.ndarray
    shapes: np.ndarray


class BodyFitter:
    """Fits one body file to meshes of its topology. All arrays are NumPy's; vertices in metres in any right-handed frame."""

    def __init__(self, body: BodyModel):
        self.body, self.parents = body, np.array(body.parents)
        self.template, self.shapedirs = body.v_template.numpy().astype(float), body.shapedirs.numpy()
        self.regressor, self.weights = body.J_regressor.numpy().astype(float), body.weights.numpy().astype(float)
        self.posedirs = None if body.posedirs is None else body.posedirs.numpy()
        self.n_betas = self.shapedirs.shape[2]
        area = vertex_areas(self.template, body.faces.numpy())
        self.area = np.maximum(area, area.mean() * 1e-2) / np.maximum(area, area.mean() * 1e-2).sum()
        self._joint_dirs = np.einsum("jn,ncb->jcb", self.regressor, self.shapedirs, optimize=True)
        self._subtree = self.weights.copy()  # s
        for j in range(23, 0, -1):
            self._subtree[:, self.parents[j]] += self._subtree[:, j]
        f = body.faces.numpy()
        near = scipy.sparse.coo_matrix((np.ones(3 * len(f), np.float32), (f.ravel(), np.roll(f, 1, 1).ravel())), (len(self.area),) * 2).tocsr()
        near = ((near + near.T + scipy.sparse.eye(len(self.area))) > 0).astype(np.float32)
        near = scipy.sparse.diags(1 / np.asarray(near.sum(1)).ravel()) @ near
        self._average = (near @ near).astype(np.float32)  # each vertex with its neighbours and theirs
        self._designed = b"", np.zeros((0, 73), np.float32)  # of the last betas
        self._prior = np.zeros((73, 73))  # ½ |G_k − G_parent|² / BEND², which is (angle / BEND)² for small angles, summed over the joints
        for name, k in list(JOINT.items())[1:]:
            for d in range(3):
                row = np.zeros(73)
                row[3 * k + d], row[3 * self.parents[k] + d] = 1, -1
                self._prior += np.outer(row, row) / (2 * BEND[name.split("_")[-1].rstrip("123")] ** 2)

    def fit(self, vertices: np.ndarray, std: np.ndarray | None = None, betas: np.ndarray | None = None) -> Fitted:
        """The parameters of F meshes of one person. vertices (F, N, 3), a memory map too; std (F, N) metres, their uncertainty: uncertain vertices count less, zeros mean unknown; betas (B,): a known shape."""
        shapes = np.empty((0, self.n_betas), np.float32)
        if betas is None:
            betas, shapes = self.fit_shape(vertices, std)
        A = self._design(betas)
        parts = [self._pose(A, v, w) for v, w in self._chunks(vertices, std)]
        G, p, _, residual, _ = (np.concatenate([part[i] for part in parts]) if parts else np.zeros((0, *tail)) for i, tail in enumerate(((24, 3, 3), (3,), (0, 3), (), ())))
        return Fitted(self._local(G), np.asarray(betas, np.float32), (p - self.rest_joints(betas)[0]).astype(np.float32), (1000 * residual).astype(np.float32), shapes)

    def fit_shape(self, vertices: np.ndarray, std: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """betas (B,) common to the meshes, and (S, B) of the S frames looked at, one by one; float32."""
        few = SHAPE_FRAMES if self.n_betas <= 50 else SHAPE_FRAMES // 4
        chosen = np.unique(np.linspace(0, len(vertices) - 1, few).round().astype(int)) if len(vertices) else np.zeros(0, int)
        V, S = np.asarray(vertices[chosen], np.float32), None if std is None else std[chosen]
        betas, shapes = np.zeros(self.n_betas), np.zeros((0, self.n_betas))
        for sweep in range(SWEEPS if len(V) else 0):
            A = self._design(betas)
            normal, right, spread = [], [], []
            some = slice(None, None, 1 if sweep >= SWEEPS - 3 else 4)  # a few frames will do on the way
            for v, w in self._chunks(V[some], None if S is None else S[some]):
                G, p, target, _, coherent = self._pose(A, v, w, REACH * 0.5**sweep)  # what the shape still misses is no outlier
                n, r = self._shape_equations(A, G, p, target, w)
                normal, right, spread = [*normal, n], [*right, r], [*spread, coherent]
            normal, right, spread = np.concatenate(normal), np.concatenate(right), np.concatenate(spread)
            variance = spread**2
            trust = np.median(variance) / variance  # a frame that fits badly says little
            prior = np.median(variance) / MEASUREMENTS * np.eye(self.n_betas)
            shapes = betas + np.linalg.solve(normal + prior, (right - prior @ betas)[..., None])[..., 0]
            betas = betas + np.linalg.solve(np.einsum("f,fab->ab", trust, normal) / trust.sum() + prior, trust @ right / trust.sum() - prior @ betas)
        return betas.astype(np.float32), shapes.astype(np.float32)

    def rest(self, betas: np.ndarray) -> np.ndarray:
        """Rest vertices (N, 3) float64."""
        return self.template + self.shapedirs[..., : len(betas)] @ np.asarray(betas, float)

    def rest_joints(self, betas: np.ndarray) -> np.ndarray:
        """Rest joints (24, 3) float64."""
        return self.regressor @ self.rest(betas)

    def _chunks(self, vertices: np.ndarray, std: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pieces of vertices (f, N, 3) float32 and their weights (f or 1, N), which sum to 1."""
        for start in range(0, len(vertices), CHUNK):
            w = self.area[None]
            if std is not None and np.any((spread := np.array(std[start : start + CHUNK], float)) > 0):
                spread[~(spread > 0)] = np.nan
                spread = np.where(np.isnan(spread), np.nanmedian(spread), spread)
                w = self.area / (spread**2 + TRUST**2)
                w = w / w.sum(1, keepdims=True)
            yield np.asarray(vertices[start : start + CHUNK], np.float32), w

    def _design(self, betas: np.ndarray) -> np.ndarray:
        """A (N, 73) float32: the a_ik side by side, and a column of ones for p."""
        key = np.asarray(betas, np.float32).tobytes()
        if self._designed[0] == key:
            return self._designed[1]
        rest = self.rest(betas)
        J = self.regressor @ rest
        a = self.weights[:, :, None] * (rest[:, None] - J)
        for c in range(1, 24):
            k = self.parents[c]
            a[:, k] += self._subtree[:, c, None] * (J[c] - J[k])
        A = np.concatenate([a.reshape(len(rest), 72), np.ones((len(rest), 1))], 1).astype(np.float32)
        self._designed = key, A
        return A

    def _pose(self, A: np.ndarray, v: np.ndarray, w: np.ndarray, least: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Global rotations (f, 24, 3, 3), pelvis (f, 3), the vertices with outliers brought near and correctives taken out (f, N, 3), the mean distance (f,) and `_coherent` (f,), metres. least: vertices missed by less are no outliers."""
        origin = np.einsum("fn,fnc->fc", np.broadcast_to(w, v.shape[:2]), v)
        v = v - origin[:, None].astype(np.float32)  # near the origin float32 is exact enough
        some = slice(None, None, 1 if len(w) == 1 else 4)  # for the curvature, a part of the vertices will do where each frame has its own
        part = w[:, some, None] / w[:, some].sum(1)[:, None, None]
        gram = ((part * A[some]).astype(np.float32).transpose(0, 2, 1) @ A[some]).astype(float)
        X, coherent = self._relaxed(A, v, w), np.full(len(v), START)
        for step in range(STEPS + 1):
            if step:
                prior = (coherent**2 / MEASUREMENTS)[:, None, None] * self._prior
                left = (A.T @ (w[..., None] * kept).astype(np.float32)).astype(float) - prior @ X
                for _ in range(3 if step == 1 else 1):
                    turned = _gauss_newton(gram + prior, left, X)
                    left, X = left - (gram + prior) @ (turned - X), turned
            straight = v - self._correctives(X)
            miss = straight - A @ X.astype(np.float32)
            kept, distance = _brought_near(miss, max(least, REACH * 0.4**step))
            if step:
                coherent = np.maximum(self._coherent(kept), FLOOR)
        target = straight - miss + kept
        G = X[:, :72].reshape(-1, 24, 3, 3).swapaxes(-1, -2)
        return G, X[:, 72] + origin, target + origin[:, None].astype(np.float32), distance.mean(1), coherent

    def _relaxed(self, A: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
        """X (f, 73, 3) to start from: the convex problem with free 3×3 matrices, of every fourth vertex, outliers brought near, then projected onto the rotations."""
        A, v, w = A[::4], v[:, ::4], w[:, ::4]
        WA = (w[..., None] * A).astype(np.float32)
        M = (WA.transpose(0, 2, 1) @ A) + START**2 / MEASUREMENTS * self._prior + 1e-9 * np.eye(73)
        inverse, target = np.linalg.inv(M), v
        for _ in range(RELAXED):
            X = inverse @ (WA.transpose(0, 2, 1) @ target)
            model = A @ X.astype(np.float32)
            target = model + _brought_near(v - model, 0.01)[0]
        return _stack(_nearest_rotation(X[:, :72].reshape(-1, 24, 3, 3).swapaxes(-1, -2)), X[:, 72])

    def _coherent(self, miss: np.ndarray) -> np.ndarray:
        """The part of the error (f, N, 3) that neighbours share, root mean square of a coordinate (f,): it does not average out, the rest does."""
        shared = self._average @ miss.transpose(1, 0, 2).reshape(miss.shape[1], -1)
        return np.sqrt((shared**2).reshape(len(shared), len(miss), 3).mean((0, 2)))

    def _correctives(self, X: np.ndarray) -> np.ndarray | float:
        """What the pose correctives (SMPL's posedirs) add to the posed vertices, (f, N, 3) float32."""
        if self.posedirs is None:
            return np.float32(0)
        G = X[:, :72].reshape(-1, 24, 3, 3).swapaxes(-1, -2)
        local = G[:, self.parents[1:]].swapaxes(-1, -2) @ G[:, 1:]
        offset = ((local - np.eye(3)).reshape(len(G), 207).astype(np.float32) @ self.posedirs).reshape(len(G), -1, 3)
        blend = (self.weights @ G.reshape(len(G), 24, 9)).reshape(len(G), -1, 3, 3)
        return np.einsum("fnab,fnb->fna", blend, offset).astype(np.float32)

    def _shape_equations(self, A: np.ndarray, G: np.ndarray, p: np.ndarray, target: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations of a step of betas for each frame, its rotations and translation eliminated (Schur complement): (f, B, B), (f, B)."""
        some = slice(None, None, -(-self.n_betas // 100))
        A, S, W, dJ = A[some], self.shapedirs[some], self.weights[some].astype(np.float32), self._joint_dirs
        normal, right = np.empty((len(G), self.n_betas, self.n_betas)), np.empty((len(G), self.n_betas))
        shares = np.broadcast_to(w, (len(G), len(self.area)))[:, some]
        for f, (R, v, share) in enumerate(zip(G, target[:, some] - p[:, None], shares / shares.sum(1, keepdims=True), strict=True)):
            moved = np.zeros_like(dJ)  # the posed joints' derivatives
            for j in range(1, 24):
                moved[j] = moved[self.parents[j]] + R[self.parents[j]] @ (dJ[j] - dJ[self.parents[j]])
            blend = (W @ R.reshape(24, 9).astype(np.float32)).reshape(-1, 3, 3)
            D = blend @ S + (W @ (moved - R @ dJ).reshape(24, -1).astype(np.float32)).reshape(len(W), 3, -1)
            X = _stack(R[None], np.zeros((1, 3)))
            WA = (share[:, None] * A).astype(np.float32)
            e = (v - A @ X[0].astype(np.float32)).astype(np.float32)
            H, g = _normal_equations((WA.T @ A).astype(float)[None], (WA.T @ e).astype(float)[None], X)
            Q = (WA.T @ D.reshape(len(D), -1)).reshape(73, 3, -1)
            cross = np.concatenate([_torque(np.einsum("kab,kbcB->kacB", R, Q[:72].reshape(24, 3, 3, -1), optimize=True)).reshape(72, -1), Q[72]])
            D, root = D.reshape(-1, self.n_betas), np.repeat(share, 3).astype(np.float32)[:, None]
            both = np.linalg.solve(H[0], np.concatenate([cross, g[0][:, None]], 1))
            normal[f] = (D * root).T @ D - cross.T @ both[:, :-1]
            right[f] = (D * root).T @ e.reshape(-1) - cross.T @ both[:, -1]
        return normal, right

    def _local(self, G: np.ndarray) -> np.ndarray:
        local = G.copy()
        local[:, 1:] = G[:, self.parents[1:]].swapaxes(-1, -2) @ G[:, 1:]
        return Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(len(G), 24, 3).astype(np.float32) if len(G) else np.zeros((0, 24, 3), np.float32)


def _brought_near(miss: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """The errors (f, N, 3), none longer than HUBER times the median distance or than `least` metres; and the distances (f, N)."""
    distance = np.sqrt(np.einsum("fnc,fnc->fn", miss, miss))
    limit = np.maximum(HUBER * np.median(distance[:, ::8], axis=1), least).astype(np.float32)[:, None]
    return miss * np.minimum(1, limit / np.maximum(distance, np.float32(1e-9)))[..., None], distance


def _stack(G: np.ndarray, p: np.ndarray) -> np.ndarray:
    """X (f, 73, 3): the transposed rotations one below the other, then p."""
    return np.concatenate([G.swapaxes(-1, -2).reshape(len(G), 72, 3), p[:, None]], 1)


def _nearest_rotation(H: np.ndarray) -> np.ndarray:
    """The rotations (..., 3, 3) nearest to H (Kabsch 1976)."""
    U, _, Vt = np.linalg.svd(H)
    U[..., 2] *= np.linalg.det(U @ Vt)[..., None]
    return U @ Vt


def _cross_matrix(x: np.ndarray) -> np.ndarray:
    """[x]× (..., 3, 3)."""
    zero = np.zeros_like(x[..., 0])
    return np.stack([zero, -x[..., 2], x[..., 1], x[..., 2], zero, -x[..., 0], -x[..., 1], x[..., 0], zero], -1).reshape(*x.shape, 3)


def _torque(Q: np.ndarray) -> np.ndarray:
    """Σ b × r (24, 3, …) from Q = Σ b rᵀ (24, 3, 3, …)."""
    return np.stack([Q[:, 1, 2] - Q[:, 2, 1], Q[:, 2, 0] - Q[:, 0, 2], Q[:, 0, 1] - Q[:, 1, 0]], 1)


def _normal_equations(M: np.ndarray, left: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of min tr(XᵀMX) − 2 tr(Xᵀ·moments) over the rotations in X, each turned by exp[δ_k]× from the left, and p: H (f, 75, 75), g (f, 75).

    M (f, 73, 73), X (f, 73, 3), left = moments − M X (f, 73, 3): what the moments AᵀWV leave.
    """
    f = len(X)
    G = X[:, :72].reshape(f, 24, 3, 3).swapaxes(-1, -2)
    half = (G[:, :, None] @ M[:, :72, :72].reshape(-1, 24, 3, 24, 3).transpose(0, 1, 3, 2, 4))  # (f, k, l, 3, 3)
    S = half @ G[:, None].swapaxes(-1, -2)  # Σ b_k b_lᵀ with b = G a
    H = np.empty((f, 75, 75))
    trace = np.trace(S, axis1=-2, axis2=-1)
    H[:, :72, :72] = (trace[..., None, None] * np.eye(3) - S.swapaxes(-1, -2)).transpose(0, 1, 3, 2, 4).reshape(f, 72, 72)
    arm = _cross_matrix((G @ M[:, :72, 72].reshape(-1, 24, 3, 1))[..., 0]).reshape(f, 72, 3)
    H[:, :72, 72:], H[:, 72:, :72] = arm, arm.swapaxes(-1, -2)
    H[:, 72:, 72:] = M[:, 72, 72, None, None] * np.eye(3)
    H[:, range(75), range(75)] *= 1 + 1e-5
    torque = _torque((G @ left[:, :72].reshape(f, 24, 3, 3)).transpose(1, 2, 3, 0)).transpose(2, 0, 1).reshape(f, 72)
    return H, np.concatenate([torque, left[:, 72]], 1)


def _gauss_newton(M: np.ndarray, left: np.ndarray, X: np.ndarray) -> np.ndarray:
    """X after one step of the above, no joint turning by more than a radian."""
    H, g = _normal_equations(M, left, X)
    step = np.linalg.solve(H, g[..., None])[..., 0]
    turn = step[:, :72].reshape(-1, 3)
    turn *= np.minimum(1, 1 / np.maximum(np.linalg.norm(turn, axis=1, keepdims=True), 1e-12))
    G = X[:, :72].reshape(-1, 24, 3, 3).swapaxes(-1, -2)
    return _stack(Rotation.from_rotvec(turn).as_matrix().reshape(G.shape) @ G, X[:, 72] + step[:, 72:])
