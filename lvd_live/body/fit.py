"""Vertices to body parameters: pose, shape and translation of the skinned body that lies nearest to given meshes.

The rotations of all frames are found by `pose_solver`, the shape common to them by alternating that with
`shape_solver`; both rest on the body's being linear, see `linear_body`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import ThreadpoolController

from lvd_live.body.linear_body import LinearBody
from lvd_live.body.model import BodyModel
from lvd_live.body.pose_solver import MEASUREMENTS, REACH, Posed, PoseSolver
from lvd_live.body.shape_solver import shape_equations

SWEEPS = 7  # alternations between rotations and shape
CHUNK = 32  # frames held at once
SHAPE_FRAMES = 32  # of a session, evenly spread: what its shape is read from
TRUST = 0.01  # metres: a vertex of smaller uncertainty does not count more
_one_thread = ThreadpoolController().wrap(limits=1, user_api="blas")  # products this small only wait for more threads


@dataclass(frozen=True)
class Fitted:
    """A session's body parameters; the root's rotation and transl are in the frame of the vertices.

    pose : (F, 24, 3) float32 axis-angle, radians, each joint relative to its parent.
    betas : (B,) float32.
    transl : (F, 3) float32 metres, as in SMPL added after posing about the rest pelvis.
    residual_mm : (F,) float32, the mean distance of the scaled vertices from the skinned body.
    scale : (F,) float32, what each mesh was multiplied by: 1 unless fitted to a camera's view.
    shapes : (S, B) float32, betas as each of S single frames would have them, for the spread.
    """

    pose: np.ndarray
    betas: np.ndarray
    transl: np.ndarray
    residual_mm: np.ndarray
    scale: np.ndarray
    shapes: np.ndarray


class BodyFitter(LinearBody):
    """Fits one body file to meshes of its topology, in metres, in any right-handed frame."""

    def __init__(self, body: BodyModel):
        super().__init__(body)
        self._solver = PoseSolver(self)

    @_one_thread
    def fit(
        self,
        vertices: np.ndarray,
        std: np.ndarray | None = None,
        betas: np.ndarray | None = None,
        *,
        camera: bool = False,
    ) -> Fitted:
        """The parameters of F meshes of one person.

        vertices : (F, N, 3) metres; may be a memory map.
        std : (F, N) metres, the vertices' uncertainty: uncertain ones count less. Zeros mean unknown.
        betas : (B,) the shape where it is known; else it is fitted.
        camera : the meshes are what a camera at the origin saw, which cannot tell size from distance: each is scaled
            about the origin to the body's size, and so stays where it is in the picture.
        """
        if betas is None:
            betas, shapes = self.fit_shape(vertices, std)
        else:
            betas, shapes = np.asarray(betas, np.float32), np.empty((0, self.n_betas), np.float32)
        (A, pelvis), frames = self.design(betas), len(vertices)
        pose, transl = np.empty((frames, 24, 3), np.float32), np.empty((frames, 3), np.float32)
        residual, scale = np.empty(frames, np.float32), np.empty(frames, np.float32)
        for start in range(0, frames, CHUNK):
            some = slice(start, start + CHUNK)
            origin, v, w = self._centred(vertices[some], None if std is None else std[some])
            posed = self._solver.solve(A, v, w, camera=camera)
            pose[some] = self.pose(posed.X)
            transl[some] = posed.X[:, 72] + posed.scale[:, None] * origin - pelvis
            residual[some], scale[some] = 1000 * posed.distance, posed.scale
        return Fitted(pose, betas, transl, residual, scale, shapes)

    @_one_thread
    def fit_shape(self, vertices: np.ndarray, std: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """betas (B,) common to the meshes, and (S, B) those of the S frames used, one by one; float32. See `fit`."""
        betas = np.zeros(self.n_betas)
        if not len(vertices):
            return betas.astype(np.float32), np.zeros((0, self.n_betas), np.float32)
        few = SHAPE_FRAMES if self.n_betas <= 50 else SHAPE_FRAMES // 4
        chosen = np.unique(np.linspace(0, len(vertices) - 1, few).round().astype(int))
        _, v, w = self._centred(vertices[chosen], None if std is None else std[chosen])
        for sweep in range(SWEEPS):
            some = slice(None, None, 1 if sweep >= SWEEPS - 3 else 4)  # a few frames will do on the way
            share = w if w.shape[1] == 1 else w[:, some]
            A, _ = self.design(betas)
            posed = self._solver.solve(A, v[:, some], share, REACH * 0.5**sweep)  # a wrong shape makes no outliers
            betas, shapes = self._shape_step(betas, A, posed, share)
        return betas.astype(np.float32), shapes.astype(np.float32)

    def _shape_step(
        self, betas: np.ndarray, A: np.ndarray, posed: Posed, w: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Better betas (B,) for all frames together, and (f, B) for each frame alone."""
        normal, right = shape_equations(self, A, posed, w)
        variance = posed.coherent**2
        trust = np.median(variance) / variance  # a frame that fits badly says little
        trust /= trust.sum()
        prior = np.median(variance) / MEASUREMENTS * np.eye(self.n_betas)
        shapes = betas + np.linalg.solve(normal + prior, (right - prior @ betas)[..., None])[..., 0]
        step = np.linalg.solve(np.einsum("f,fab->ab", trust, normal) + prior, trust @ right - prior @ betas)
        return betas + step, shapes

    def _centred(self, vertices: np.ndarray, std: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Meshes about their centres, near which float32 is exact enough, and the vertices' weights.

        Returns the centres (f, 3), vertices (N, f, 3) float32, and weights (N, 1 or f) float32, which sum to 1.
        """
        v = np.asarray(vertices, np.float32).transpose(1, 0, 2)
        origin = np.einsum("n,nfc->fc", self.area, v)
        w = self.area[:, None]
        if std is not None and np.any((spread := np.array(std, float).T) > 0):
            spread[~(spread > 0)] = np.nan
            spread = np.where(np.isnan(spread), np.nanmedian(spread), spread)
            w = w / (spread**2 + TRUST**2)
            w = w / w.sum(0)
        return origin, v - origin.astype(np.float32), w.astype(np.float32)
