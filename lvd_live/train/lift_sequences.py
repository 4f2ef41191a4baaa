"""Sequences for the lifter over time: one person in motion before one camera, made in the batch, without a picture.

A motion is a stretch of a recorded clip, or leads from pose to pose of those that `lift_samples` draws. The finder errs
as it does from frame to frame: half of its error lasts, half drifts within tenths of a second, and some is noise of
each frame; a limb mistaken and sides exchanged stay so for a while. Measured on four_views (60 frames a second): errors
of 2 % of half the box last, 2 % drift (autocorrelation 0.6 after four frames), 0.5 % are noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lvd_live.lift.lifter import EXCHANGED, MOST_NEARNESS
from lvd_live.lift.network import LANDMARKS
from lvd_live.synth.pose_variation import MIRROR
from lvd_live.train.lift_noise import (
    FAR,
    FROM_OBSERVED,
    LIMBS,
    NO_DEPTH,
    Noise,
    facing_of,
    nearness_of,
)
from lvd_live.train.lift_samples import FOCAL_ERROR, FRESH, KNOWN, KNOWN_ERROR, WEBCAMS, Film, LiftSamples
from lvd_live.train.motion_clips import Clips, about_y, between, multiplied, to_matrix, to_quaternion

FRAMES = 32
FROM_CLIPS, LEGS_FROM_POOL = 0.55, 0.25
KEYS = 12  # poses that a made motion leads through
KNOTS = 160  # of the drifting errors
LEGS = [1, 2, 4, 5, 7, 8, 10, 11]
GROUPS = ([13, 16, 18, 20, 22], [14, 17, 19, 21, 23], LEGS, [3, 6, 9, 12, 15])
CHANGED = 0.55, 0.55, 0.2, 0.3  # share of the steps in which each group goes on to another pose
MISTAKEN, SWAPPED = 0.06, 0.06  # share of the sequences in which a limb is, the sides are, mistaken for a while


@dataclass
class SequenceBatch:
    """landmarks (B, T, 33, 5), camera (B, T, 4), truth (B, T, 33, 3): see `LiftNetwork`. times (B, T) seconds.
    lifted : features, points and log_scale of the single-frame lifter, once they are known, see `over_time.single`."""

    landmarks: torch.Tensor
    camera: torch.Tensor
    truth: torch.Tensor
    times: torch.Tensor
    lifted: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None


class LiftSequences(LiftSamples):
    """Endless batches of sequences. See `LiftSamples`."""

    def __init__(self, models: Path, noise: Noise, *, held_out: bool = False, seed: int = 0):
        super().__init__(models, noise, held_out=held_out, seed=seed)
        self._clips = Clips(models, held_out=held_out, device=self.device)
        self._mirror = torch.from_numpy(MIRROR).to(self.device)

    def draw_sequences(self, count: int) -> SequenceBatch:
        """`count` sequences of FRAMES frames."""
        self._refresh(FRESH)
        times = self._times(count)
        rotations = to_matrix(self._motion(times))
        T = times.shape[1]
        body = self.pose_landmarks(self.shapes(count).repeat_interleave(T, 0), rotations.flatten(0, 1))
        film = self.follow(body.unflatten(0, (count, T)), times)
        return self.boxes(film, self._seen(film, times), times)

    def _times(self, B: int) -> torch.Tensor:
        """(B, FRAMES) seconds, rising: of videos of 8 to 60 frames a second, some frames lost."""
        step = torch.exp(-np.log(60) + self.noise.uniform(B, 1) * np.log(7.5))
        lost = 1 + (self.noise.uniform(B, FRAMES) < 0.05) * (3 * self.noise.uniform(B, FRAMES)).ceil()
        return torch.cumsum(step * lost, 1)

    def _motion(self, times: torch.Tensor) -> torch.Tensor:
        """Quaternions (B, T, 24, 4): headings out of the root, but for the turns of recorded ones."""
        B, uniform = len(times), self.noise.uniform
        recorded = self._clips.draw(times, self.noise)
        forward = to_matrix(recorded[:, times.shape[1] // 2, 0])[..., 2]
        yaw = torch.atan2(forward[:, 0], forward[:, 2])
        back = torch.stack([torch.cos(yaw / 2), 0 * yaw, -torch.sin(yaw / 2), 0 * yaw], -1)
        recorded[:, :, 0] = multiplied(back[:, None], recorded[:, :, 0])
        made = self._made(times)
        legs = (uniform(B) < LEGS_FROM_POOL)[:, None, None, None]
        still = [0, *LEGS]
        recorded[:, :, still] = torch.where(legs, made[:, :, still], recorded[:, :, still])
        turned = to_quaternion(0.08 * self.noise.normal(B, 1, 24, 3) * uniform(B, 1, 1, 1))
        recorded = multiplied(recorded, turned)
        q = torch.where((uniform(B) < FROM_CLIPS)[:, None, None, None], recorded, made)
        other = q[:, :, self._mirror] * q.new_tensor([1, 1, -1, -1])
        return torch.where((uniform(B) < 0.5)[:, None, None, None], other, q)

    def _made(self, times: torch.Tensor) -> torch.Tensor:
        """From pose to pose, with rests: group by group of the joints to another pose or not."""
        B, uniform = len(times), self.noise.uniform
        keys = [to_quaternion(self.poses(B))]
        for _ in range(KEYS - 1):
            following, other = keys[-1].clone(), to_quaternion(self.poses(B))
            for group, chance in zip(GROUPS, CHANGED, strict=True):
                changed = (uniform(B) < chance)[:, None, None]
                following[:, group] = torch.where(changed, other[:, group], following[:, group])
            keys.append(following)
        path = torch.stack(keys, 1)
        pace = torch.exp(np.log(0.35) + uniform(B, 1) * np.log(6))  # seconds from pose to pose
        at = ((times - times[:, :1]) / pace + uniform(B, 1)).clamp(max=KEYS - 1.001)
        low = at.floor()
        part = ((at - low) * (1 + 0.6 * uniform(B, 1))).clamp(max=1)
        part = (part * part * (3 - 2 * part))[..., None, None]
        rows = torch.arange(B, device=self.device)[:, None]
        return between(path[rows, low.long()], path[rows, low.long() + 1], part)

    def follow(self, body: torch.Tensor, times: torch.Tensor) -> Film:
        """Put a camera before each of the people, landmarks (B, T, 33, 3), as `film` does; they walk, they turn, the
        camera sways, a little. Points (B, T, 33, 3)."""
        B, T = body.shape[:2]
        uniform, normal = self.noise.uniform, self.noise.normal
        since = times - times[:, T // 2, None]
        turning = 0.8 * normal(B, 1) * (uniform(B, 1) < 0.35)
        views = self._views(B)[:, None] @ about_y(turning * torch.tanh(since))
        turned = torch.einsum("ntab,ntkb->ntka", views, body)
        webcam = uniform(B) < WEBCAMS
        low, high = torch.where(webcam, 0.5, 1.2).log(), torch.where(webcam, 2.5, 7.0).log()
        distance = (low + uniform(B) * (high - low)).exp()
        walk = (
            normal(B, 1, 3)
            * body.new_tensor([0.4, 0.05, 0.4])
            * (uniform(B, 1, 1) < 0.4)
            * torch.where(webcam, 0.3, 1.0)[:, None, None]
        )  # metres a second
        phase, swing = 6.3 * uniform(B, 1, 3), 0.03 * uniform(B, 1, 3)
        path = walk * since[..., None] + swing * torch.sin(2.5 * since[..., None] + phase)
        turned = turned + path[:, :, None]
        distance = torch.maximum(distance, turned[..., 2].amax((1, 2)) + 0.3)
        focus = torch.where(webcam[:, None], turned[:, T // 2, :11].mean(1), torch.zeros(B, 3, device=self.device))
        at = normal(B, 2) * torch.where(webcam, 0.12, 0.16)[:, None]
        at[:, 1] += torch.where(webcam, 0.1 * uniform(B), 0.0)
        shift = at * (distance - focus[:, 2])[:, None] - focus[:, :2]
        points = turned + torch.cat([shift, -distance[:, None]], 1)[:, None, None]
        return Film(points, self._edges(points.flatten(1, 2), webcam))

    def boxes(self, film: Film, seen: tuple[torch.Tensor, ...], times: torch.Tensor) -> SequenceBatch:
        """As `in_box`, with one camera for a sequence."""
        rays, nearness, visibility = seen
        low, high = rays.amin(2), rays.amax(2)
        middle, half = (low + high) / 2, ((high - low).amax(2) / 2).clamp(min=1e-6)
        xy, truth_xy = ((r - middle[:, :, None]) / half[..., None, None] for r in (rays, film.rays))
        true_nearness = nearness_of(film.points.flatten(0, 1)).unflatten(0, half.shape)
        said, truth_z = (z / half[..., None] for z in (nearness, true_nearness))
        inside = self._shown(film, rays).float()
        landmarks = torch.cat(
            [xy, torch.stack([said.clamp(-MOST_NEARNESS, MOST_NEARNESS), visibility, inside], -1)], -1
        )
        B = len(rays)
        known = self.noise.uniform(B) < KNOWN
        error = torch.exp(torch.where(known, KNOWN_ERROR, 1.0) * FOCAL_ERROR * self.noise.normal(B))
        camera = torch.cat([2 * middle, 2 * half[..., None]], -1) * error[:, None, None]
        camera = torch.cat([camera, known.float()[:, None, None].expand(*half.shape, 1)], -1)
        return SequenceBatch(landmarks, camera, torch.cat([truth_xy, truth_z[..., None]], -1), times)

    def _shown(self, film: Film, rays: torch.Tensor) -> torch.Tensor:
        """Whether rays (B, T, 33, 2) lie in the picture."""
        return ((rays >= film.edges[:, None, None, :2]) & (rays <= film.edges[:, None, None, 2:])).all(-1)

    def _seen(self, film: Film, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the finder sees: rays (B, T, 33, 2), nearness and visibility (B, T, 33)."""
        noise, rays, points = self.noise, film.rays, film.points
        uniform, normal = noise.uniform, noise.normal
        B, T = times.shape
        size = (rays.amax(2) - rays.amin(2)).amax(2)[..., None] / 2
        error, visibility = self._lasting(points, times)
        level = torch.exp(uniform(B, 1, 1, 1) * 2.2 - 6.0)  # 0.25 to 2.2 %
        white = torch.cat([normal(B, T, LANDMARKS, 2) * level, 2.4 * normal(B, T, LANDMARKS, 1) * level], -1)
        error = error + white + self._mistaken(times)
        outside = (~self._shown(film, rays)).float()
        error = error + 0.08 * outside[..., None] * (normal(B, 1, LANDMARKS, 3) + 0.3 * normal(B, T, LANDMARKS, 3))
        visibility = visibility * (1 - outside * (0.5 + 0.5 * uniform(B, 1, LANDMARKS)))
        depth = nearness_of(points.flatten(0, 1)).unflatten(0, (B, T))
        found = torch.cat([rays, depth[..., None]], -1) + error * size[..., None]
        other = found[:, :, torch.from_numpy(EXCHANGED).to(self.device)]
        inverted = torch.where(uniform(B, 1, 1) < 0.5, -other[..., 2], other[..., 2])
        other = torch.cat([other[..., :2], inverted[..., None]], -1)
        swapped = (uniform(B, 1) < SWAPPED) & self._a_while(times)
        found = torch.where(swapped[..., None, None], other, found)
        told = (uniform(B, 1) >= NO_DEPTH).float()
        return found[..., :2], found[..., 2] * told[..., None], visibility

    def _a_while(self, times: torch.Tensor) -> torch.Tensor:
        """(B, T) bool: true for a stretch of each sequence, a twentieth of a second to two."""
        B, uniform = len(times), self.noise.uniform
        length = torch.exp(-3 + uniform(B, 1) * 3.7)
        first, last = times[:, :1] - length, times[:, -1:]
        start = first + uniform(B, 1) * (last - first)
        return (times >= start) & (times <= start + length)

    def _mistaken(self, times: torch.Tensor) -> torch.Tensor:
        """Errors (B, T, 33, 3) of limbs that are elsewhere for a while, the rest 0."""
        B, T = times.shape
        error = torch.zeros(B, T, LANDMARKS, 3, device=self.device)
        for limb in LIMBS:
            away = (self.noise.uniform(B, 1) < MISTAKEN) & self._a_while(times)
            shift = FAR * self.noise.normal(B, 1, 1, 2)
            error[:, :, limb, :2] += away[..., None, None] * shift
        return error

    def _lasting(self, points: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Errors (B, T, 33, 3) of the body's size that last or drift; visibility (B, T, 33)."""
        noise, uniform, observed = self.noise, self.noise.uniform, self.noise.observed
        B, T = times.shape
        pace = torch.exp(-3 + uniform(B, 1) * 3.5)  # 0.05 to 1.6 seconds
        at = ((times - times[:, :1]) / pace + uniform(B, 1)).clamp(max=KNOTS - 2)
        low, part = at.floor().long(), (at - at.floor())[..., None, None] * torch.pi / 2
        share = (0.3 + 0.65 * uniform(B, 1, 1, 1)) ** 0.5
        plain, seen = noise._plain(B)
        drift = noise._plain(3 * B)[0].unflatten(0, (B, 3))
        phase = (at / 3)[..., None, None] * torch.pi
        drift = drift[:, :1] * torch.cos(phase) + drift[:, 1:2] * torch.sin(phase)
        plain = 0.6 * (plain[:, None] * share + drift * (1 - share**2) ** 0.5)
        visibility = seen[:, None].expand(B, T, LANDMARKS)
        if observed is None:
            return plain, visibility
        facing = facing_of(points.flatten(0, 1)).unflatten(0, (B, T))
        chances = uniform(B, KNOTS)

        def like(chance: torch.Tensor) -> torch.Tensor:
            return observed.like(facing.flatten(), chance.flatten()).unflatten(0, (B, T))

        lasting = like(uniform(B, 1).expand(B, T))
        begin, end = (like(chances.gather(1, low + i)) for i in (0, 1))
        drifting = observed.error[begin] * torch.cos(part) + observed.error[end] * torch.sin(part)
        found = observed.error[lasting] * share + drifting * (1 - share**2) ** 0.5
        stretch = 0.7 + 0.6 * uniform(B, 1, 1)
        found = torch.cat([found[..., :2], found[..., 2:] * stretch[..., None]], -1)
        taken = uniform(B) < FROM_OBSERVED
        error = torch.where(taken[:, None, None, None], found, plain)
        return error, torch.where(taken[:, None, None], observed.visibility[lasting], visibility)
