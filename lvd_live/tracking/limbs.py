"""Limbs between where the mesh has them and where the lifter does: the two err differently, their mean errs less."""

from __future__ import annotations

import numpy as np

from lvd_live.body.model import BodyModel

SHARE = 0.5  # of the way to the lifter's landmarks
APART = 0.05  # crop units: landmarks this far from the mesh's, in the picture, count half: the finder may have erred
NEAR = 0.06  # metres, at rest: landmarks nearer than that to a vertex count alike
_TRUNK = [11, 12, 23, 24]
_LIMBS = [*range(13, 23), *range(25, 33)]  # BlazePose's arms, hands, legs and feet; the face and the trunk stay


class LimbFit:
    """Moves the limbs of a descended mesh toward lifted landmarks. body : whose mesh it is."""

    def __init__(self, body: BodyModel):
        rest, self._regressor = body.v_template.numpy(), body.landmarks.numpy()
        squared = ((rest[:, None] - (self._regressor @ rest)[None]) ** 2).sum(-1)
        self._weights = (1 / (squared + NEAR**2) ** 2).astype(np.float32)  # (N, 33), Shepard's

    def __call__(self, vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """The mesh, vertices (N, 3) float32, with its limbs moved; crop frame, as everything.

        landmarks : (33, 4) float32, lifted: x, y, depth from the hips, confidence; 0 where there is none.

        Each limb's landmark asks for SHARE of its way, d, divided by 1 + |d|²/APART² of its way in the picture; a
        vertex moves by the mean over the landmarks around it, weighted by their nearness at rest and their confidence.
        """
        way = landmarks[:, :3] - self._regressor @ vertices
        way[:, 2] -= way[_TRUNK, 2].mean()  # only how the body bends, not where it is
        asked = np.zeros((len(way), 4), np.float32)
        asked[_LIMBS, :3] = SHARE * way[_LIMBS] / (1 + (way[_LIMBS, :2] ** 2).sum(1, keepdims=True) / APART**2)
        asked[:, 3] = 1.0
        total = self._weights @ (asked * landmarks[:, 3:])
        return vertices + total[:, :3] / np.maximum(total[:, 3:], 1e-6)
