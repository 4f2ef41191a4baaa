"""The network of the hand lifter, see `lift.hands`."""

from __future__ import annotations

import torch
from torch import nn

from lvd_live.lift.network import LEAST_LOG_SCALE, MOST_LOG_SCALE, Block

POINTS = 21
FEATURES = POINTS * 6 + 8  # see `hands.hand_features`
OUTPUTS = 5  # x, y, z; logarithms of the scale in the picture and in depth


class HandLiftNetwork(nn.Module):
    """Residual blocks on all that is known of a hand at once."""

    SIZES = "width", "blocks"

    def __init__(self, width: int = 56, blocks: int = 2):
        super().__init__()
        self.shape = {"width": width, "blocks": blocks}
        self.enter = nn.Linear(FEATURES, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.leave = nn.Linear(width, POINTS * OUTPUTS)
        with torch.no_grad():  # start from the landmarks as they are
            self.leave.weight.mul_(0.1)
            self.leave.bias.zero_()

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lift a batch, (B, FEATURES) as of `hands.hand_features`.

        Returns points (B, 21, 3), hand frame, and log_scale (B, 21, 2): of the Laplace distributions of x and y, and z.
        """
        out = self.leave(self.blocks(self.enter(features))).float().unflatten(1, (POINTS, OUTPUTS))
        points = features[:, : POINTS * 6].float().unflatten(1, (POINTS, 6))[..., :3] + out[..., :3]
        points = torch.cat([points[..., :2], points[..., 2:] - points[:, :1, 2:]], -1)
        return points, out[..., 3:].clamp(LEAST_LOG_SCALE, MOST_LOG_SCALE)
