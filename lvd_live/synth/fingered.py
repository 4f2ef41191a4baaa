"""Synthetic people whose fingers are posed: their base mesh, and hands more or less closed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree

from lvd_live.body.fingers import BODY_JOINTS, FingerRig, FlatBody, blend, chained, finger_transforms
from lvd_live.body.hand_anatomy import FLEX, SPREAD, Angles, HandAnatomy
from lvd_live.body.model import BodyModel
from lvd_live.synth.base_mesh import BaseMesh


@dataclass(frozen=True)
class FingeredBase(BaseMesh):
    """The base mesh of one person, the fingers posed at rest."""

    rest: np.ndarray | None = None
    rest_joints: np.ndarray | None = None

    def shaped(self, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The person's own, whatever `betas`."""
        assert self.rest is not None and self.rest_joints is not None
        return self.rest, self.rest_joints


class Fingering:
    """Poses the fingers of the base mesh as those of the body."""

    def __init__(self, body: BodyModel, base: BaseMesh):
        self.body, self.base, self.rig = body, base, FingerRig(body)
        distance, near = cKDTree(body.v_template.numpy()).query(base.template, k=3)
        share = 1 / (distance + 1e-4)
        share /= share.sum(1, keepdims=True)
        self.weights = np.einsum("vk,vkj->vj", share, self.rig.weights[near])  # (V, 52), of the body's vertices around

    def rest(self, betas: np.ndarray) -> np.ndarray:
        """The body's rest vertices (N, 3), metres, of a shape (20,)."""
        return self.body.shaped(torch.from_numpy(betas)).numpy().astype(float)

    def base_of(self, betas: np.ndarray, rest: np.ndarray, fingers: np.ndarray) -> FingeredBase:
        """The base mesh of a shape (20,), whose body at rest is `rest`, with finger rotations (30, 3, 3)."""
        T_flat, joints = self.rig.flattening(rest)
        local = np.tile(np.eye(3), (52, 1, 1))
        local[BODY_JOINTS:] = fingers
        T_posed = finger_transforms(chained(local), joints)
        base_rest, base_joints = self.base.shaped(betas)
        base_rest = blend(self.weights, T_posed, blend(self.weights, T_flat, base_rest.astype(float)))
        fields = {name: getattr(self.base, name) for name in BaseMesh.__dataclass_fields__}
        return FingeredBase(**fields, rest=base_rest.astype(np.float32), rest_joints=base_joints)


def random_fingers(flat: FlatBody, rng: np.random.Generator) -> np.ndarray:
    """Random finger rotations (30, 3, 3): each hand more or less closed, each finger a little on its own."""
    out = []
    for side in (0, 1):
        anatomy = HandAnatomy.of(flat, side)
        closed = rng.beta(0.7, 0.9) if rng.random() < 0.8 else 0.0
        each = np.clip(closed + rng.normal(0, 0.15, 4) + rng.choice([0.0, -0.6], 4, p=[0.8, 0.2]), 0, 1)
        flex = each[:, None] * (0.85 * FLEX[..., 1]) + rng.normal(0, 0.08, (4, 3))
        spread = rng.normal(0, SPREAD / 3, 4)
        thumb = anatomy.axes[4, 0] * rng.uniform(-0.2, 0.5) + rng.normal(0, 0.15, 3)
        angles = Angles(flex, spread, thumb, rng.uniform(0, 1, 2) * (0.7, 0.9)).limited()
        out.append(anatomy.rotations(angles))
    return np.concatenate(out)
