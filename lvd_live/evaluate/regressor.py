"""The paper's baseline: pose, shape and camera regressed in one pass, and the skinned body that they describe.

The network is a ResNet-18 (He et al. 2016).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from lvd_live.body.model import BodyModel, pose_transforms, skin
from lvd_live.body.smpl_file import read_arrays
from lvd_live.errors import UserError
from lvd_live.evaluate.held_out import EvalBatch
from lvd_live.lvd.network import LANDMARKS

BETAS = 20
POSE = 24 * 6  # rotations as 6D (Zhou et al. 2019)


class Residual(nn.Module):
    """ResNet's basic block: two 3×3 convolutions and the input, brought to the same shape, added."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out)
        self.second, self.norm2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out)
        self.shortcut: nn.Module = nn.Identity()
        if c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.shortcut(x) + self.norm2(self.second(F.relu(self.norm1(self.first(x))))))


class ResNet18(nn.Sequential):
    """Picture (B, c_in, S, S) -> (B, 512)."""

    def __init__(self, c_in: int):
        stages: list[nn.Module] = []
        for narrow, wide in ((64, 64), (64, 128), (128, 256), (256, 512)):
            stages += [Residual(narrow, wide, 1 if narrow == wide else 2), Residual(wide, wide, 1)]
        super().__init__(
            nn.Conv2d(c_in, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
            *stages,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


class Regressor(nn.Module):
    """Picture and landmarks to the control vertices of a posed body, by its parameters.

    The camera is weak perspective: scale, in crop units per metre, and where the pelvis stands in the crop.

    control : (K,) int64, the body's vertices to give. columns, mix : see `network.LVD`.
    """

    size = 128  # pixels: of the crops it learns from
    v_template: torch.Tensor
    shapedirs: torch.Tensor
    weights: torch.Tensor
    joints: torch.Tensor
    joint_dirs: torch.Tensor
    columns: torch.Tensor
    mix: torch.Tensor

    def __init__(self, body: BodyModel, control: torch.Tensor, columns: torch.Tensor, mix: torch.Tensor):
        super().__init__()
        self.backbone = ResNet18(4)
        inner, outer = nn.Linear(512 + 4 * len(LANDMARKS), 512), nn.Linear(512, POSE + BETAS + 3)
        self.head = nn.Sequential(inner, nn.ReLU(inplace=True), outer)
        self.parents = body.parents
        buffers = {
            "v_template": body.v_template[control],
            "shapedirs": body.shapedirs[control][..., :BETAS],
            "weights": body.weights[control],
            "joints": body.J_regressor @ body.v_template,
            "joint_dirs": torch.einsum("jn,ncb->jcb", body.J_regressor, body.shapedirs[..., :BETAS]),
            "columns": columns,
            "mix": mix,
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)
        upright = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(24), torch.zeros(BETAS), torch.tensor([0.9, 0, 0])
        with torch.no_grad():  # start from the T-pose that fills the crop
            outer.weight.mul_(0.1)
            outer.bias.copy_(torch.cat(upright))

    def forward(
        self, picture: torch.Tensor, landmarks: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Vertices (B, K, 3), crop frame, rotations (B, 24, 3, 3) and betas (B, 20).

        picture : (B, 4, S, S), see `network_input`.
        landmarks : (B, L, 4: x, y, depth, confidence), crop frame, or None; those of `network.LANDMARKS`.
        """
        if landmarks is None:
            given = picture.new_zeros(len(picture), 4 * len(LANDMARKS))
        else:
            place, confidence = landmarks[..., :3], landmarks[..., 3:]
            given = torch.cat([place * confidence, confidence], -1).flatten(1)
        out = self.head(torch.cat([self.backbone(picture), given.to(picture.dtype)], 1)).float()
        pose, betas, scale, shift = out.split((POSE, BETAS, 1, 2), 1)
        rotations = rotations_from_6d(pose.unflatten(1, (24, 6)))
        with torch.autocast(out.device.type, enabled=False):
            rest = self.v_template + torch.einsum("ncb,kb->knc", self.shapedirs, betas)
            joints = self.joints + torch.einsum("jcb,kb->kjc", self.joint_dirs, betas)
            posed = skin(self.weights, rest, pose_transforms(self.parents, rotations, joints)) - joints[:, :1]
        return F.pad(shift, (0, 1))[:, None] + scale[..., None] * posed, rotations, betas

    def dense(self, vertices: torch.Tensor) -> torch.Tensor:
        """The body's vertices (B, N, 3) from the control vertices (B, K, 3)."""
        return (vertices[:, self.columns] * self.mix[..., None]).sum(2)


def rotations_from_6d(columns: torch.Tensor) -> torch.Tensor:
    """(..., 6), a rotation's first two columns, roughly, to rotations (..., 3, 3), by Gram-Schmidt."""
    x = F.normalize(columns[..., :3], dim=-1)
    y = F.normalize(columns[..., 3:] - (x * columns[..., 3:]).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


@torch.no_grad()
def regress(regressor: Regressor, batch: EvalBatch) -> torch.Tensor:
    """Control vertices (n, K, 3) of a batch, crop frame."""
    picture, landmarks, _ = batch.tensors(next(regressor.parameters()).device)
    return regressor(picture, landmarks)[0]


def new_regressor(models: Path) -> Regressor:
    """A fresh regressor of the bundled body's control vertices. models : the folder with body/lvd_body.npz."""
    path = models / "body" / "lvd_body.npz"
    arrays = read_arrays(path, ("control", "control_columns", "control_mix"))
    control, columns = (torch.from_numpy(arrays[name].astype(np.int64)) for name in ("control", "control_columns"))
    mix = torch.from_numpy(arrays["control_mix"].astype(np.float32))
    return Regressor(BodyModel.load(path), control, columns, mix)


def load_regressor(path: Path, models: Path) -> Regressor:
    """A trained regressor, in evaluation mode, see `new_regressor`. Raises UserError where `path` holds none."""
    regressor = new_regressor(models)
    try:
        regressor.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError):
        raise UserError(
            f"{path} does not hold the baseline's weights; train them with `python -m lvd_live train --baseline`."
        ) from None
    return regressor.eval()
