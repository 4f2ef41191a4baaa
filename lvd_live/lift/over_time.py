"""The lifter over time: how much of its neighbours' answers belongs into a frame's.

Each frame is lifted on its own (`network`). This network sees the answers of a frame and of its neighbours, and says
for every landmark what share of each neighbour's difference is to be added, and how sure it is then. Neighbours are the
four frames before, those nearest to some longer times before, and, where there is time to wait for them, the four
after. A neighbour that there is not counts nothing: a frame on its own stays as it is.
"""

from __future__ import annotations

import torch
from torch import nn

from lvd_live.lift.network import LANDMARKS, LEAST_LOG_SCALE, MOST_LOG_SCALE, OUTPUTS, Block

NEXT = 4  # frames before and after
FARTHER = (0.2, 0.4, 0.8)  # seconds before
NEAR = 0.3  # of such a time: a frame farther from it does not stand for it
BEFORE = NEXT + len(FARTHER)
NEIGHBOURS = BEFORE + NEXT  # nearest first: frames before, times before, frames after
TRUNK = [11, 12, 23, 24]  # landmarks whose middle neighbours are brought onto
PER_NEIGHBOUR = LANDMARKS * 3 + 3  # differences of the answers; time, twice; presence


class TimeNetwork(nn.Module):
    """See the module. features : the width of `LiftNetwork`."""

    SIZES = "features", "width", "blocks"

    def __init__(self, features: int = 384, width: int = 128, blocks: int = 2):
        super().__init__()
        self.shape = {"features": features, "width": width, "blocks": blocks}
        self.enter = nn.Linear(NEIGHBOURS * PER_NEIGHBOUR + features + LANDMARKS * OUTPUTS, width)
        self.norm = nn.LayerNorm(features)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.leave = nn.Linear(width, LANDMARKS * (2 + 2 * NEIGHBOURS))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(
        self,
        features: torch.Tensor,
        points: torch.Tensor,
        log_scale: torch.Tensor,
        moved: torch.Tensor,
        apart: torch.Tensor,
        there: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Points (B, 33, 3) and log_scale (B, 33, 2), as of `LiftNetwork`, corrected.

        features (B, width), points, log_scale : the frame's own, of `LiftNetwork`. moved (B, NEIGHBOURS, 33, 3) : see
        `differences`. apart (B, NEIGHBOURS) : seconds, positive: later. there (B, NEIGHBOURS) bool.
        """
        mask = there.float()
        moved = moved * mask[..., None, None]
        told = torch.stack([torch.tanh(10 * apart) * mask, torch.tanh(apart) * mask, mask], -1)
        x = torch.cat([5 * moved.flatten(2), told], -1).flatten(1)
        own = torch.cat([points, log_scale], -1).flatten(1)
        x = self.blocks(self.enter(torch.cat([x, self.norm(features), own], 1)))
        out = self.leave(x).float().unflatten(1, (LANDMARKS, 2 + 2 * NEIGHBOURS))
        shares = out[..., 2:].unflatten(-1, (NEIGHBOURS, 2))[..., [0, 0, 1]]  # of x and y, and of z
        points = points + torch.einsum("bkno,bnko->bko", shares, moved)
        z = points[..., 2:]
        points = torch.cat([points[..., :2], z - z[:, [23, 24]].mean(1, True)], -1)
        return points, (log_scale + out[..., :2]).clamp(LEAST_LOG_SCALE, MOST_LOG_SCALE)


def differences(answers: torch.Tensor, half: torch.Tensor, mine: torch.Tensor, own_half: torch.Tensor) -> torch.Tensor:
    """What neighbours' points (..., N, 33, 3), box frames, say beyond a frame's own, mine (..., 33, 3), in its unit.

    half (..., N), own_half (...) : half sizes of the boxes, one unit for all. Neighbours are brought onto the frame's
    middle of shoulders and hips, in the picture.
    """
    moved = answers * (half / own_half[..., None])[..., None, None] - mine[..., None, :, :]
    shift = moved[..., TRUNK, :].mean(-2, keepdim=True) * moved.new_tensor([1, 1, 0])
    return moved - shift


def neighbours(times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The neighbours of frames in their sequence, times (B, T) seconds, rising: which (B, T, NEIGHBOURS) int64, how far
    off in time, and whether they are there (bool)."""
    B, T = times.shape
    apart = times[:, None] - times[:, :, None]  # (B, of, T)
    rows, places, exist = torch.arange(T, device=times.device), [], []

    def at(steps: range) -> None:
        for step in steps:
            place = rows + step
            exist.append(((place >= 0) & (place < T)).expand(B, T))
            places.append(place.clamp(0, T - 1).expand(B, T))

    at(range(-1, -NEXT - 1, -1))
    for far in FARTHER:
        off, place = (apart + far).abs().min(-1)
        exist.append(off < NEAR * far)
        places.append(place)
    at(range(1, NEXT + 1))
    which = torch.stack(places, -1)
    return which, apart.gather(2, which), torch.stack(exist, -1)
