"""Rotations and translation of a body of known shape from meshes, frame by frame.

A least-squares fit of all bones at once needs the vertices only through the Gram matrix AᵀWA (one per shape) and AᵀWV
(one product per frame). The start is that problem with free 3×3 matrices, each projected onto the rotations; a few
Gauss-Newton steps on the rotations follow. Outliers are held by Huber's modified residuals: a vertex that is too far is
brought near before the next step, which leaves the Gram matrix alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from lvd_live.body.linear_body import LinearBody
from lvd_live.body.procrustes import Size, gauss_newton, moments, nearest_rotation, posed_vertices, rotations, stack
from lvd_live.body.skeleton import JOINT

RELAXED = 2  # rounds of the convex start
STEPS = 6  # of Gauss-Newton, outliers brought near before each
MEASUREMENTS = 60  # independent measurements that a mesh counts as beside the priors: neighbours' errors go together
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
FLOOR = 2e-4  # metres: no mesh is taken for more exact
SCALES = (0.8, 1.25)  # of a mesh from a camera
PART = slice(None, None, 4)  # of the vertices: enough for the start and for curvatures


@dataclass(frozen=True)
class Posed:
    """f posed frames; metres.

    X : (f, 73, 3) float64, rotations and pelvis as in `procrustes`.
    target : (N, f, 3) float32, the vertices fitted to: outliers brought near and correctives taken out.
    distance : (f,) of the vertices from the body, their mean.
    coherent : (f,) the part of the error that neighbours share, root mean square of a coordinate.
    scale : (f,) what each mesh was multiplied by.
    """

    X: np.ndarray
    target: np.ndarray
    distance: np.ndarray
    coherent: np.ndarray
    scale: np.ndarray


class PoseSolver:
    """Poses one body. Vertices come first in its arrays, (N, f, 3), so that one product serves all frames."""

    def __init__(self, body: LinearBody):
        self._body = body
        self._average = _neighbourhoods(body.body.faces.numpy(), len(body.area))[::16]
        self._prior = _bend_prior(body.parents)

    def solve(self, A: np.ndarray, v: np.ndarray, w: np.ndarray, least: float = 0.0, *, camera: bool = False) -> Posed:
        """Fit the rotations and translation of each frame.

        A : (N, 73) from `LinearBody.design`. v : (N, f, 3) float32, metres, near the origin.
        w : (N, 1 or f) float32, weights of the vertices; each column sums to 1.
        least : metres; vertices missed by less are no outliers.
        camera : whether each mesh may be scaled about the origin of v.
        """
        part = w[PART] / w[PART].sum(0)
        gram = ((part.T[:, None] * A[PART].T) @ A[PART]).astype(float)
        X, scale = self._relaxed(A[PART], v[PART], part, gram), np.ones(v.shape[1])
        for step in range(STEPS + 1):
            correctives, model = self._body.correctives(X), posed_vertices(A, X)
            straight = scale[:, None].astype(np.float32) * v - correctives
            kept, distance = _brought_near(straight - model, max(least, REACH * 0.4**step))
            coherent = np.maximum(self._coherent(kept), FLOOR)
            if step < STEPS:
                prior = (coherent**2 / MEASUREMENTS)[:, None, None] * self._prior
                size = _size(A[PART], part, (model + correctives + kept)[PART], kept[PART]) if camera else None
                X, growth = gauss_newton(gram + prior, moments(A, w, kept) - prior @ X, X, size)
                scale = np.clip(scale * np.exp(growth), *SCALES)
        return Posed(X, model + kept, distance.mean(0), coherent, scale)

    def _relaxed(self, A: np.ndarray, v: np.ndarray, w: np.ndarray, gram: np.ndarray) -> np.ndarray:
        """X to start from: the convex problem with free 3×3 matrices, outliers brought near, then projected."""
        inverse = np.linalg.inv(gram + START**2 / MEASUREMENTS * self._prior + 1e-9 * np.eye(73))
        target = v
        for _ in range(RELAXED):
            X = inverse @ moments(A, w, target)
            model = posed_vertices(A, X)
            target = model + _brought_near(v - model, 0.01)[0]
        return stack(nearest_rotation(rotations(X)), X[:, 72])

    def _coherent(self, error: np.ndarray) -> np.ndarray:
        """The part of the error (N, f, 3) that neighbours share, root mean square of a coordinate (f,).

        It does not average out over the vertices; the rest does.
        """
        shared = self._average @ error.reshape(len(error), -1)
        return np.sqrt((shared**2).reshape(len(shared), -1, 3).mean((0, 2)))


def _size(A: np.ndarray, w: np.ndarray, mesh: np.ndarray, error: np.ndarray) -> Size:
    """What a mesh (N, f, 3) that may grow, and its error (N, f, 3), add to the normal equations."""
    return Size(moments(A, w, mesh), _inner(w, mesh, mesh), _inner(w, mesh, error))


def _bend_prior(parents: np.ndarray) -> np.ndarray:
    """½ Σ_k |G_k − G_parent|² / BEND² as a quadratic form of X, (73, 73): (angle / BEND)² for small angles."""
    prior = np.zeros((73, 73))
    for name, k in list(JOINT.items())[1:]:
        bend = BEND[name.split("_")[-1].rstrip("123")]
        for d in range(3):
            row = np.zeros(73)
            row[3 * k + d], row[3 * parents[k] + d] = 1, -1
            prior += np.outer(row, row) / (2 * bend**2)
    return prior


def _neighbourhoods(faces: np.ndarray, count: int) -> scipy.sparse.csr_matrix:
    """Averages each of `count` vertices with its neighbours and theirs, (N, N) float32."""
    edges = np.ones(3 * len(faces), np.float32), (faces.ravel(), np.roll(faces, 1, 1).ravel())
    near = scipy.sparse.coo_matrix(edges, (count, count)).tocsr()
    near = ((near + near.T + scipy.sparse.eye(count)) > 0).astype(np.float32)
    near = scipy.sparse.diags(1 / np.asarray(near.sum(1)).ravel()) @ near
    return (near @ near).astype(np.float32)


def _inner(w: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Σ w a·b (f,) of a, b (N, f, 3)."""
    return np.einsum("nf,nf->f", np.broadcast_to(w, a.shape[:2]), np.einsum("nfc,nfc->nf", a, b), dtype=float)


def _brought_near(error: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """The errors (N, f, 3) cut to HUBER times their median length, or to `least` where that is more; their lengths."""
    distance = np.sqrt(np.einsum("nfc,nfc->nf", error, error))
    limit = np.maximum(HUBER * np.median(distance[::8], axis=0), least).astype(np.float32)
    return error * np.minimum(1, limit / np.maximum(distance, np.float32(1e-9)))[..., None], distance
