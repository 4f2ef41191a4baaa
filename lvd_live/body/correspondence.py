"""Carrying a body's vertices to another topology: our mesh to SMPL's own, by one correspondence between the two templates.

Our body is registered to the other template: limbs turned and stretched joint by joint, then our own parameters fitted to nearest points on its surface, then a smooth displacement field
onto it (non-rigid ICP with a Laplacian that gets softer, as in Amberg et al. 2007). Each vertex of the other mesh is then the barycentric mix of three of ours that it lies on.
"""

from __future__ import annotations

import hashlib
import io
import logging
from dataclasses import dataclass

import numpy as np
import platformdirs
import scipy.sparse
import scipy.sparse.linalg
import torch
from scipy.spatial import cKDTree

from lvd_live.body.fit import BodyFitter
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import rotation_between
from lvd_live.errors import UserError
from lvd_live.render import vertex_normals
from lvd_live.storage.files import write_whole
from lvd_live.storage.safe_npz import SafeNpz, Spec

log = logging.getLogger(__name__)

VERSION = 1
SKIN, NORMAL = (
    0.3,
    0.03,
)  # metres that a whole unit of difference in skin weights, and in normals, counts for when the nearest point is sought
CANDIDATES = 12  # triangles looked at for one point
RIGID = 10  # rounds of fitting parameters
STIFFNESS = (100, 50, 25, 12, 6, 3, 1.5, 0.7, 0.3, 0.1)  # of the displacement field, round by round


@dataclass(frozen=True)
class Correspondence:
    """Each of P vertices of the target mesh as a mix of three of the N of the source: corners (P, 3) int32, mix (P, 3) float32, rows summing to 1."""

    corners: np.ndarray
    mix: np.ndarray

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        """vertices (…, N, C) of the source mesh to (…, P, C) of the target's."""
        return np.einsum("...pkc,pk->...pc", vertices[..., self.corners, :], self.mix, optimize=True).astype(
            vertices.dtype
        )

    @classmethod
    def between(cls, source: BodyModel, target: BodyModel) -> Correspondence:
        """Computed once for a pair of bodies (some ten seconds), then read from the user's cache folder."""
        digest = hashlib.sha256(str(VERSION).encode())
        for body in (source, target):
            for part in (body.v_template, body.faces, body.weights):
                digest.update(np.ascontiguousarray(part.numpy()).tobytes())
        path = platformdirs.user_cache_path("lvd_live") / f"correspondence-{digest.hexdigest()[:20]}.npz"
        n = len(source.v_template)
        try:
            with SafeNpz(
                path,
                {
                    "corners": Spec("i4", ((len(target.v_template), 3),)),
                    "mix": Spec("f4", ((len(target.v_template), 3),)),
                },
            ) as file:
                found = cls(file.read("corners"), file.read("mix"))
            if 0 <= found.corners.min() <= found.corners.max() < n:
                return found
        except UserError:
            pass  # not there yet, or damaged: made anew
        log.warning("Matching the body's mesh to the other body's, once; this takes some seconds.")
        made = cls.compute(source, target)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, _npz(corners=made.corners, mix=made.mix))
        except (OSError, UserError) as error:
            log.warning("The match could not be kept for the next time: %s", error)
        return made

    @classmethod
    def compute(cls, source: BodyModel, target: BodyModel) -> Correspondence:
        """Register the templates and read the correspondence off. Raises UserError when they do not come together."""
        registered = register(source, target)
        surface = _Surface(registered, source.faces.numpy(), source.weights.numpy())
        corners, mix, distance = surface.nearest(
            target.v_template.numpy(),
            vertex_normals(target.v_template.numpy(), target.faces.numpy()),
            target.weights.numpy(),
        )
        log.info(
            "correspondence: target vertices lie %.1f mm from the registered mesh on average, %.1f mm at the 99th percentile",
            1000 * distance.mean(),
            1000 * np.percentile(distance, 99),
        )
        if distance.mean() > 0.02:
            raise UserError(
                "The body file's mesh could not be matched to the bundled body's: is it a whole person in SMPL's T-pose, in metres?"
            )
        return cls(corners.astype(np.int32), mix.astype(np.float32))


