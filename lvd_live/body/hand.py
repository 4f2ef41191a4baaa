"""Hands in MANO's file layout: the open one that ships, or the user's own MANO file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lvd_live.body.hand_pose import sample_poses
from lvd_live.body.hand_rig import HAND_JOINT, Side
from lvd_live.body.model import KEYS, BodyModel, axis_angle_to_matrix, skin
from lvd_live.body.smpl_file import read_arrays
from lvd_live.errors import UserError
from lvd_live.paths import MODELS

HANDS = MODELS / "hand"
N_JOINTS = 16
EXTENT = (0.03, 1.0)  # metres: what a hand in its file may measure
MIRROR = np.array([-1.0, 1.0, 1.0], np.float32)


class HandModel(BodyModel):
    """MANO's function (Romero et al. 2017): a body model of 16 joints (`hand_rig`), here without landmarks.

    Buffers as `BodyModel` has them, with K = 16 and posedirs (135, N·3). Metres; axes of the hand frame.

    side : which hand it is.
    """

    side: Side

    def __init__(self, arrays: dict[str, np.ndarray]):
        nn.Module.__init__(self)
        for name in ("v_template", "shapedirs", "J_regressor", "weights"):
            self.register_buffer(name, torch.as_tensor(np.asarray(arrays[name], np.float32)))
        self.weights = self.weights / self.weights.sum(1, keepdim=True)  # half precision rounds them
        posedirs, correctives = arrays.get("posedirs"), None
        if posedirs is not None and np.any(posedirs):
            correctives = torch.as_tensor(np.asarray(posedirs, np.float32)).reshape(-1, 9 * (N_JOINTS - 1)).T
        self.register_buffer("posedirs", None if correctives is None else correctives.contiguous())
        self.register_buffer("faces", torch.as_tensor(np.asarray(arrays["f"], np.int64)))
        self.register_buffer("part_labels", self.weights.argmax(1))
        parents = np.asarray(arrays["kintree_table"])[0].astype(np.int64)
        parents[0] = -1
        self.parents: list[int] = parents.tolist()
        joints = self.J_regressor @ self.v_template
        self.side = "left" if joints[HAND_JOINT["middle1"], 0] > joints[0, 0] else "right"

    @classmethod
    def load(cls, path: str | Path) -> HandModel:
        """Read a hand's file, `.npz` or MANO's own `.pkl`; no code in it is run.

        Raises UserError when it is missing, unreadable, or not in MANO's layout.
        """
        arrays = read_arrays(path, (*KEYS, "posedirs"))
        check_hand_layout(arrays, path)
        return cls(arrays)

    @classmethod
    def default(cls, side: Side = "right") -> HandModel:
        """The hand that ships. Raises UserError where its file is missing."""
        return cls.load(HANDS / f"{side}.npz")

    def forward(
        self, betas: torch.Tensor, pose: torch.Tensor, transl: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vertices (B, N, 3) and joints (B, 16, 3), metres.

        betas : (B, K) shape coefficients.
        pose : (B, 16, 3) axis-angle, radians, or (B, 16, 3, 3) rotations; each relative to the joint's parent.
        transl : (B, 3) metres.
        """
        rotations = axis_angle_to_matrix(pose) if pose.dim() == 3 else pose
        rest = self.shaped(betas)
        joints = torch.einsum("jn,bnc->bjc", self.J_regressor, rest)
        if self.posedirs is not None:
            offset = (rotations[:, 1:] - torch.eye(3, device=rest.device)).flatten(1)
            rest = rest + (offset @ self.posedirs).view_as(rest)
        T = self.transforms(rotations, joints)
        posed = (T[..., :3] @ joints[..., None])[..., 0] + T[..., 3]
        moved = torch.zeros_like(joints[:, :1]) if transl is None else transl[:, None]
        return skin(self.weights, rest, T) + moved, posed + moved

    def transforms(self, rotations: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
        """T_posed_from_rest (B, 16, 3, 4) from local rotations (B, 16, 3, 3) and rest joints (B, 16, 3)."""
        turned, at = [rotations[:, 0]], [joints[:, 0]]
        for j in range(1, N_JOINTS):
            p = self.parents[j]
            turned.append(turned[p] @ rotations[:, j])
            at.append(at[p] + (turned[p] @ (joints[:, j] - joints[:, p])[..., None])[..., 0])
        R, t = torch.stack(turned, 1), torch.stack(at, 1)
        return torch.cat([R, (t - (R @ joints[..., None])[..., 0])[..., None]], -1)

    def arrays(self) -> dict[str, np.ndarray]:
        """The file's arrays, float32."""
        found: dict[str, np.ndarray] = {
            name: getattr(self, name).numpy() for name in ("v_template", "shapedirs", "J_regressor", "weights")
        }
        found["f"] = self.faces.numpy()
        found["kintree_table"] = np.stack([np.array(self.parents), np.arange(N_JOINTS)])
        if self.posedirs is not None:
            found["posedirs"] = self.posedirs.T.reshape(len(self.v_template), 3, -1).numpy()
        return found

    def mirrored(self) -> HandModel:
        """The other hand, with the same vertices, shapes and triangles the other way round."""
        flip = torch.from_numpy(MIRROR)
        found = self.arrays()
        found["v_template"] = found["v_template"] * MIRROR
        found["shapedirs"] = found["shapedirs"] * MIRROR[:, None]
        found["f"] = self.faces.flip(1).numpy()
        if self.posedirs is not None:  # of a rotation's matrix R, mirrored, the element ab is m_a m_b R_ab
            signs = torch.outer(flip, flip).flatten().repeat(N_JOINTS - 1).numpy()
            found["posedirs"] = found["posedirs"] * signs * MIRROR[:, None]
        return HandModel(found)

    def sampled_poses(self, count: int = 1_500, seed: int = 0) -> np.ndarray:
        """Poses (count, 16, 3) axis-angle that a hand takes (`hand_pose`), the wrist's zero, always the same ones."""
        joints = (self.J_regressor @ self.v_template).numpy()
        return np.pad(sample_poses(np.random.default_rng(seed), joints, count), ((0, 0), (1, 0), (0, 0)))


def mirrored_pose(pose: np.ndarray) -> np.ndarray:
    """Axis-angle (..., 3) of one hand's joints as the other hand's, in its own frame."""
    return pose * np.array([1.0, -1.0, -1.0])


def check_hand_layout(arrays: dict[str, np.ndarray], path: str | Path) -> None:
    """Raise UserError, naming the file `path`, where its arrays are not a hand in MANO's layout."""
    refusal = f"{path} is not a hand in MANO's layout: "
    missing = [k for k, ndim in KEYS.items() if k not in arrays or arrays[k].ndim != ndim]
    if missing:
        raise UserError(f"{refusal}{', '.join(missing)} missing or misshapen.")
    n, faces, K = len(arrays["v_template"]), arrays["f"], N_JOINTS
    shapes = {"shapedirs": (n, 3), "J_regressor": (K, n), "weights": (n, K), "kintree_table": (2, K)}
    if arrays["weights"].shape[1:] in ((24,), (52,), (55,)):
        raise UserError(f"{refusal}it has {arrays['weights'].shape[1]} joints, a whole body's.")
    shapes_agree = all(arrays[name].shape[: len(shape)] == shape for name, shape in shapes.items())
    if not (shapes_agree and faces.size and 0 <= faces.min() <= faces.max() < n):
        raise UserError(f"{refusal}its arrays disagree about the number of vertices or joints.")
    parents, weights = arrays["kintree_table"][0, 1:].astype(np.int64), arrays["weights"]
    is_tree = ((parents >= 0) & (parents < np.arange(1, K))).all()
    if not is_tree or weights.min() < -1e-3 or np.abs(weights.sum(1, dtype=float) - 1).max() > 1e-2:
        raise UserError(f"{refusal}its joints are no tree, or its skin weights do not sum to 1.")
    extent = float(np.ptp(arrays["v_template"].astype(float), axis=0).max())
    if not EXTENT[0] < extent < EXTENT[1]:
        raise UserError(f"{path} is {extent:g} m long: a hand's file is in metres.")
