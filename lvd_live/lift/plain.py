"""The lifter's networks in NumPy: the same numbers, to rounding, for the few people of a frame.

There a layer costs the call rather than the arithmetic, and PyTorch's calls cost several times NumPy's. What the
networks are, and how they are trained, `network` and `over_time` say.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from lvd_live.lift.network import LANDMARKS, LEAST_LOG_SCALE, MOST_LOG_SCALE, OUTPUTS, Block, LiftNetwork
from lvd_live.lift.over_time import FARTHER, NEAR, NEIGHBOURS, NEXT, TRUNK, TimeNetwork
from lvd_live.person.sides import COUNTERPART

OTHER = np.array(COUNTERPART)
_MIRROR = np.array([-1, 1, 1, 1, 1], np.float32)
_HALF = np.float32(0.5)
_STEPS = np.array([*range(-1, -NEXT - 1, -1), *range(1, NEXT + 1)])
_FARTHER = np.array(FARTHER, np.float32)[:, None]


class _Linear:
    """x (B, in) -> (B, out) float32, after the normalisation without weights where there is a norm, folded in."""

    def __init__(self, linear: nn.Linear, norm: nn.LayerNorm | None = None):
        weight, bias = linear.weight.detach().double(), linear.bias.detach().double()
        self.eps = None if norm is None else norm.eps
        if norm is not None:
            weight, bias = weight * norm.weight.detach(), bias + weight @ norm.bias.detach().double()
        self.weight = np.ascontiguousarray(weight.T.float().numpy())
        self.bias = bias.float().numpy()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x if self.eps is None else _normalised(x, self.eps)) @ self.weight + self.bias


class _Blocks:
    """Several of `network.Block`."""

    def __init__(self, blocks: nn.Sequential):
        kept = [block for block in blocks if isinstance(block, Block)]
        self.pairs = [(_Linear(block.first, block.norm), _Linear(block.second)) for block in kept]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        for first, second in self.pairs:
            y = first(x)
            x = x + second(torch.nn.functional.gelu(torch.from_numpy(y)).numpy())
        return x


class PlainLifter:
    """`network.symmetric` of one network."""

    def __init__(self, network: LiftNetwork):
        self.enter, self.blocks, self.leave = _Linear(network.enter), _Blocks(network.blocks), _Linear(network.leave)

    def __call__(self, landmarks: np.ndarray, camera: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """landmarks (B, 33, 5), camera (B, 4) float32: features (B, width), points (B, 33, 3), log_scale (B, 33, 2)."""
        count = len(landmarks)
        both = np.concatenate([landmarks, landmarks[:, OTHER] * _MIRROR])
        cameras = np.concatenate([camera, camera * _MIRROR[:4]])
        features = self.blocks(self.enter(np.concatenate([both.reshape(2 * count, -1), cameras], 1)))
        out = self.leave(features).reshape(-1, LANDMARKS, OUTPUTS)
        out[..., :2] += both[..., :2]
        out[..., 2] -= _hips(out[..., 2])
        log_scale = out[..., 3:].clip(LEAST_LOG_SCALE, MOST_LOG_SCALE)
        points = (out[:count, :, :3] + out[count:, OTHER, :3] * _MIRROR[:3]) * _HALF
        return features[:count], points, (log_scale[:count] + log_scale[count:, OTHER]) * _HALF


class PlainOverTime:
    """`over_time.TimeNetwork` of one frame."""

    def __init__(self, network: TimeNetwork):
        self.enter, self.blocks, self.leave = _Linear(network.enter), _Blocks(network.blocks), _Linear(network.leave)
        self.scale, self.shift = (x.detach().numpy() for x in (network.norm.weight, network.norm.bias))
        self.eps = network.norm.eps

    def __call__(
        self,
        features: np.ndarray,
        points: np.ndarray,
        log_scale: np.ndarray,
        moved: np.ndarray,
        apart: np.ndarray,
        there: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `TimeNetwork.forward`, without the leading axis: features (width,), points (33, 3), log_scale (33, 2),
        moved (NEIGHBOURS, 33, 3), apart and there (NEIGHBOURS,)."""
        mask = there.astype(np.float32)
        moved = moved * mask[:, None, None]
        told = np.stack([np.tanh(10 * apart) * mask, np.tanh(apart) * mask, mask], 1)
        x = np.concatenate([5 * moved.reshape(NEIGHBOURS, -1), told], 1).ravel()
        own = np.concatenate([points, log_scale], 1).ravel()
        known = _normalised(features, self.eps) * self.scale + self.shift
        x = self.blocks(self.enter(np.concatenate([x, known, own])))
        out = self.leave(x).reshape(LANDMARKS, 2 + 2 * NEIGHBOURS)
        shares = out[:, 2:].reshape(LANDMARKS, NEIGHBOURS, 2)[..., [0, 0, 1]]  # of x and y, and of z
        better = points + (shares * moved.transpose(1, 0, 2)).sum(1)
        better[:, 2] -= _hips(better[:, 2])
        return better, (log_scale + out[:, :2]).clip(LEAST_LOG_SCALE, MOST_LOG_SCALE)


def differences(answers: np.ndarray, half: np.ndarray, mine: np.ndarray, own_half: float) -> np.ndarray:
    """`over_time.differences` of one frame: answers (N, 33, 3), half (N,), mine (33, 3) -> (N, 33, 3)."""
    moved = answers * (half / own_half)[:, None, None] - mine
    moved[..., :2] -= moved[:, TRUNK, :2].mean(1, keepdims=True)
    return moved


def neighbours(seconds: np.ndarray, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`over_time.neighbours` of one frame of a sequence: seconds (T,) float32, rising, -> (NEIGHBOURS,) each."""
    apart, near = seconds - seconds[frame], frame + _STEPS
    off = np.abs(apart + _FARTHER)
    exist = (near >= 0) & (near < len(seconds))
    far, far_exist = off.argmin(1), off.min(1) < NEAR * _FARTHER[:, 0]
    near = near.clip(0, len(seconds) - 1)
    which = np.concatenate([near[:NEXT], far, near[NEXT:]])
    return which, apart[which], np.concatenate([exist[:NEXT], far_exist, exist[NEXT:]])


def _normalised(x: np.ndarray, eps: float) -> np.ndarray:
    """x (..., C) with mean 0 and variance 1."""
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(eps))


def _hips(z: np.ndarray) -> np.ndarray:
    """The depth (..., 1) of the hips' middle; z (..., 33)."""
    return (z[..., 23:24] + z[..., 24:25]) * _HALF
