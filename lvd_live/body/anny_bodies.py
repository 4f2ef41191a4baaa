"""Bodies sampled from Anny's adults, turned from MakeHuman's A-pose to the T-pose, with SMPL's joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvd_live.body.hand_rig import SIDES, hand_joint_of_bone, hand_joints_from_bones
from lvd_live.body.skeleton import JOINT, chain_transforms, rotation_between

if TYPE_CHECKING:
    import torch
    from anny import Anny

SKIN_JOINTS = {
    "root": "pelvis",
    "pelvis": "pelvis",
    "spine05": "pelvis",
    "spine04": "spine1",
    "spine03": "spine1",
    "spine02": "spine2",
    "spine01": "spine3",
    "neck": "neck",
    "head": "head",
    "eye": "head",
    "upperleg": "hip",
    "lowerleg": "knee",
    "foot": "ankle",
    "toe": "foot",
    "clavicle": "collar",
    "shoulder": "collar",
    "upperarm": "shoulder",
    "lowerarm": "elbow",
    "wrist": "wrist",
    "metacarpal": "wrist",
    "finger1": "wrist",
    "finger": "hand",
}
"""What the names of Anny's bones begin with, and the SMPL joint that moves the bone's skin; the first match counts."""
TRUNK_HEADS = {
    "pelvis": "root",
    "spine1": "spine04",
    "spine2": "spine02",
    "spine3": "spine01",
    "neck": "neck01",
    "head": "head",
}
LIMB_HEADS = {
    "knee": "lowerleg01",
    "ankle": "foot",
    "collar": "clavicle",
    "shoulder": "upperarm01",
    "elbow": "lowerarm01",
    "wrist": "wrist",
}
"""SMPL joints that are the heads of Anny's bones, in the trunk and on each side."""
LIMBS = (*LIMB_HEADS, "hip", "foot", "hand")  # joints that there is one of on each side
WEIGHTS = 4  # skin weights kept per vertex
TAIL = {
    "weight": (0.0, 1.0),
    "muscle": (0.0, 1.0),
    "height": (0.08, 0.70),
    "proportions": (0.0, 1.0),
    "age": (0.62, 0.9),
}
"""Ranges of Anny's phenotypes in the tail of unusual people."""


@dataclass(frozen=True)
class Bodies:
    """S sampled bodies on MakeHuman's full base mesh of V vertices; body frame, metres, pelvis at the origin.

    rest : (S, V, 3) float32, T-pose. joints : (S, 24, 3), T-pose. fingers : (S, 30, 3), SMPL-H's finger joints, T-pose.
    a_pose : (V, 3) the mean person in MakeHuman's A-pose.
    rest_to_tpose : (V, 3, 3) linear part of the mean person's A-pose to T-pose skinning.
    weights : (V, 24) skin weights. finger_weights : (V, 30) those of the finger joints, of the whole.
    faces : (F, 3) visible skin, eyes and tongue.
    """

    rest: np.ndarray
    joints: np.ndarray
    fingers: np.ndarray
    a_pose: np.ndarray
    rest_to_tpose: np.ndarray
    weights: np.ndarray
    finger_weights: np.ndarray
    faces: np.ndarray


