"""MakeHuman's base mesh, which carries skin, eyes and garments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BaseMesh:
    """MakeHuman's base mesh in the body frame (metres, y up, x = the person's left, z forward, T-pose).

    Floats are float32.

    template : (19158, 3). shapes : (19158, 3, K), metres per shape coefficient.
    joint : (19158, 4) uint8. weight : (19158, 4), skin weights whose rows sum to 1.
    joints : (24, 3). joint_shapes : (24, 3, K).
    skin : (F, 3) int32, eyes : (E, 3) int32, triangles.
    """

    template: np.ndarray
    shapes: np.ndarray
    joint: np.ndarray
    weight: np.ndarray
    joints: np.ndarray
    joint_shapes: np.ndarray
    skin: np.ndarray
    eyes: np.ndarray

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> BaseMesh:
        """From the arrays of models/synth/base.npz, as the `bake` tool writes it."""
        template = np.asarray(arrays["v_template"], np.float32)
        weight = np.asarray(arrays["weights_value"], np.float32)
        eyes = np.asarray(arrays["eye_faces"], np.int32)
        above_mouth = template[eyes].mean(axis=1)[:, 1] > arrays["J_template"][15, 1]
        return BaseMesh(
            template=template,
            shapes=np.asarray(arrays["shapedirs"], np.float32),
            joint=np.asarray(arrays["weights_index"], np.uint8),
            weight=weight / weight.sum(axis=1, keepdims=True),
            joints=np.asarray(arrays["J_template"], np.float32),
            joint_shapes=np.asarray(arrays["J_shapedirs"], np.float32),
            skin=np.asarray(arrays["faces"], np.int32),
            eyes=eyes[above_mouth],
        )

    def shaped(self, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rest vertices (19158, 3) and joints (24, 3) of a shape: metres, body frame, float32.

        betas : (k,) float shape coefficients, k <= K.
        """
        betas = np.asarray(betas, np.float32)
        k = len(betas)
        return self.template + self.shapes[..., :k] @ betas, self.joints + self.joint_shapes[..., :k] @ betas
