"""One garment, bound to MakeHuman's base mesh, and how it is put on a body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lvd_live.synth.surface import vertex_normals

LOOSE_METRES = 0.035
"""How far a looseness of 2 lifts a garment off its place at a looseness of 1, the design."""


@dataclass(frozen=True)
class Garment:
    """One garment, bound to the base mesh (19158 vertices) in the body frame's T-pose.

    name : the garment's name. kind : "outfit", "shoes", "hat", "hair" or "brows". sex : "female", "male" or "any".
    base_index : (V, 3) int32, the base vertices that each garment vertex hangs on.
    barycentric : (V, 3) float32, their weights.
    offset : (V, 3) float32, metres on the template body.
    scale_index : (3, 2) int32, pairs of base vertices that measure a body along x, y, z; -1 where it is not scaled.
    scale_extent : (3,) float32, metres, the same measure of the template body.
    faces, corner_uv : (F, 3) int32, triangles as rows of vertices and as rows of uv.
    uv : (T, 2) float32, 0..1, v down as in pictures.
    joint : (V, 4) uint8. weight : (V, 4) float32, skin weights whose rows sum to 1.
    hidden : (H,) int32, base vertices under the garment, not to be drawn.
    tucked : (U,) int32, other base vertices just under it, to be drawn a little lower.
    canonical : (V, 3) float32, its vertices on the template body, metres.
    texture : layer of Wardrobe.textures, -1 for none.
    colour_known : False if of the texture only the ambient occlusion (alpha) is meaningful.
    """

    name: str
    kind: str
    sex: str
    base_index: np.ndarray
    barycentric: np.ndarray
    offset: np.ndarray
    scale_index: np.ndarray
    scale_extent: np.ndarray
    faces: np.ndarray
    corner_uv: np.ndarray
    uv: np.ndarray
    joint: np.ndarray
    weight: np.ndarray
    hidden: np.ndarray
    tucked: np.ndarray
    canonical: np.ndarray
    texture: int
    colour_known: bool


def dress(garment: Garment, rest_base_vertices: np.ndarray, looseness: float = 1.0) -> np.ndarray:
    """The garment's vertices on a body: (V, 3) float32, metres, body frame, T-pose.

    rest_base_vertices : (19158, 3) float, metres, body frame, T-pose.
    looseness : 1 as designed; more lifts the cloth along its normals, see LOOSE_METRES.
    """
    base = np.asarray(rest_base_vertices, np.float32)
    measured = garment.scale_index[:, 0] >= 0
    ratio = axis_extents(base, garment.scale_index) / garment.scale_extent
    scale = np.where(measured, ratio, 1.0).astype(np.float32)
    vertices = np.einsum("vk,vkc->vc", garment.barycentric, base[garment.base_index]) + garment.offset * scale
    if looseness != 1.0:
        vertices = vertices + (looseness - 1.0) * LOOSE_METRES * vertex_normals(vertices, garment.faces)
    return vertices.astype(np.float32)


def axis_extents(base: np.ndarray, scale_index: np.ndarray) -> np.ndarray:
    """|base[a] - base[b]| along x, y, z for the pair (a, b) of each axis: (3,); meaningless where a pair is (-1, -1).

    base : (N, 3) float. scale_index : (3, 2) int.
    """
    a, b = np.maximum(scale_index, 0).T
    axes = np.arange(3)
    return np.abs(base[a, axes] - base[b, axes])