def sample_bodies(count: int, seed: int = 0) -> Bodies:
    """Sample `count` bodies from Anny and bring them to the T-pose."""
    import anny

    model = anny.Anny(rig="anny", topology="anny-full", phenotypes="all")
    body_from_anny = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # Anny: z up, facing -y
    coefficients = model.get_phenotype_blendshape_coefficients(**sample_phenotypes(model, count, seed)).numpy()
    shapes, template = model.blendshapes.numpy(), model.template_vertices.numpy()
    bone_shapes, bones = model.bone_heads_blendshapes.numpy(), model.template_bone_heads.numpy()
    weights = _skin_weights(model, len(template))

    def body(c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """A-posed vertices and 24 + 30 joints, T_tpose_from_apose of these (54, 3, 4) and of the vertices (V, 3, 4)."""
        vertices = (template + np.tensordot(c, shapes, 1)) @ body_from_anny.T
        heads = (bones + np.tensordot(c, bone_shapes, 1)) @ body_from_anny.T
        joints = joints_from_bones(heads, model.bone_labels)
        fingers = np.concatenate([hand_joints_from_bones(heads, model.bone_labels, side)[1:] for side in SIDES])
        vertices, fingers, joints = vertices - joints[0], fingers - joints[0], joints - joints[0]
        T = chain_transforms(tpose_rotations(joints), joints)
        blend = np.einsum("vj,jab->vab", weights, T)
        wrists = np.repeat([JOINT["left_wrist"], JOINT["right_wrist"]], 15)  # fingers go with the wrist
        return vertices, np.concatenate([joints, fingers]), np.concatenate([T, T[wrists]]), blend

    rest = np.empty((count, len(template), 3), np.float32)
    joints = np.empty((count, 54, 3))
    for i, c in enumerate(coefficients):
        vertices, j, T, blend = body(c)
        rest[i] = np.einsum("vab,vb->va", blend[..., :3], vertices) + blend[..., 3]
        joints[i] = np.einsum("jab,jb->ja", T[..., :3], j) + T[..., 3]
    a_pose, _, _, blend = body(coefficients.mean(0))
    return Bodies(
        rest=rest,
        joints=joints[:, :24],
        fingers=joints[:, 24:],
        a_pose=a_pose,
        rest_to_tpose=blend[..., :3],
        weights=weights,
        finger_weights=_finger_weights(model, len(template)),
        faces=model.get_triangular_faces().numpy(),
    )


def sample_phenotypes(model: Anny, count: int, seed: int) -> dict[str, torch.Tensor]:
    """Phenotypes of adults, each (count,) float in 0..1.

    Half are distributed as people are; half form an explicit tail of thin, heavy, muscular, short and tall ones.
    """
    import torch
    from anny.shape_distribution import SimpleShapeDistribution

    torch.manual_seed(seed)
    years = torch.distributions.Uniform(torch.tensor(17.0, dtype=model.dtype), torch.tensor(80.0, dtype=model.dtype))
    _, phenotypes = SimpleShapeDistribution(model, morphological_age_distribution=years).sample(count)
    in_tail = torch.arange(count) % 2 == 1
    for key, (low, high) in TAIL.items():
        u = torch.rand(count, dtype=model.dtype)
        if key in ("weight", "muscle"):  # an arcsine law: most mass at the two ends
            u = 0.5 - 0.5 * torch.cos(torch.pi * u)
        phenotypes[key] = torch.where(in_tail, low + (high - low) * u, phenotypes[key])
    return phenotypes


def joint_of_bone(label: str) -> int:
    """The SMPL joint that moves the skin of an Anny bone. Raises ValueError for a bone that is not known."""
    name, _, side = label.partition(".")
    prefix = {"L": "left_", "R": "right_", "": ""}[side]
    for start, joint in SKIN_JOINTS.items():
        if name.startswith(start):
            return JOINT[prefix + joint if joint in LIMBS else joint]
    raise ValueError(f"Anny has a bone that this bake does not know: {label}")


def joints_from_bones(heads: np.ndarray, labels: list[str]) -> np.ndarray:
    """SMPL joints (..., 24, 3) from Anny's bone heads (..., 104, 3), same frame.

    Hips sit between the two thigh bones' heads, nearer to the middle.
    """
    at = {label: heads[..., i, :] for i, label in enumerate(labels)}
    joints = np.empty((*heads.shape[:-2], 24, 3))
    for joint, bone in TRUNK_HEADS.items():
        joints[..., JOINT[joint], :] = at[bone]
    for side, s in (("left_", "L"), ("right_", "R")):
        for joint, bone in LIMB_HEADS.items():
            joints[..., JOINT[side + joint], :] = at[f"{bone}.{s}"]
        hip = 0.55 * at[f"upperleg01.{s}"] + 0.45 * at[f"upperleg02.{s}"]
        hip[..., 0] *= 0.85
        joints[..., JOINT[side + "hip"], :] = hip
        joints[..., JOINT[side + "foot"], :] = np.mean([at[f"toe{i}-1.{s}"] for i in range(1, 6)], 0)
        joints[..., JOINT[side + "hand"], :] = np.mean([at[f"finger{i}-1.{s}"] for i in range(2, 6)], 0)
    return joints


def tpose_rotations(joints: np.ndarray) -> np.ndarray:
    """Global rotations (24, 3, 3) that bring an A-posed body to the T-pose: arms sideways, legs straight down.

    joints : (24, 3) body frame.
    """
    rotations = np.tile(np.eye(3), (24, 1, 1))
    down = (0, -1, 0)
    for side, x in (("left_", 1.0), ("right_", -1.0)):
        sideways = (x, 0, 0)
        for a, b, direction in (
            ("shoulder", "elbow", sideways),
            ("elbow", "wrist", sideways),
            ("wrist", "hand", sideways),
            ("hip", "knee", down),
            ("knee", "ankle", down),
        ):
            i, j = JOINT[side + a], JOINT[side + b]
            rotations[i] = rotation_between(joints[j] - joints[i], np.array(direction, float))
        rotations[JOINT[side + "hand"]] = rotations[JOINT[side + "wrist"]]
    return rotations


def _skin_weights(model: Anny, count: int) -> np.ndarray:
    """Anny's skin weights of its `count` vertices, summed over each SMPL joint's bones: (V, 24)."""
    weights = np.zeros((count, 24))
    joint_of = np.array([joint_of_bone(label) for label in model.bone_labels])
    places = np.arange(count)[:, None], joint_of[model.vertex_bone_indices.numpy()]
    np.add.at(weights, places, model.vertex_bone_weights.numpy())
    return keep_largest(weights, WEIGHTS)


def _finger_weights(model: Anny, count: int) -> np.ndarray:
    """Anny's skin weights of its `count` vertices for SMPL-H's finger joints, (V, 30); what is left is not theirs."""
    indices, values = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    weights = np.zeros((count, 30))
    for first, side in zip((0, 15), ("L", "R"), strict=True):
        for bone, label in enumerate(model.bone_labels):
            joint = hand_joint_of_bone(label)
            if joint and label.endswith(f".{side}"):
                weights[:, first + joint - 1] += np.where(indices == bone, values, 0).sum(1)
    return weights


def keep_largest(weights: np.ndarray, k: int) -> np.ndarray:
    """Keep each row's k largest skin weights (V, 24) and let the row sum to 1 again."""
    cut = np.sort(weights, 1)[:, -k][:, None]
    weights = np.where(weights >= np.maximum(cut, 1e-6), weights, 0)
    return weights / weights.sum(1, keepdims=True)
