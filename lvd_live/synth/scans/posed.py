"""Bodies and clouds of points in a pose: linear blend skinning, a few people at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from lvd_live.body.model import BodyModel, axis_angle_to_matrix, skin


@dataclass(frozen=True)
class Poser:
    """A body model, cut down to the vertices that are asked for.

    template : (V, 3), shapes : (V, 3, 20), weights : (V, 24). joints : (24, 3), joint_shapes : (24, 3, 20).
    """

    body: BodyModel
    template: torch.Tensor
    shapes: torch.Tensor
    weights: torch.Tensor
    joints: torch.Tensor
    joint_shapes: torch.Tensor

    @classmethod
    def of(cls, body: BodyModel, vertices: np.ndarray | None = None) -> Poser:
        """vertices : (V,), which ones; None: all."""
        rows = slice(None) if vertices is None else torch.from_numpy(np.asarray(vertices).astype(np.int64))
        joints = body.J_regressor @ body.v_template
        joint_shapes = torch.einsum("jn,ncb->jcb", body.J_regressor, body.shapedirs)
        return cls(body, body.v_template[rows], body.shapedirs[rows], body.weights[rows], joints, joint_shapes)

    def bones(self, betas: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        """T_posed_from_rest (B, 24, 3, 4), the pelvis at the origin. betas : (B, 20). pose : (B, 24, 3) axis-angle."""
        joints = self.joints + torch.einsum("jcb,nb->njc", self.joint_shapes, betas)
        bones = self.body.transforms(axis_angle_to_matrix(pose), joints)
        return torch.cat([bones[..., :3], bones[..., 3:] - joints[:, :1, :, None]], -1)

    def vertices(self, betas: torch.Tensor, bones: torch.Tensor) -> torch.Tensor:
        """The posed vertices (B, V, 3), metres. betas : (B, 20). bones : see `bones`."""
        rest = self.template + torch.einsum("vcb,nb->nvc", self.shapes, betas)
        return skin(self.weights, rest, bones)


def pose_points(points: torch.Tensor, joint: torch.Tensor, weight: torch.Tensor, bones: torch.Tensor) -> torch.Tensor:
    """Points (P, 3) of one person, rest pose, in a pose: (P, 3) float32.

    joint, weight : (P, 4) uint8, see `surfaces`. bones : (24, 3, 4), T_posed_from_rest.
    """
    T = F.embedding_bag(joint.int(), bones.flatten(1), per_sample_weights=weight.float() / 255, mode="sum")
    T = T.view(-1, 3, 4)
    return (T[..., :3] @ points.float()[..., None])[..., 0] + T[..., 3]
