"""The loss: Eq. 5 on random points and target vertices, and each vertex's own neighbourhood and way."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lvd_live.lvd.features import CropFeatures
from lvd_live.lvd.field import Field, soft_clip


@dataclass(frozen=True)
class LossOptions:
    """uniform, near: points a picture in the volume and near the surface. targets: random target vertices a step. own: random vertices a step asked about themselves.

    own_weight: what their term counts. underway: the share of them asked around where one iteration takes them. Spreads (log-uniform, half crops): near-surface points lie down to
    millimetres from it. Own starts must be far more often than near: where most are near, the best guess of a network in doubt is that the vertex already stands where it belongs, and
    descent stops where it started. Those underway lie around the network's own guess instead, and say less about the truth: the best answer is to be one and the same place from all
    of them, where descent comes to rest.
    """

    uniform: int = 32
    near: int = 64
    targets: int = 256
    own: int = 512
    own_weight: float = 2.0
    underway: float = 0.5
    spread: tuple[float, float] = (0.002, 0.15)
    own_spread: tuple[float, float] = (0.04, 0.4)
    underway_spread: tuple[float, float] = (0.01, 0.2)
    together: tuple[float, float] = (0.003, 0.15)


def log_uniform(shape: tuple[int, ...], bounds: tuple[float, float], device: torch.device) -> torch.Tensor:
    low, high = torch.tensor(bounds).log().tolist()
    return torch.empty(shape, device=device).uniform_(low, high).exp()


def clipped_displacement(field: Field, target: torch.Tensor, start: torch.Tensor, clip: float) -> torch.Tensor:
    """What the head ought to say: target − start, clipped component-wise at `clip` half crops, the way the head itself clips if it does."""
    return (target - start).clamp(-clip, clip) if field.clip is None else soft_clip(target - start, field.clip)


def descent_loss(
    field: Field,
    seen: CropFeatures,
    vertices: torch.Tensor,
    importance: torch.Tensor,
    clip: float,
    options: LossOptions,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two terms, in crop units: (Eq. 5, own neighbourhood).

    seen: the crops, vertices (B, K, 3) the truth, importance (K,): what each counts, mean 1. Displacements are clipped component-wise at `clip`.

    Eq. 5: from points x_i, uniform in the volume or near the surface, to a random subset of vertices, an unbiased estimate of the sum over all of them.
    Own: vertex j starts a random distance from where it belongs, sometimes together with all others (as a whole mesh that is late), and asks the diagonal alone, as descent does; some do so
    around where one iteration of descent, which is not differentiated, has taken them.
    """
    B, K, _ = vertices.shape
    device = vertices.device
    anywhere = torch.empty(B, options.uniform, 3, device=device).uniform_(-1.05, 1.05)
    on_surface = vertices[:, torch.randint(K, (options.near,), device=device)]
    near = on_surface + torch.randn_like(on_surface) * log_uniform((B, options.near, 1), options.spread, device)
    points = torch.cat([anywhere, near], 1)
    targets = torch.randint(K, (options.targets,), device=device)
    wanted = clipped_displacement(field, vertices[:, None, targets], points[:, :, None], clip)
    everyone = ((field(points, seen, targets) - wanted).abs() * importance[targets][:, None]).mean()

    own = torch.randint(K, (options.own,), device=device)
    there = vertices[:, own]
    together = torch.randn(B, 1, 3, device=device) * log_uniform((B, 1, 1), options.together, device)
    start = there + together + torch.randn_like(there) * log_uniform((B, len(own), 1), options.own_spread, device)
    underway = slice(round(options.underway * len(own)))
    with torch.no_grad():
        arrived = start[:, underway] + field.diagonal(start[:, underway], seen, own[underway])
    start[:, underway] = arrived + torch.randn_like(arrived) * log_uniform(
        (B, arrived.shape[1], 1), options.underway_spread, device
    )
    error = field.diagonal(start, seen, own) - clipped_displacement(field, there, start, clip)
    return everyone, (error.abs() * importance[own, None]).mean()
