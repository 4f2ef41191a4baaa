"""The lifter: 2D landmarks of one frame to 3D landmarks with their uncertainty.

The person finder knows where landmarks lie in the picture, and less well how deep. A network that saw nothing but posed
bodies projected by cameras knows which depths are possible.

*Box frame*: x right, y up, origin at the middle of the landmarks' bounding box, half its longer side = 1; z, toward the
camera, is nearness from the hips' middle in the same unit: z = f (D − d) / D, with f the focal length in box units, D
the hips' distance along the optical axis and d the landmark's.
"""

from __future__ import annotations

import torch
from torch import nn

from lvd_live.person.sides import COUNTERPART

LANDMARKS = 33
PER_LANDMARK = 5  # x, y, depth as the finder has it, visibility, whether it lies in the picture
CAMERA = 4  # the box's middle as a ray (x, y), its half size as a ray, whether the field of view is known
OUTPUTS = 5  # x, y, z; logarithms of the scale in the picture and in depth
LEAST_LOG_SCALE, MOST_LOG_SCALE = -6.0, 1.5


class Block(nn.Module):
    """x + Linear(GELU(Linear(LayerNorm(x))))."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.first, self.second = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(nn.functional.gelu(self.first(self.norm(x))))


class LiftNetwork(nn.Module):
    """Residual blocks on all landmarks at once."""

    SIZES = "width", "blocks"

    def __init__(self, width: int = 512, blocks: int = 4):
        super().__init__()
        self.width = width
        self.shape = {"width": width, "blocks": blocks}
        self.enter = nn.Linear(LANDMARKS * PER_LANDMARK + CAMERA, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.leave = nn.Linear(width, LANDMARKS * OUTPUTS)
        with torch.no_grad():  # start from the landmarks as they are, in one plane
            self.leave.weight.mul_(0.1)
            self.leave.bias.zero_()

    def forward(self, landmarks: torch.Tensor, camera: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lift a batch.

        landmarks : (B, 33, 5), box frame: x, y, nearness as the finder has it (all 0: not known), visibility 0..1,
        1 where it lies in the picture. camera : (B, 4), see `lifter.inputs_of`.
        Returns points (B, 33, 3), box frame, and log_scale (B, 33, 2): of the Laplace distributions of x and y, and z.
        """
        return self.decode(self.encode(landmarks, camera), landmarks)

    def encode(self, landmarks: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
        """The features (B, width) from which the answer is read; see `forward` for the arguments."""
        return self.blocks(self.enter(torch.cat([landmarks.flatten(1), camera], 1)))

    def decode(self, features: torch.Tensor, landmarks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What `forward` returns, of what `encode` returned."""
        out = self.leave(features).float().unflatten(1, (LANDMARKS, OUTPUTS))
        depth = out[..., 2:3]
        points = torch.cat([landmarks[..., :2].float() + out[..., :2], depth - depth[:, [23, 24]].mean(1, True)], -1)
        return points, out[..., 3:].clamp(LEAST_LOG_SCALE, MOST_LOG_SCALE)


def symmetric(
    network: LiftNetwork, landmarks: torch.Tensor, camera: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Lift people and their mirror images, and take the means: a body's two sides can do the same.

    Returns the people's features (B, width), points (B, 33, 3) and log_scale (B, 33, 2); see `LiftNetwork`.
    """
    count, other = len(landmarks), list(COUNTERPART)
    mirrored = landmarks[:, other] * landmarks.new_tensor([-1, 1, 1, 1, 1])
    both = torch.cat([landmarks, mirrored])
    features = network.encode(both, torch.cat([camera, camera * camera.new_tensor([-1, 1, 1, 1])]))
    points, log_scale = network.decode(features, both)
    back = points[count:, other] * points.new_tensor([-1, 1, 1])
    points, log_scale = (points[:count] + back) / 2, (log_scale[:count] + log_scale[count:, other]) / 2
    return features[:count].float(), points, log_scale


def laplace_loss(points: torch.Tensor, log_scale: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of independent Laplace distributions, mean: points, truth (B, 33, 3), log_scale
    (B, 33, 2)."""
    scale = log_scale[..., [0, 0, 1]]
    return ((points - truth).abs() * torch.exp(-scale) + scale).mean()