def register(source: BodyModel, target: BodyModel) -> np.ndarray:
    """The source's vertices laid onto the target's template, (N, 3) float64."""
    goal, faces = target.v_template.numpy().astype(float), source.faces.numpy()
    surface, weights = _Surface(goal, target.faces.numpy(), target.weights.numpy()), source.weights.numpy()
    fitter = BodyFitter(source)
    v = _stretched(fitter, target.J_regressor.numpy() @ goal)
    for _ in range(RIGID):
        fitted = fitter.fit(surface.closest(v, vertex_normals(v, faces), weights)[None].astype(np.float32))
        with torch.no_grad():
            v = (
                source(*(torch.from_numpy(x) for x in (fitted.betas[None], fitted.pose, fitted.transl)))[0][0]
                .numpy()
                .astype(float)
            )
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1), axis=0)
    rows = np.arange(len(edges))
    difference = scipy.sparse.csr_matrix(
        (np.concatenate([np.ones(len(edges)), -np.ones(len(edges))]), (np.concatenate([rows, rows]), edges.T.ravel())),
        (len(edges), len(v)),
    )
    laplacian = difference.T @ difference
    for stiffness in STIFFNESS:
        normals = vertex_normals(v, faces)
        to = surface.closest(v, normals, weights)
        # a target that faces away, or lies far off for its round, is not believed
        away = np.linalg.norm(to - v, axis=1)
        sure = 1 / (1 + (away / max(3 * np.median(away), 1e-3)) ** 2)
        v = v + scipy.sparse.linalg.spsolve(
            (scipy.sparse.diags(sure) + stiffness * laplacian).tocsc(), sure[:, None] * (to - v)
        )
    return v


def _stretched(fitter: BodyFitter, joints: np.ndarray) -> np.ndarray:
    """The source's template with each bone turned and stretched (evenly in all directions) to lie between the target's joints (24, 3)."""
    rest, J = fitter.template, fitter.regressor @ fitter.template
    R, s = (
        np.tile(np.eye(3), (24, 1, 1)),
        np.full(24, np.linalg.norm(joints - joints[0], axis=1).sum() / np.linalg.norm(J - J[0], axis=1).sum()),
    )
    for child, k in enumerate(fitter.parents):
        if k >= 0 and np.count_nonzero(fitter.parents == k) == 1:
            R[k] = rotation_between(J[child] - J[k], joints[child] - joints[k])
            s[k] = np.linalg.norm(joints[child] - joints[k]) / np.linalg.norm(J[child] - J[k])
    for k in (22, 23, 10, 11, 15):
        R[k] = R[fitter.parents[k]]
    per_bone = np.einsum("kab,nkb->nka", R * s[:, None, None], rest[:, None] - J) + joints
    return np.einsum("nk,nka->na", fitter.weights, per_bone)


class _Surface:
    """A mesh that nearest points are sought on, among triangles of like skin weights and normals."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray):
        self.vertices, self.faces, self.triangles = vertices, faces, vertices[faces]
        across = np.cross(self.triangles[:, 1] - self.triangles[:, 0], self.triangles[:, 2] - self.triangles[:, 0])
        normals = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-20)
        self.tree = cKDTree(
            np.concatenate([self.triangles.mean(1), NORMAL * normals, SKIN * weights[faces].mean(1)], 1)
        )

    def nearest(
        self, points: np.ndarray, normals: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Corners (P, 3), their mix (P, 3) and the distance (P,) of the nearest point on the surface."""
        _, near = self.tree.query(np.concatenate([points, NORMAL * normals, SKIN * weights], 1), k=CANDIDATES)
        mix, distance = closest_on_triangles(points[:, None], self.triangles[near])
        best = distance.argmin(1)
        rows = np.arange(len(points))
        return self.faces[near[rows, best]], mix[rows, best], distance[rows, best]

    def closest(self, points: np.ndarray, normals: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The nearest points themselves, (P, 3)."""
        corners, mix, _ = self.nearest(points, normals, weights)
        return np.einsum("pk,pkc->pc", mix, self.vertices[corners])


def closest_on_triangles(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Barycentric coordinates (…, 3) of the point of each triangle (…, 3, 3) that is closest to its point (…, 3), and the distance (…,)."""
    a, b, c = (triangles[..., i, :] for i in range(3))
    points = np.broadcast_to(points, a.shape)
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    det = np.maximum(d00 * d11 - d01 * d01, 1e-30)
    v, w = (d11 * d20 - d01 * d21) / det, (d00 * d21 - d01 * d20) / det
    options = [np.stack([1 - v - w, v, w], -1)]  # inside, or the nearest point of one of the edges
    for i, j in ((0, 1), (1, 2), (2, 0)):
        p, q = triangles[..., i, :], triangles[..., j, :]
        t = np.clip(((points - p) * (q - p)).sum(-1) / np.maximum(((q - p) ** 2).sum(-1), 1e-30), 0, 1)
        edge = np.zeros((*t.shape, 3))
        edge[..., i], edge[..., j] = 1 - t, t
        options.append(edge)
    mix = np.stack(options, -2)  # (…, 4, 3)
    distance = np.linalg.norm(np.einsum("...ok,...kc->...oc", mix, triangles) - points[..., None, :], axis=-1)
    distance[..., 0] = np.where((mix[..., 0, :] >= 0).all(-1), distance[..., 0], np.inf)
    best = distance.argmin(-1)[..., None]
    return np.take_along_axis(mix, best[..., None], -2)[..., 0, :], np.take_along_axis(distance, best, -1)[..., 0]


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
