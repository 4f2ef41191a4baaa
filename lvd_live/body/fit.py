"""Vertices to body parameters: pose, shape and translation of the skinned body that lies nearest to given meshes.

Linear blend skinning is linear in the joints' *global* rotations G_k. With r_i(β) the rest vertices, J_k(β) the rest joints, w the skin weights, s_ic the weights summed over
the subtree of joint c, and p the posed pelvis,

    v_i = p + Σ_k G_k a_ik,    a_ik = w_ik (r_i − J_k) + Σ_{c child of k} s_ic (J_c − J_k),

so a least-squares fit of all bones needs the vertices only through the Gram matrices AᵀWA (one per shape) and AᵀWV (one product per frame): Procrustes for a whole skeleton. The start is
that problem with free 3×3 matrices, each projected onto the rotations; a few Gauss–Newton steps on the rotations follow. Given the rotations, v_i is linear in β too. Outliers are held by
Huber's modified residuals: what is too far is brought near before the next step, which leaves the Gram matrix alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from scipy.spatial.transform import Rotation
from threadpoolctl import ThreadpoolController

from lvd_live.body.control import vertex_areas
from lvd_live.body.model import BodyModel
from lvd_live.body.procrustes import gauss_newton, nearest_rotation, normal_equations, rotations, stack, torque
from lvd_live.body.skeleton import JOINT

RELAXED = 2  # rounds of the convex start
STEPS = 6  # of a frame: Gauss-Newton on the rotations, outliers brought near before each
SWEEPS = 7  # alternations between rotations and shape
CHUNK = 32  # frames held at once
SHAPE_FRAMES = 32  # of a session, evenly spread: what its shape is read from
MEASUREMENTS = (
    60  # independent measurements that a mesh is worth beside the priors: errors of neighbouring vertices go together
)
BEND = {
    "hip": 1.2,
    "knee": 1.2,
    "ankle": 0.5,
    "foot": 0.3,
    "spine": 0.3,
    "neck": 0.4,
    "head": 0.4,
    "collar": 0.3,
    "shoulder": 1.2,
    "elbow": 1.2,
    "wrist": 0.5,
    "hand": 0.4,
}
"""Radians: how far each kind of joint turns, as a prior; it decides only where a mesh is too poor to tell."""
HUBER = 4.0  # times the median distance: farther vertices are brought near
START, REACH = 5e-3, 0.1  # metres: the error expected, and what counts as far, at the first step
TRUST = 0.01  # metres: a vertex of smaller uncertainty does not count more
FLOOR = 2e-4  # metres: no mesh is taken for more exact
SCALES = (0.8, 1.25)  # of a mesh from a camera
PART = slice(None, None, 4)  # of the vertices: enough for the start and for curvatures
_one_thread = ThreadpoolController().wrap(
    limits=1, user_api="blas"
)  # products as small as these only wait for each other's threads


@dataclass(frozen=True)
class Fitted:
    """A session's body: pose (F, 24, 3) float32 axis-angle, each joint relative to its parent; betas (B,) float32; transl (F, 3) float32 metres, as in SMPL added after posing about the rest
    pelvis; the root's rotation and transl in the frame of the vertices. residual_mm (F,) float32: the mean distance of the scaled vertices from the skinned body.
    scale (F,) float32: what each mesh was multiplied by, 1 unless fitted to a camera's view. shapes (S, B) float32: betas as each of S single frames would have them, for the spread.
    """

    pose: np.ndarray
    betas: np.ndarray
    transl: np.ndarray
    residual_mm: np.ndarray
    scale: np.ndarray
    shapes: np.ndarray


@dataclass(frozen=True)
class _Posed:
    """f posed frames: X (f, 73, 3) float64, the transposed rotations G_k one below the other, then p; target (N, f, 3) float32: the vertices, outliers brought near and correctives taken out;
    distance (f,): of the vertices, their mean; coherent (f,): see `_coherent`. Metres. scale (f,): see `Fitted`.
    """

    X: np.ndarray
    target: np.ndarray
    distance: np.ndarray
    coherent: np.ndarray
    scale: np.ndarray


class BodyFitter:
    """Fits one body file to meshes of its topology. All arrays are NumPy's; vertices in metres in any right-handed frame. Inside, vertices come first, (N, f, 3): then a product serves all frames."""

    def __init__(self, body: BodyModel):
        self.body, self.parents = body, np.array(body.parents)
        self.template, self.shapedirs = body.v_template.numpy().astype(float), body.shapedirs.numpy()
        self.regressor, self.weights = body.J_regressor.numpy().astype(float), body.weights.numpy().astype(float)
        self.posedirs = None if body.posedirs is None else body.posedirs.numpy()
        self.n_betas = self.shapedirs.shape[2]
        area = vertex_areas(self.template, body.faces.numpy())
        area = np.maximum(area, area.mean() * 1e-2)
        self.area = area / area.sum()
        self._joint_dirs = np.einsum("jn,ncb->jcb", self.regressor, self.shapedirs, optimize=True)
        self._subtree = self.weights.copy()  # s
        for j in range(23, 0, -1):
            self._subtree[:, self.parents[j]] += self._subtree[:, j]
        self._average = _neighbourhoods(body.faces.numpy(), len(area))[::16]
        self._designed = b"", np.zeros((0, 73), np.float32), np.zeros(3)  # for the last betas
        self._prior = np.zeros(
            (73, 73)
        )  # ½ |G_k − G_parent|² / BEND², which is (angle / BEND)² for small angles, summed over the joints
        for name, k in list(JOINT.items())[1:]:
            for d in range(3):
                row = np.zeros(73)
                row[3 * k + d], row[3 * self.parents[k] + d] = 1, -1
                self._prior += np.outer(row, row) / (2 * BEND[name.split("_")[-1].rstrip("123")] ** 2)

    @_one_thread
    def fit(
        self,
        vertices: np.ndarray,
        std: np.ndarray | None = None,
        betas: np.ndarray | None = None,
        *,
        camera: bool = False,
    ) -> Fitted:
        """The parameters of F meshes of one person. vertices (F, N, 3), a memory map too; std (F, N) metres, their uncertainty: uncertain vertices count less, zeros mean unknown; betas (B,): a known shape.

        camera: the meshes are what a camera at the origin saw, which cannot tell size from distance: each is scaled about it to the body's size, and so stays where it is in the picture.
        """
        betas, shapes = (
            self.fit_shape(vertices, std)
            if betas is None
            else (np.asarray(betas, np.float32), np.empty((0, self.n_betas), np.float32))
        )
        (A, pelvis), frames = self._design(betas), len(vertices)
        pose, transl, residual, scale = (np.empty((frames, *tail), np.float32) for tail in ((24, 3), (3,), (), ()))
        for start in range(0, frames, CHUNK):
            some = slice(start, start + CHUNK)
            origin, v, w = self._load(vertices[some], None if std is None else std[some])
            posed = self._pose(A, v, w, camera=camera)
            pose[some], transl[some] = (
                self._relative(rotations(posed.X)),
                posed.X[:, 72] + posed.scale[:, None] * origin - pelvis,
            )
            residual[some], scale[some] = 1000 * posed.distance, posed.scale
        return Fitted(pose, betas, transl, residual, scale, shapes)

    @_one_thread
    def fit_shape(self, vertices: np.ndarray, std: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """betas (B,) common to the meshes, and (S, B) of the S frames looked at, one by one; float32."""
        betas = np.zeros(self.n_betas)
        if not len(vertices):
            return betas.astype(np.float32), np.zeros((0, self.n_betas), np.float32)
        few = SHAPE_FRAMES if self.n_betas <= 50 else SHAPE_FRAMES // 4
        chosen = np.unique(np.linspace(0, len(vertices) - 1, few).round().astype(int))
        _, v, w = self._load(vertices[chosen], None if std is None else std[chosen])
        for sweep in range(SWEEPS):
            some = slice(None, None, 1 if sweep >= SWEEPS - 3 else 4)  # a few frames will do on the way
            (A, _), share = self._design(betas), w if w.shape[1] == 1 else w[:, some]
            posed = self._pose(A, v[:, some], share, REACH * 0.5**sweep)  # what the shape still misses is no outlier
            normal, right = self._shape_equations(A, posed, share)
            variance = posed.coherent**2
            trust = np.median(variance) / variance  # a frame that fits badly says little
            trust /= trust.sum()
            prior = np.median(variance) / MEASUREMENTS * np.eye(self.n_betas)
            shapes = betas + np.linalg.solve(normal + prior, (right - prior @ betas)[..., None])[..., 0]
            betas = betas + np.linalg.solve(
                np.einsum("f,fab->ab", trust, normal) + prior, trust @ right - prior @ betas
            )
        return betas.astype(np.float32), shapes.astype(np.float32)

    def rest(self, betas: np.ndarray) -> np.ndarray:
        """Rest vertices (N, 3) float64."""
        return self.template + self.shapedirs[..., : len(betas)] @ np.asarray(betas, float)

    def rest_joints(self, betas: np.ndarray) -> np.ndarray:
        """Rest joints (24, 3) float64."""
        return self.regressor @ self.rest(betas)

    def _load(self, vertices: np.ndarray, std: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Meshes (f, N, 3) about their centres, near which float32 is exact enough: the centres (f, 3), vertices (N, f, 3) float32, and weights (N, 1 or f) float32, which sum to 1."""
        v = np.asarray(vertices, np.float32).transpose(1, 0, 2)
        origin = np.einsum("n,nfc->fc", self.area, v)
        w = self.area[:, None]
        if std is not None and np.any((spread := np.array(std, float).T) > 0):
            spread[~(spread > 0)] = np.nan
            spread = np.where(np.isnan(spread), np.nanmedian(spread), spread)
            w = w / (spread**2 + TRUST**2)
            w = w / w.sum(0)
        return origin, v - origin.astype(np.float32), w.astype(np.float32)

    def _design(self, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A (N, 73) float32: the a_ik side by side, and a column of ones for p; and the rest pelvis (3,)."""
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

    def _pose(self, A: np.ndarray, v: np.ndarray, w: np.ndarray, least: float = 0.0, *, camera: bool = False) -> _Posed:
        """Meshes v (N, f, 3) with weights w, as from `_load`. least, metres: vertices missed by less are no outliers. camera: as in `fit`."""
        part = w[PART] / w[PART].sum(0)
        gram = ((part.T[:, None] * A[PART].T) @ A[PART]).astype(float)
        X, scale = self._relaxed(A[PART], v[PART], part, gram), np.ones(v.shape[1])
        for step in range(STEPS + 1):
            correctives, model = self._correctives(X), _vertices(A, X)
            straight = scale[:, None].astype(np.float32) * v - correctives
            kept, distance = _brought_near(straight - model, max(least, REACH * 0.4**step))
            coherent = np.maximum(self._coherent(kept), FLOOR)
            if step < STEPS:
                prior = (coherent**2 / MEASUREMENTS)[:, None, None] * self._prior
                size = None
                if camera:
                    mesh = (model + correctives + kept)[PART]
                    size = _moments(A[PART], part, mesh), _inner(part, mesh, mesh), _inner(part, mesh, kept[PART])
                X, growth = gauss_newton(gram + prior, _moments(A, w, kept) - prior @ X, X, size)
                scale = np.clip(scale * np.exp(growth), *SCALES)
        return _Posed(X, model + kept, distance.mean(0), coherent, scale)

    def _relaxed(self, A: np.ndarray, v: np.ndarray, w: np.ndarray, gram: np.ndarray) -> np.ndarray:
        """X to start from: the convex problem with free 3×3 matrices, outliers brought near, then projected onto the rotations."""
        inverse, target = np.linalg.inv(gram + START**2 / MEASUREMENTS * self._prior + 1e-9 * np.eye(73)), v
        for _ in range(RELAXED):
            X = inverse @ _moments(A, w, target)
            model = _vertices(A, X)
            target = model + _brought_near(v - model, 0.01)[0]
        return stack(nearest_rotation(rotations(X)), X[:, 72])

    def _coherent(self, miss: np.ndarray) -> np.ndarray:
        """The part of the error (N, f, 3) that neighbours share, root mean square of a coordinate (f,): it does not average out, the rest does."""
        shared = self._average @ miss.reshape(len(miss), -1)
        return np.sqrt((shared**2).reshape(len(shared), -1, 3).mean((0, 2)))

    def _correctives(self, X: np.ndarray) -> np.ndarray | float:
        """What the pose correctives (SMPL's posedirs) add to the posed vertices, (N, f, 3) float32."""
        if self.posedirs is None:
            return np.float32(0)
        G = rotations(X)
        local = G[:, self.parents[1:]].swapaxes(-1, -2) @ G[:, 1:]
        offset = ((local - np.eye(3)).reshape(len(G), 207).astype(np.float32) @ self.posedirs).reshape(len(G), -1, 3)
        blend = (self.weights @ G.reshape(len(G), 24, 9)).reshape(len(G), -1, 3, 3)
        return np.einsum("fnab,fnb->nfa", blend, offset).astype(np.float32)

    def _shape_equations(self, A: np.ndarray, posed: _Posed, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations of a step of betas for each frame, its rotations and translation eliminated (Schur complement): (f, B, B), (f, B)."""
        some = slice(None, None, -(-self.n_betas // 100))
        A, S, W, dJ = A[some], self.shapedirs[some], self.weights[some].astype(np.float32), self._joint_dirs
        frames = len(posed.X)
        normal, right = np.empty((frames, self.n_betas, self.n_betas)), np.empty((frames, self.n_betas))
        shares = np.broadcast_to(w[some] / w[some].sum(0), (len(A), frames))
        missed = posed.target[some] - _vertices(A, posed.X)
        for f, R in enumerate(rotations(posed.X)):
            moved = np.zeros_like(dJ)  # the posed joints' derivatives
            for j in range(1, 24):
                moved[j] = moved[self.parents[j]] + R[self.parents[j]] @ (dJ[j] - dJ[self.parents[j]])
            blend = (W @ R.reshape(24, 9).astype(np.float32)).reshape(-1, 3, 3)
            D = blend @ S + (W @ (moved - R @ dJ).reshape(24, -1).astype(np.float32)).reshape(len(W), 3, -1)
            WA, e = shares[:, f, None] * A, missed[:, f]
            H, g = normal_equations((WA.T @ A).astype(float)[None], (WA.T @ e).astype(float)[None], posed.X[f : f + 1])
            Q = (WA.T @ D.reshape(len(D), -1)).reshape(73, 3, -1)
            cross = np.concatenate(
                [
                    torque(np.einsum("kab,kbcB->kacB", R, Q[:72].reshape(24, 3, 3, -1), optimize=True)).reshape(72, -1),
                    Q[72],
                ]
            )
            D, root = D.reshape(-1, self.n_betas), np.repeat(shares[:, f], 3)[:, None]
            both = np.linalg.solve(H[0], np.concatenate([cross, g[0][:, None]], 1))
            normal[f] = (D * root).T @ D - cross.T @ both[:, :-1]
            right[f] = (D * root).T @ e.reshape(-1) - cross.T @ both[:, -1]
        return normal, right

    def _relative(self, G: np.ndarray) -> np.ndarray:
        """Global rotations (f, 24, 3, 3) to axis-angle (f, 24, 3), each joint relative to its parent."""
        local = G.copy()
        local[:, 1:] = G[:, self.parents[1:]].swapaxes(-1, -2) @ G[:, 1:]
        return Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 24, 3)


def _neighbourhoods(faces: np.ndarray, count: int) -> scipy.sparse.csr_matrix:
    """Averages each of `count` vertices with its neighbours and theirs, (N, N) float32."""
    near = scipy.sparse.coo_matrix(
        (np.ones(3 * len(faces), np.float32), (faces.ravel(), np.roll(faces, 1, 1).ravel())), (count, count)
    ).tocsr()
    near = ((near + near.T + scipy.sparse.eye(count)) > 0).astype(np.float32)
    near = scipy.sparse.diags(1 / np.asarray(near.sum(1)).ravel()) @ near
    return (near @ near).astype(np.float32)


def _vertices(A: np.ndarray, X: np.ndarray) -> np.ndarray:
    """A X: what the rotations and translations X (f, 73, 3) make of the body, (N, f, 3) float32."""
    return (A @ X.transpose(1, 0, 2).reshape(73, -1).astype(np.float32)).reshape(len(A), -1, 3)


def _moments(A: np.ndarray, w: np.ndarray, v: np.ndarray) -> np.ndarray:
    """AᵀWV (f, 73, 3)."""
    return (A.T @ (w[..., None] * v).reshape(len(v), -1)).reshape(73, -1, 3).transpose(1, 0, 2).astype(float)


def _inner(w: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Σ w a·b (f,) of a, b (N, f, 3)."""
    return np.einsum("nf,nf->f", np.broadcast_to(w, a.shape[:2]), np.einsum("nfc,nfc->nf", a, b), dtype=float)


def _brought_near(miss: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """The errors (N, f, 3), none longer than HUBER times the median distance or than `least` metres; and the distances (N, f)."""
    distance = np.sqrt(np.einsum("nfc,nfc->nf", miss, miss))
    limit = np.maximum(HUBER * np.median(distance[::8], axis=0), least).astype(np.float32)
    return miss * np.minimum(1, limit / np.maximum(distance, np.float32(1e-9)))[..., None], distance
