"""One picture to be drawn: a person on the GPU, a pose, a camera and a light, and the uniform block that says so.

Camera frame: metres, x right, y up, z toward the viewer, camera at the origin looking along -z. The crop frame's x and
y, in crop units, are x = focal * X / -Z + offset[0] and y = focal * Y / -Z + offset[1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvd_live.synth.lighting import Light

if TYPE_CHECKING:
    import moderngl  # an optional dependency, of which this module uses the types only

SHOT_BYTES = 16 * (72 + 1 + 3 + 1 + 2 + 2 + 4)
"""Size of the shader's ShotBlock."""


@dataclass(frozen=True)
class Identity:
    """A person on the GPU; made by Renderer.upload, freed by `release` or with the `with` statement.

    joints : (24, 3) float32, metres, rest pose. one_sided : the first so many of `indices` are drawn from one side.
    """

    joints: np.ndarray
    body: moderngl.VertexArray
    indices: int
    one_sided: int
    caster: moderngl.VertexArray
    block: moderngl.Buffer
    buffers: tuple[moderngl.Buffer, ...]

    def release(self) -> None:
        """Free the GPU's memory; the identity cannot be drawn any more."""
        self.body.release()
        self.caster.release()
        for buffer in (self.block, *self.buffers):
            buffer.release()

    def __enter__(self) -> Identity:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(frozen=True)
class Shot:
    """One picture: an uploaded person, a pose, a camera, a light.

    bone_matrices : (24, 3, 4) float, rest pose in the body frame -> camera frame, metres.
    focal : crop units per unit of X/-Z. offset : (x, y) of the optical axis in the crop frame.
    """

    identity: Identity
    bone_matrices: np.ndarray
    focal: float
    offset: tuple[float, float]
    light: Light


def shot_block(shot: Shot, tile: tuple[int, int], tiles_per_side: int) -> np.ndarray:
    """The bytes of the shader's ShotBlock, as (SHOT_BYTES / 4,) float32.

    tile : column and row of the shot's shadow map in an atlas of tiles_per_side columns and rows.
    """
    bones = np.asarray(shot.bone_matrices, np.float32)
    light = shot.light
    toward = light.directions / np.linalg.norm(light.directions, axis=1, keepdims=True)
    rows = np.zeros((SHOT_BYTES // 16, 4), np.float32)
    rows[:72] = bones.reshape(72, 4)
    rows[72] = [shot.focal, shot.offset[0], shot.offset[1], 0.0]
    if light.shadow > 0:
        posed = np.einsum("jab,jb->ja", bones[:, :, :3], shot.identity.joints) + bones[:, :, 3]
        rows[73:76] = _T_light_from_camera(posed, toward[0])
    rows[76] = [tile[0], tile[1], tiles_per_side, light.shadow]
    rows[77:79, :3] = toward
    rows[79:81, :3] = light.colours
    rows[81:85, :3] = light.ambient
    return rows.ravel()


def _T_light_from_camera(joints: np.ndarray, toward: np.ndarray) -> np.ndarray:
    """(3, 4) float32: camera frame -> the light's view around a posed person.

    Its x and y lie in -1..1, its depth in 0 (near the light) .. 1. joints : (24, 3), metres, camera frame.
    toward : (3,) unit vector toward the light.
    """
    middle = 0.5 * (joints.min(axis=0) + joints.max(axis=0))
    radius = np.linalg.norm(joints - middle, axis=1).max() + 0.25
    helper = np.array([0.0, 1.0, 0.0]) if abs(toward[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, toward)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(toward, right), -toward]) / radius
    axes[2] *= 0.5
    return np.column_stack([axes, -axes @ middle + np.array([0.0, 0.0, 0.5])]).astype(np.float32)
