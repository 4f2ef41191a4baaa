"""The paper's baseline: a ResNet-18 (He et al. 2016) that reads pose, shape and camera off the picture in one pass, and a skinned body made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from lvd_live.body.model import BodyModel, axis_angle_to_matrix
from lvd_live.errors import UserError
from lvd_live.evaluate.descent import COUNT, mean_aligned
from lvd_live.evaluate.held_out import EvalBatch, sights
from lvd_live.lvd.network import LANDMARKS, network_input
from lvd_live.synth.dataset import Shards
from lvd_live.train.batches import Batch
from lvd_live.train.loop import Task, TrainingOptions

BETAS = 20
POSE_WEIGHT, SHAPE_WEIGHT = 0.05, 0.01  # of the loss on parameters, beside that on vertices


class Residual(nn.Module):
    """ResNet's basic block: two 3×3 convolutions and the input, brought to the same shape, added."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out)
        self.second, self.norm2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out)
        self.shortcut = (
            nn.Identity()
            if c_in == c_out
            else nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.shortcut(x) + self.norm2(self.second(F.relu(self.norm1(self.first(x))))))


class ResNet18(nn.Sequential):
    """Picture (B, c_in, S, S) -> (B, 512)."""

    def __init__(self, c_in: int):
        widths = (64, 64, 128, 256, 512)
        stages = [
            block
            for a, b in zip(widths, widths[1:], strict=False)
            for block in (Residual(a, b, 1 if a == b else 2), Residual(b, b, 1))
        ]
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
    """Picture and landmarks -> the control vertices of a posed body, by its parameters.

    The camera is weak perspective: scale (half crops per metre) and where the pelvis stands in the crop. Rotations are 6D (Zhou et al. 2019).
    """

    size = 128  # pixels: of the crops it learns from
    skin, transforms = BodyModel.skin, BodyModel.transforms  # on the control vertices

    def __init__(self, body: BodyModel, control: torch.Tensor, columns: torch.Tensor, mix: torch.Tensor):
        super().__init__()
        self.backbone = ResNet18(4)
        self.head = nn.Sequential(
            nn.Linear(512 + 4 * len(LANDMARKS), 512), nn.ReLU(inplace=True), nn.Linear(512, 24 * 6 + BETAS + 3)
        )
        self.parents = body.parents
        joints, joint_dirs = (
            body.J_regressor @ body.v_template,
            torch.einsum("jn,ncb->jcb", body.J_regressor, body.shapedirs[..., :BETAS]),
        )
        for name, value in (
            ("v_template", body.v_template[control]),
            ("shapedirs", body.shapedirs[control][..., :BETAS]),
            ("weights", body.weights[control]),
            ("joints", joints),
            ("joint_dirs", joint_dirs),
            ("columns", columns),
            ("mix", mix),
        ):
            self.register_buffer(name, value, persistent=False)
        with torch.no_grad():  # start from the T-pose that fills the crop
            self.head[-1].weight.mul_(0.1)
            self.head[-1].bias.copy_(
                torch.cat(
                    [torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(24), torch.zeros(BETAS), torch.tensor([0.9, 0, 0])]
                )
            )

    def forward(
        self, picture: torch.Tensor, landmarks: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """picture (B, 4, S, S) from `network_input`, landmarks (B, L, 4) or None -> vertices (B, K, 3) crop frame, rotations (B, 24, 3, 3), betas (B, 20)."""
        told = (
            picture.new_zeros(len(picture), 4 * len(LANDMARKS))
            if landmarks is None
            else torch.cat([landmarks[..., :3] * landmarks[..., 3:], landmarks[..., 3:]], -1).flatten(1)
        )
        out = self.head(torch.cat([self.backbone(picture), told.to(picture.dtype)], 1)).float()
        sixes, betas, scale, shift = out.split((24 * 6, BETAS, 1, 2), 1)
        rotations = from_six(sixes.unflatten(1, (24, 6)))
        with torch.autocast(out.device.type, enabled=False):
            rest = self.v_template + torch.einsum("ncb,kb->knc", self.shapedirs, betas)
            joints = self.joints + torch.einsum("jcb,kb->kjc", self.joint_dirs, betas)
            posed = self.skin(rest, self.transforms(rotations, joints)) - joints[:, :1]
        return F.pad(shift, (0, 1))[:, None] + scale[..., None] * posed, rotations, betas

    def dense(self, vertices: torch.Tensor) -> torch.Tensor:
        """The body's vertices (B, N, 3) from the control vertices (B, K, 3)."""
        return (vertices[:, self.columns] * self.mix[..., None]).sum(2)


def from_six(six: torch.Tensor) -> torch.Tensor:
    """(..., 6), a rotation's first two columns, roughly -> (..., 3, 3), by Gram-Schmidt."""
    x = F.normalize(six[..., :3], dim=-1)
    y = F.normalize(six[..., 3:] - (x * six[..., 3:]).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


def learn_to_regress(
    network: Regressor, batch: Batch, importance: torch.Tensor, options: TrainingOptions
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two terms: (parameters, vertices), the latter in half crops as in `descent_loss`. The root's rotation has its say through the vertices: the crop may have been turned."""
    vertices, rotations, betas = network(network_input(batch.picture, batch.mask), batch.landmarks)
    pose = (rotations[:, 1:] - axis_angle_to_matrix(batch.pose)[:, 1:]).abs().mean()
    shape = (betas - batch.betas).abs().mean()
    return POSE_WEIGHT * pose + SHAPE_WEIGHT * shape, ((vertices - batch.vertices).abs() * importance[:, None]).mean()


@torch.no_grad()
def validate_regression(network: Regressor, held_out: Shards, size: int) -> dict[str, list[float]]:
    """As `validate_descent`, of the one pass there is."""
    return {
        told: [
            float(
                np.concatenate(
                    [
                        mean_aligned(s, regress(network, s))
                        for s in sights(held_out, size, conditioning=told, count=COUNT)
                    ]
                ).mean()
            )
        ]
        for told in ("all", "picture")
    }


@torch.no_grad()
def regress(network: Regressor, sight: EvalBatch) -> torch.Tensor:
    """Control vertices (n, K, 3), crop frame."""
    device = next(network.parameters()).device
    landmarks = None if sight.landmarks is None else torch.from_numpy(sight.landmarks[:, list(LANDMARKS)]).to(device)
    return network(
        network_input(torch.from_numpy(sight.picture).to(device), torch.from_numpy(sight.mask).to(device)), landmarks
    )[0]


REGRESSION = Task(learn_to_regress, validate_regression)


def load_baseline(
    path: Path, body: BodyModel, control: torch.Tensor, columns: torch.Tensor, mix: torch.Tensor
) -> Regressor:
    """A trained baseline, in evaluation mode. UserError where the file holds none."""
    network = Regressor(body, control, columns, mix)
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError):
        raise UserError(
            f"{path} does not hold the baseline's weights; train them with `python -m lvd_live train --baseline`."
        ) from None
    return network.eval()
