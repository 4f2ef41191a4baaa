"""Bind a MakeHuman garment to the base mesh in T-pose: offsets, skin weights, and the skin that it covers closely."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse
import scipy.spatial

from lvd_live.synth.garment import Garment, axis_extents
from lvd_live.synth.mhclo import Clothes
from lvd_live.synth.surface import vertex_normals

FAR = 0.05  # metres: an offset from the base mesh beyond which a garment hangs free
SMOOTHING_ROUNDS = 60
CLOSE = 0.03  # metres: how near skin lies under a garment that it must be tucked in


def bind(
    clothes: Clothes,
    kind: str,
    base: Mapping[str, np.ndarray],
    rest: Mapping[str, np.ndarray],
    texture: int = -1,
    colour_known: bool = False,
) -> Garment:
    """Carry a garment from MakeHuman's A-pose to the T-pose.

    base, rest : see `bake_wardrobe`. kind, texture, colour_known : see `Garment`.
    """
    template = np.asarray(base["v_template"], np.float32)
    a_pose = np.asarray(rest["a_pose"], np.float32)
    turn = np.asarray(rest["rest_to_tpose"], np.float32)[clothes.base_index].mean(axis=1)
    offset = np.einsum("vij,vj->vi", turn, clothes.offset * clothes.scale(a_pose * 10.0)) / 10.0
    extent = np.where(clothes.scale_index[:, 0] >= 0, axis_extents(template, clothes.scale_index), 1.0)
    index, value = np.asarray(base["weights_index"]), np.asarray(base["weights_value"], np.float32)
    joint, weight = _mixed_weights(clothes, index, value)
    joint, weight = _smoothed_where_far(joint, weight, clothes.corner_vertex, np.linalg.norm(offset, axis=1) > FAR)
    canonical = np.einsum("vk,vkc->vc", clothes.barycentric, template[clothes.base_index]) + offset
    return Garment(
        name=clothes.name,
        kind=kind,
        sex=next((s for s in ("female", "male") if s in clothes.tags or clothes.name.startswith(s)), "any"),
        base_index=clothes.base_index,
        barycentric=clothes.barycentric,
        offset=offset.astype(np.float32),
        scale_index=clothes.scale_index,
        scale_extent=extent.astype(np.float32),
        faces=clothes.corner_vertex,
        corner_uv=clothes.corner_uv,
        uv=clothes.uv * np.array([1, -1], np.float32) + np.array([0, 1], np.float32),
        joint=joint,
        weight=weight,
        hidden=clothes.hidden,
        tucked=_just_under(canonical, clothes.corner_vertex, template, np.asarray(base["faces"])),
        canonical=canonical.astype(np.float32),
        texture=texture,
        colour_known=colour_known,
    )


def _mixed_weights(clothes: Clothes, index: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skin weights of a garment from those of the base vertices it hangs on: joint (V, 4) uint8, weight (V, 4).

    index, value : (N, 4), the base mesh's.
    """
    dense = np.zeros((len(clothes.base_index), int(index.max()) + 1), np.float32)
    rows = np.arange(len(dense))[:, None]
    share = np.maximum(clothes.barycentric, 0.0)
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-9)
    for k in range(3):
        corner = clothes.base_index[:, k]
        np.add.at(dense, (rows, index[corner]), share[:, k, None] * value[corner])
    return _largest_four(dense)


def _largest_four(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The four largest weights of each row of `dense` (V, joints), normalised: joint (V, 4) uint8, weight (V, 4)."""
    joint = np.argsort(-dense, axis=1, kind="stable")[:, :4]
    weight = np.take_along_axis(dense, joint, axis=1)
    return joint.astype(np.uint8), weight / weight.sum(axis=1, keepdims=True)


def _smoothed_where_far(
    joint: np.ndarray, weight: np.ndarray, faces: np.ndarray, far: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Skin weights averaged over neighbours where a garment hangs free, so that a skirt stretches between the legs.

    joint, weight : (V, 4). faces : (F, 3). far : (V,) bool, the vertices to smooth.
    """
    if not far.any():
        return joint, weight
    n = len(joint)
    dense = np.zeros((n, int(joint.max()) + 1), np.float32)
    np.put_along_axis(dense, joint.astype(np.int64), weight, axis=1)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    rows, columns = edges.T.ravel(), edges[:, ::-1].T.ravel()
    adjacency = scipy.sparse.coo_matrix((np.ones(2 * len(edges)), (rows, columns)), (n, n)).tocsr()
    degree = np.maximum(np.asarray(adjacency.sum(axis=1)).ravel(), 1.0)
    average = scipy.sparse.diags(1.0 / degree) @ adjacency
    for _ in range(SMOOTHING_ROUNDS):
        dense[far] = (average @ dense)[far]
    return _largest_four(dense)


def _just_under(garment: np.ndarray, faces: np.ndarray, body: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Skin vertices that a garment covers closely, its surface above them within CLOSE: (U,) int32.

    garment : (V, 3), body : (N, 3), metres. faces, skin : triangles of either, (F, 3).
    """
    corners = garment[faces]
    edges = [0.5 * (corners[:, k] + corners[:, k - 1]) for k in range(3)]
    surface = np.concatenate([garment, corners.mean(axis=1), *edges])
    index = np.unique(skin)
    distance, nearest = scipy.spatial.cKDTree(surface).query(body[index], distance_upper_bound=CLOSE)
    index, nearest, distance = (a[np.isfinite(distance)] for a in (index, nearest, distance))
    height = ((surface[nearest] - body[index]) * vertex_normals(body, skin)[index]).sum(axis=1)
    aside = np.sqrt(np.maximum(distance**2 - height**2, 0.0))
    return index[(height > -0.008) & (aside < 0.012)].astype(np.int32)
