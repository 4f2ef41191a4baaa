"""A body in SMPL's file layout and its linear blend skinning, in torch: batched and differentiable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lvd_live.body.landmarks import landmark_regressor
from lvd_live.body.smpl_file import read_arrays
from lvd_live.errors import UserError

KEYS = {"v_template": 2, "shapedirs": 3, "J_regressor": 2, "weights": 2, "kintree_table": 2, "f": 2}
"""The arrays that a body file must hold, and their numbers of dimensions."""


class BodyModel(nn.Module):
    """SMPL's function: shape and pose to vertices (Loper et al. 2015, Eqs. 2-10).

    Buffers; metres, body frame (x to the person's left, y up, z forward):

    v_template : (N, 3).
    shapedirs : (N, 3, B) the shape components, for one standard deviation.
    posedirs : (207, N·3) the pose correctives, or None.
    J_regressor : (24, N) joints as mixes of vertices.
    weights : (N, 24) skin weights.
    faces : (M, 3) int64.
    part_labels : (N,) int64; the joint that moves a vertex most.
    landmarks : (33, N) BlazePose's landmarks as mixes of vertices.
    """

    v_template: torch.Tensor
    shapedirs: torch.Tensor
    posedirs: torch.Tensor | None
    J_regressor: torch.Tensor
    weights: torch.Tensor
    faces: torch.Tensor
    part_labels: torch.Tensor
    landmarks: torch.Tensor

    def __init__(self, arrays: dict[str, np.ndarray]):
        super().__init__()
        self._set_arrays(arrays)
        landmarks = arrays.get("landmarks")
        if landmarks is None:
            landmarks = landmark_regressor(arrays["v_template"], arrays["J_regressor"], self.part_labels.numpy())
        self.register_buffer("landmarks", torch.as_tensor(np.asarray(landmarks, np.float32)))

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Set what every model in SMPL's layout has, of any number of joints."""
        for name in ("v_template", "shapedirs", "J_regressor", "weights"):
            self.register_buffer(name, torch.as_tensor(np.asarray(arrays[name], np.float32)))
        posedirs, correctives = arrays.get("posedirs"), None
        if posedirs is not None and np.any(posedirs):
            rows = 9 * (len(arrays["J_regressor"]) - 1)
            correctives = torch.as_tensor(np.asarray(posedirs, np.float32)).reshape(-1, rows).T.contiguous()
        self.register_buffer("posedirs", correctives)
        self.register_buffer("faces", torch.as_tensor(np.asarray(arrays["f"], np.int64)))
        labels = arrays["part_labels"] if "part_labels" in arrays else arrays["weights"].argmax(1)
        self.register_buffer("part_labels", torch.as_tensor(np.asarray(labels, np.int64)))
        parents = np.asarray(arrays["kintree_table"])[0].astype(np.int64)
        parents[0] = -1
        self.parents: list[int] = parents.tolist()

    @classmethod
    def load(cls, path: str | Path) -> BodyModel:
        """Read a body file, `.npz` or SMPL's own `.pkl`; no code in it is run.

        Raises UserError when it is missing, unreadable, or not in SMPL's layout.
        """
        arrays = read_arrays(path, (*KEYS, "posedirs", "part_labels", "landmarks"))
        check_layout(arrays, path)
        try:
            return cls(arrays)
        except (ValueError, IndexError) as error:  # no head, hands or feet where landmarks are looked for
            raise UserError(
                f"{path} is not a body in SMPL's layout: its joints and mesh are not a person's."
            ) from error

    def shaped(self, betas: torch.Tensor) -> torch.Tensor:
        """Rest vertices (..., N, 3), metres, for shape coefficients (..., B' <= B)."""
        return self.v_template + torch.einsum("ncb,...b->...nc", self.shapedirs[..., : betas.shape[-1]], betas)

    def forward(
        self, betas: torch.Tensor, pose: torch.Tensor, transl: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vertices (B, N, 3) and joints (B, J, 3), metres, in the frame that the root's rotation leads to.

        betas : (B, K) shape coefficients.
        pose : (B, J, 3) axis-angle, radians, or (B, J, 3, 3) rotations; each relative to the joint's parent; J = 24.
        transl : (B, 3) metres.
        """
        rotations = axis_angle_to_matrix(pose) if pose.dim() == 3 else pose
        rest = self.shaped(betas)
        joints = torch.einsum("jn,bnc->bjc", self.J_regressor, rest)
        if self.posedirs is not None:
            offset = (rotations[:, 1:] - torch.eye(3, device=rest.device)).flatten(1)
            rest = rest + (offset @ self.posedirs).view_as(rest)
        T = self.transforms(rotations, joints)
        vertices = self.skin(rest, T)
        posed = (T[..., :3] @ joints[..., None])[..., 0] + T[..., 3]
        if transl is not None:
            vertices, posed = vertices + transl[:, None], posed + transl[:, None]
        return vertices, posed

    def skin(self, rest: torch.Tensor, T_posed_from_rest: torch.Tensor) -> torch.Tensor:
        """See `skin`."""
        return skin(self.weights, rest, T_posed_from_rest)

    def transforms(self, rotations: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
        """See `pose_transforms`."""
        return pose_transforms(self.parents, rotations, joints)


def skin(weights: torch.Tensor, rest: torch.Tensor, T_posed_from_rest: torch.Tensor) -> torch.Tensor:
    """Linear blend skinning: rest (B or 1, N, 3), T_posed_from_rest (B, J, 3, 4) -> vertices (B, N, 3), metres.

    weights : (N, J) skin weights.
    """
    blend = (weights @ T_posed_from_rest.flatten(2)).unflatten(-1, (3, 4))
    return (blend[..., :3] * rest[..., None, :]).sum(-1) + blend[..., 3]


def pose_transforms(parents: list[int], rotations: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
    """T_posed_from_rest (B, J, 3, 4) from local rotations (B, J, 3, 3) and rest joints (B, J, 3).

    parents : of the J joints, -1 for the root; each precedes its children.
    """
    turned, moved = [rotations[:, 0]], [joints[:, 0]]
    for j in range(1, len(parents)):
        p = parents[j]
        turned.append(turned[p] @ rotations[:, j])
        moved.append(moved[p] + (turned[p] @ (joints[:, j] - joints[:, p])[..., None])[..., 0])
    R, t = torch.stack(turned, 1), torch.stack(moved, 1)
    return torch.cat([R, (t - (R @ joints[..., None])[..., 0])[..., None]], -1)


def check_layout(arrays: dict[str, np.ndarray], path: str | Path) -> None:
    """Raise UserError, naming the file `path`, where its arrays are not a body in SMPL's layout."""
    refusal = f"{path} is not a body in SMPL's layout: "
    check_arrays(arrays, 24, refusal)
    n = len(arrays["v_template"])
    shapes = {"posedirs": (n, 3, 207), "part_labels": (n,), "landmarks": (33, n)}
    if any(arrays[k].shape[: len(shape)] != shape for k, shape in shapes.items() if k in arrays):
        raise UserError(f"{refusal}its arrays disagree about the number of vertices or joints.")
    height = float(np.ptp(arrays["v_template"][:, 1]))
    if not 0.05 < height < 5:
        raise UserError(f"{path} is {height:g} m tall: a body file is in metres.")


def check_arrays(arrays: dict[str, np.ndarray], joints: int, refusal: str) -> None:
    """Raise UserError, beginning with `refusal`, where arrays are not a model of so many joints in SMPL's layout."""
    missing = [k for k, ndim in KEYS.items() if k not in arrays or arrays[k].ndim != ndim]
    if missing:
        raise UserError(f"{refusal}{', '.join(missing)} missing or misshapen.")
    n, faces = len(arrays["v_template"]), arrays["f"]
    shapes: dict[str, tuple[int, ...]] = {"v_template": (n, 3), "shapedirs": (n, 3), "J_regressor": (joints, n)}
    shapes |= {"weights": (n, joints), "kintree_table": (2, joints), "f": (len(faces), 3)}
    shapes_agree = all(arrays[k].shape[: len(shape)] == shape for k, shape in shapes.items())
    if not (shapes_agree and faces.size and 0 <= faces.min() <= faces.max() < n):
        raise UserError(f"{refusal}its arrays disagree about the number of vertices or joints.")
    if any(array.dtype.kind == "b" for array in arrays.values()):
        raise UserError(f"{refusal}it holds truth values in place of numbers.")
    parents, weights = arrays["kintree_table"][0, 1:].astype(np.int64), arrays["weights"]
    is_tree = ((parents >= 0) & (parents < np.arange(1, joints))).all()
    if not is_tree or weights.min() < -1e-3 or np.abs(weights.sum(1, dtype=float) - 1).max() > 1e-2:
        raise UserError(f"{refusal}its joints are no tree, or its skin weights do not sum to 1.")


def axis_angle_to_matrix(axis_angle: torch.Tensor) -> torch.Tensor:
    """Rodrigues' formula: (..., 3) radians to rotations (..., 3, 3)."""
    angle = axis_angle.norm(dim=-1, keepdim=True).clamp_min(1e-8)
    x, y, z = (axis_angle / angle).unbind(-1)
    zero = torch.zeros_like(x)
    K = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    s, c = angle.sin()[..., None], angle.cos()[..., None]
    return torch.eye(3, dtype=K.dtype, device=K.device) + s * K + (1 - c) * (K @ K)
