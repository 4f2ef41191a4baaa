"""The loss: Eq. 5 on random points and target vertices, and each vertex's own neighbourhood and path."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lvd_live.lvd.features import Features
from lvd_live.lvd.field import Field, soft_clip


@dataclass(frozen=True)
class LossOptions:
    """How points are drawn; see `descent_loss`. Spreads are the bounds of log-uniform standard deviations, crop units.

    uniform, near : points a picture, in the volume and near the surface; spread : of the latter, down to millimetres.
    targets : random target vertices a step.
    own : random vertices a step that are asked about themselves. own_weight : of that term.
    own_spread : of their starts about where they belong. These must mostly be far: where most are near, the best guess
        of a network in doubt is that the vertex already stands where it belongs, and descent stops where it started.
    together : of a shift that all vertices of a sample share.
    underway : share of them that start where one iteration takes them; underway_spread : of their starts about that
        place. They lie around the network's own guess and say less about the truth: the best answer is the same place
        from all of them, where descent comes to rest.
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
    """Random numbers between the bounds, whose logarithms are uniform."""
    low, high = torch.tensor(bounds).log().tolist()
    return torch.empty(shape, device=device).uniform_(low, high).exp()


def clipped_displacement(field: Field, target: torch.Tensor, start: torch.Tensor, clip: float) -> torch.Tensor:
    """What the head should give: target − start, clipped component-wise at `clip` crop units.

    Clipped smoothly, as the head does it, where the head clips by itself.
    """
    return (target - start).clamp(-clip, clip) if field.clip is None else soft_clip(target - start, field.clip)


def descent_loss(
    field: Field,
    crop: Features,
    vertices: torch.Tensor,
    importance: torch.Tensor,
    clip: float,
    options: LossOptions,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two mean absolute errors, crop units.

    The first is Eq. 5: from points in the volume and near the surface to a random subset of the vertices, an unbiased
    estimate of the mean over all. The second asks the diagonal alone, as descent does: from `draw_starts` around a
    vertex to itself.

    vertices : (B, K, 3), crop frame, the truth. importance : (K,), what each vertex counts, mean 1.
    clip : crop units, see `clipped_displacement`.
    """
    K, device = vertices.shape[1], vertices.device
    points = draw_points(vertices, options)
    targets = torch.randint(K, (options.targets,), device=device)
    wanted = clipped_displacement(field, vertices[:, None, targets], points[:, :, None], clip)
    eq5 = ((field(points, crop, targets) - wanted).abs() * importance[targets][:, None]).mean()

    own = torch.randint(K, (options.own,), device=device)
    goal = vertices[:, own]
    start = draw_starts(field, crop, goal, own, options)
    error = field.diagonal(start, crop, own) - clipped_displacement(field, goal, start, clip)
    return eq5, (error.abs() * importance[own, None]).mean()


def draw_points(vertices: torch.Tensor, options: LossOptions) -> torch.Tensor:
    """Points (B, uniform + near, 3), crop frame: anywhere in the volume, then near the vertices (B, K, 3)."""
    (B, K, _), device = vertices.shape, vertices.device
    anywhere = torch.empty(B, options.uniform, 3, device=device).uniform_(-1.05, 1.05)
    on_surface = vertices[:, torch.randint(K, (options.near,), device=device)]
    near = on_surface + torch.randn_like(on_surface) * log_uniform((B, options.near, 1), options.spread, device)
    return torch.cat([anywhere, near], 1)


def draw_starts(
    field: Field, crop: Features, goal: torch.Tensor, own: torch.Tensor, options: LossOptions
) -> torch.Tensor:
    """Where vertices `own` (T,) start, (B, T, 3), crop frame: around their goals (B, T, 3), where they belong.

    Some start instead around where one iteration of descent, which is not differentiated, takes them from there.
    """
    (B, T, _), device = goal.shape, goal.device
    together = torch.randn(B, 1, 3, device=device) * log_uniform((B, 1, 1), options.together, device)
    start = goal + together + torch.randn_like(goal) * log_uniform((B, T, 1), options.own_spread, device)
    underway = slice(round(options.underway * T))
    with torch.no_grad():
        arrived = start[:, underway] + field.diagonal(start[:, underway], crop, own[underway])
    noise = torch.randn_like(arrived)
    start[:, underway] = arrived + noise * log_uniform((B, arrived.shape[1], 1), options.underway_spread, device)
    return start
