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


class BodyModel(nn.Module):
    """SMPL's function: shape and pose to vertices (Loper et al. 2015, Eqs. 2-10).

    Buffers, metres, body frame (x to the person's left, y up, z forward): v_template (N, 3), shapedirs (N, 3, B), posedirs (207, N·3) or None, J_regressor (24, N),
    weights (N, 24), faces (M, 3) int64, part_labels (N,) int64 (the joint that moves a vertex most), landmarks (33, N) (BlazePose's, as mixes of vertices).
    """

    def __init__(self, arrays: dict[str, np.ndarray]):
        super().__init__()
        tensor = {
            k: torch.as_tensor(np.asarray(v, np.float32))
            for k, v in arrays.items()
            if k in ("v_template", "shapedirs", "J_regressor", "weights")
        }
        for name, value in tensor.items():
            self.register_buffer(name, value)
        posedirs = arrays.get("posedirs")
        has_correctives = posedirs is not None and np.any(posedirs)
        self.register_buffer(
            "posedirs",
            torch.as_tensor(np.asarray(posedirs, np.float32)).reshape(-1, 207).T.contiguous()
            if has_correctives
            else None,
        )
        self.register_buffer("faces", torch.as_tensor(np.asarray(arrays["f"], np.int64)))
        labels = arrays["part_labels"] if "part_labels" in arrays else arrays["weights"].argmax(1)
        self.register_buffer("part_labels", torch.as_tensor(np.asarray(labels, np.int64)))
        landmarks = (
            arrays["landmarks"]
            if "landmarks" in arrays
            else landmark_regressor(arrays["v_template"], arrays["J_regressor"], labels)
        )
        self.register_buffer("landmarks", torch.as_tensor(np.asarray(landmarks, np.float32)))
        parents = np.asarray(arrays["kintree_table"])[0].astype(np.int64)
        parents[0] = -1
        self.parents: list[int] = parents.tolist()

    @classmethod
    def load(cls, path: str | Path) -> BodyModel:
        """Read a body file, `.npz` or SMPL's own `.pkl` (nothing in it is run). UserError when it is missing, unreadable, or not in SMPL's layout."""
        arrays = read_arrays(path, (*KEYS, "posedirs", "part_labels", "landmarks"))
        missing = [k for k, ndim in KEYS.items() if k not in arrays or arrays[k].ndim != ndim]
        if missing:
            raise UserError(f"{path} is not a body in SMPL's layout: {', '.join(missing)} missing or misshapen.")
        n = len(arrays["v_template"])
        shapes = {"shapedirs": (n, 3), "J_regressor": (24, n), "weights": (n, 24), "kintree_table": (2, 24)}
        if (
            any(arrays[k].shape[: len(s)] != s for k, s in shapes.items())
            or not arrays["f"].size
            or not 0 <= arrays["f"].min() <= arrays["f"].max() < n
        ):
            raise UserError(
                f"{path} is not a body in SMPL's layout: its arrays disagree about the number of vertices or joints."
            )
        parents, weights = arrays["kintree_table"][0, 1:].astype(np.int64), arrays["weights"]
        if (
            not ((parents >= 0) & (parents < np.arange(1, 24))).all()
            or weights.min() < -1e-3
            or np.abs(weights.sum(1) - 1).max() > 1e-2
        ):
            raise UserError(
                f"{path} is not a body in SMPL's layout: its joints are no tree, or its skin weights do not sum to 1."
            )
        height = float(np.ptp(arrays["v_template"][:, 1]))
        if not 0.05 < height < 5:
            raise UserError(f"{path} is {height:g} m tall: a body file is in metres.")
        return cls(arrays)

    def shaped(self, betas: torch.Tensor) -> torch.Tensor:
        """Rest vertices (..., N, 3), metres, for shape coefficients (..., B' <= B)."""
        return self.v_template + torch.einsum("ncb,...b->...nc", self.shapedirs[..., : betas.shape[-1]], betas)

    def forward(
        self, betas: torch.Tensor, pose: torch.Tensor, transl: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """betas (B, K), pose (B, 24, 3) axis-angle in radians or (B, 24, 3, 3) rotations, each relative to its parent, transl (B, 3) metres.

        Returns vertices (B, N, 3) and joints (B, 24, 3), metres, in the frame that the root rotation turns the body frame into.
        """
        rotations = axis_angle_to_matrix(pose) if pose.shape[-2:] == (24, 3) else pose
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
        """Linear blend skinning: rest (B or 1, N, 3), T_posed_from_rest (B, 24, 3, 4) -> vertices (B, N, 3), metres."""
        blend = (self.weights @ T_posed_from_rest.flatten(2)).unflatten(-1, (3, 4))
        return (blend[..., :3] * rest[..., None, :]).sum(-1) + blend[..., 3]

    def transforms(self, rotations: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
        """T_posed_from_rest (B, 24, 3, 4) from local rotations (B, 24, 3, 3) and rest joints (B, 24, 3)."""
        R, t = [rotations[:, 0]], [joints[:, 0]]
        for j in range(1, 24):
            p = self.parents[j]
            R.append(R[p] @ rotations[:, j])
            t.append(t[p] + (R[p] @ (joints[:, j] - joints[:, p])[..., None])[..., 0])
        R, t = torch.stack(R, 1), torch.stack(t, 1)
        return torch.cat([R, (t - (R @ joints[..., None])[..., 0])[..., None]], -1)


def axis_angle_to_matrix(axis_angle: torch.Tensor) -> torch.Tensor:
    """Rodrigues' formula: (..., 3) radians to rotations (..., 3, 3)."""
    angle = axis_angle.norm(dim=-1, keepdim=True).clamp_min(1e-8)
    x, y, z = (axis_angle / angle).unbind(-1)
    zero = torch.zeros_like(x)
    K = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    s, c = angle.sin()[..., None], angle.cos()[..., None]
    return torch.eye(3, dtype=K.dtype, device=K.device) + s * K + (1 - c) * (K @ K)
