"""How skinned formats describe the skin."""

from __future__ import annotations

import numpy as np

from lvd_live.render import SKIN

LINEAR_SKIN = [(value / 255) ** 2.2 for value in SKIN]
"""The colour of the mesh, linear RGB 0 … 1."""


def strongest_weights(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The four joints that move each vertex most, as formats for games and films want them.

    weights : (N, J). Returns joints (N, 4) int64 and weights (N, 4) float32 that sum to 1.
    """
    joints = np.argsort(-weights, 1, kind="stable")[:, :4]
    four = np.take_along_axis(weights, joints, 1)
    return joints, (four / four.sum(1, keepdims=True)).astype(np.float32)
