"""Bake the open hand from Anny's hand rig: MANO's layout, its joints and its number of vertices.

Hands are sampled from Anny's adults and from MakeHuman's targets for size and fingers, laid flat, and summarised by a
PCA. The left hand is the right one's mirror image.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvd_live.body.anny_bodies import WEIGHTS, keep_largest, sample_phenotypes
from lvd_live.body.bake import fit_joint_regressor, pca
from lvd_live.body.control import vertex_areas
from lvd_live.body.decimate import barycentric_map, decimate
from lvd_live.body.hand_pose import pose_components
from lvd_live.body.hand_rig import (
    HAND_PARENTS,
    extend_to_knuckles,
    fingertips,
    flat_rotations,
    hand_joint_of_bone,
    hand_joints_from_bones,
    palm_frame,
)
from lvd_live.body.skeleton import chain_transforms

if TYPE_CHECKING:
    from anny import Anny

log = logging.getLogger(__name__)

N_VERTICES = 778  # MANO's
N_SHAPE = 10
N_SAMPLES = 300
CHANGES = {
    "r-hand-scale-incr": 0.1,
    "r-hand-fingers-length-incr": 0.25,
    "r-hand-fingers-diameter-incr": 0.3,
    "r-hand-fingers-distance-incr": 0.25,
}
"""MakeHuman's targets that vary beside Anny's phenotypes, and their standard deviations, of what a target does."""
MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class _Hands:
    """S right hands, flat: rest (S, V, 3) and joints (S, 16, 3) metres, hand frame, the wrist at the origin; their
    skin weights (V, 16) and faces (F, 3), open at the wrist."""

    rest: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    faces: np.ndarray


def bake_hands(count: int = N_SAMPLES, seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """The files' arrays of the "right" and the "left" hand, from `count` sampled hands."""
    hands = _sample_hands(count, seed)
    mean, shapedirs, _ = pca(hands.rest, vertex_areas(hands.rest.mean(0), hands.faces) + 1e-9, N_SHAPE)
    border = _border(hands.faces)
    points, faces = decimate(mean, hands.faces, 2 * (N_VERTICES - 1) - len(border), keep_border=True)
    new_from_old = barycentric_map(points, mean, hands.faces)
    template = new_from_old @ mean
    weights = keep_largest(new_from_old @ hands.weights, WEIGHTS)
    sampled = np.stack([new_from_old @ r for r in hands.rest.astype(np.float64)])
    regressor = fit_joint_regressor(sampled, hands.joints, weights, HAND_PARENTS)
    miss = np.linalg.norm(np.einsum("jn,snc->sjc", regressor, sampled) - hands.joints, axis=-1)
    log.info("hand: %d vertices; joint regressor: mean %.2f mm, worst %.2f mm", len(template), *_mean_max(miss))
    right = {
        "v_template": template,
        "shapedirs": (new_from_old @ shapedirs.reshape(len(mean), -1)).reshape(len(template), 3, -1),
        "J_regressor": regressor,
        "weights": weights,
    }
    out = {}
    for side, mirror in (("right", np.ones(3)), ("left", MIRROR)):
        arrays = right | {
            "v_template": right["v_template"] * mirror,
            "shapedirs": right["shapedirs"] * mirror[:, None],
            "posedirs": np.zeros((len(template), 3, 135)),
        }
        joints = regressor @ arrays["v_template"]
        half = {name: value.astype(np.float16) for name, value in (arrays | pose_components(joints)).items()}
        half["J_regressor"] = regressor.astype(np.float32)  # sums of many small terms
        half["kintree_table"] = np.stack([np.where(HAND_PARENTS < 0, 2**32 - 1, HAND_PARENTS), np.arange(16)])
        half["f"] = (faces if side == "right" else faces[:, ::-1]).astype(np.int32)
        out[side] = half
    return out


def _mean_max(metres: np.ndarray) -> tuple[float, float]:
    """In millimetres."""
    return float(metres.mean() * 1000), float(metres.max() * 1000)


def _sample_hands(count: int, seed: int) -> _Hands:
    """Sample `count` right hands from Anny and lay them flat."""
    import anny
    import torch

    model = anny.Anny(rig="anny-hand.R", topology="hand.R", phenotypes="all", local_changes=list(CHANGES))
    phenotypes = sample_phenotypes(model, count, seed)
    rng = np.random.default_rng(seed)
    changes = {
        label: torch.as_tensor(np.clip(spread * rng.standard_normal(count), -1, 1), dtype=model.dtype)
        for label, spread in CHANGES.items()
    }
    coefficients = model.get_phenotype_blendshape_coefficients(**phenotypes, local_changes=changes).numpy()
    shapes, template = model.blendshapes.numpy(), model.template_vertices.numpy()
    bone_shapes, bones = model.bone_heads_blendshapes.numpy(), model.template_bone_heads.numpy()
    faces, rest, joints, weights = model.get_triangular_faces().numpy(), [], [], None
    for c in np.concatenate([coefficients.mean(0, keepdims=True), coefficients]):
        vertices = template + np.tensordot(c, shapes, 1)
        at = hand_joints_from_bones(bones + np.tensordot(c, bone_shapes, 1), model.bone_labels, "right")
        turn = palm_frame(at, "right")
        vertices, at = (vertices - at[0]) @ turn.T, (at - at[0]) @ turn.T
        if weights is None:  # of the mean hand, for all
            weights = extend_to_knuckles(vertices, _skin_weights(model, len(template)), at)
            weights = keep_largest(weights, WEIGHTS)
        T = chain_transforms(flat_rotations(at, fingertips(vertices, weights, at)), at, HAND_PARENTS)
        blend = np.einsum("vj,jab->vab", weights, T)
        rest.append(np.einsum("vab,vb->va", blend[..., :3], vertices) + blend[..., 3])
        joints.append(np.einsum("jab,jb->ja", T[..., :3], at) + T[..., 3])
    assert weights is not None
    return _Hands(np.stack(rest[1:]), np.stack(joints[1:]), weights, faces)


def _skin_weights(model: Anny, count: int) -> np.ndarray:
    """Anny's skin weights of its `count` hand vertices, summed over each joint's bones: (V, 16)."""
    weights = np.zeros((count, 16))
    joint_of = np.array([hand_joint_of_bone(label) or 0 for label in model.bone_labels])  # the root: the wrist
    places = np.arange(count)[:, None], joint_of[model.vertex_bone_indices.numpy()]
    np.add.at(weights, places, model.vertex_bone_weights.numpy())
    return weights


def _border(faces: np.ndarray) -> np.ndarray:
    """The vertices of edges that belong to one face only."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    unique, times = np.unique(edges, axis=0, return_counts=True)
    return np.unique(unique[times == 1])
