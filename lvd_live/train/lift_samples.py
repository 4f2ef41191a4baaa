"""Samples for the lifter: bodies posed and seen by cameras, made in the batch, without a picture.

Landmarks are linear in the vertices, and vertices blend bones, so landmark k is exactly Σ_j R_j a_kj + w_kj t_j: a_kj
is its rest position as bone j carries it, linear in the shape, w_kj how much of it that bone carries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from lvd_live.body.model import BodyModel, axis_angle_to_matrix
from lvd_live.lift.lifter import EXCHANGED, MOST_NEARNESS
from lvd_live.lift.network import LANDMARKS
from lvd_live.synth.motion import MOSTLY_STANDING, PoseBank
from lvd_live.synth.people import People
from lvd_live.train.lift_noise import Noise, Seen, nearness_of

POOL, FIRST_POSES, FRESH = 120_000, 4_096, 24  # poses in memory, at the start, made anew for each batch
WEBCAMS = 0.3  # share of people before a webcam or a phone
FOCAL_ERROR = 0.22  # standard deviation of log(assumed / true focal length) where the field of view is not known
KNOWN = 0.8  # share of cameras whose field of view is called known ...
KNOWN_ERROR = 0.3  # ... whose focal length errs by so much of that


@dataclass(frozen=True)
class LiftBatch:
    """landmarks (B, 33, 5), camera (B, 4), truth (B, 33, 3): see `LiftNetwork`."""

    landmarks: torch.Tensor
    camera: torch.Tensor
    truth: torch.Tensor


@dataclass(frozen=True)
class Film:
    """People before cameras. points : (B, 33, 3) metres, camera frame, x right, y up, z toward the camera, which is at
    the origin. edges : (B, 4) left, bottom, right, top of the picture, as rays x/−z, y/−z."""

    points: torch.Tensor
    edges: torch.Tensor

    @property
    def rays(self) -> torch.Tensor:
        """(B, 33, 2)."""
        return self.points[..., :2] / -self.points[..., 2:]

    def shows(self, rays: torch.Tensor) -> torch.Tensor:
        """Whether rays (B, K, 2) lie in the picture, (B, K) bool."""
        return ((rays >= self.edges[:, None, :2]) & (rays <= self.edges[:, None, 2:])).all(-1)


class LiftSamples:
    """Endless batches. models : the folder with body/ and synth/. noise : how the finder errs; its device is theirs."""

    def __init__(self, models: Path, noise: Noise, *, held_out: bool = False, seed: int = 0):
        self.noise, self.random, self.device = noise, noise.random, noise.random.device
        self._rng = np.random.default_rng(seed)
        everyday = None if held_out else models / "synth" / "poses_everyday.npz"
        bank = PoseBank.load(models / "synth" / "poses.npz", held_out=held_out, everyday=everyday)
        self._bank = (
            bank if held_out else replace(bank, kinds=MOSTLY_STANDING)
        )  # held-out ones as ever: to compare figures
        self._population = torch.from_numpy(People(models, held_out=held_out).population).to(self.device)
        body = BodyModel.load(models / "body" / "lvd_body.npz").to(self.device)
        self._parents = body.parents
        self._joints = body.J_regressor @ body.v_template
        self._joint_dirs = torch.einsum("jn,ncb->jcb", body.J_regressor, body.shapedirs)
        self._pairs = BonePairs.of(body)
        self._poses = self._draw_poses(FIRST_POSES)
        self._oldest = 0

    def draw(self, count: int) -> LiftBatch:
        """`count` samples."""
        self._refresh(FRESH)
        film = self.film(self.pose_landmarks(self.shapes(count), axis_angle_to_matrix(self.poses(count))))
        return self.in_box(film, self.noise(film.rays, film.points, film.shows(film.rays)))

    def poses(self, count: int) -> torch.Tensor:
        """Poses of those in memory, (count, 24, 3) axis-angle, radians."""
        return self._poses[self.noise.integers(len(self._poses), count)]

    def shapes(self, count: int) -> torch.Tensor:
        """Shape coefficients (count, 20), as `People.shape` draws them."""
        a, b = (self._population[self.noise.integers(len(self._population), count)] for _ in range(2))
        mix = torch.sin(torch.pi / 2 * self.noise.uniform(count, 1)) ** 2  # Beta(1/2, 1/2)
        return mix * a + (1 - mix) * b + 0.15 * self.noise.normal(*a.shape)

    def pose_landmarks(self, betas: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
        """Landmarks (B, 33, 3), metres, body frame, pelvis at the origin: betas (B, 20), rotations (B, 24, 3, 3)."""
        joints = self._joints + torch.einsum("jcb,nb->njc", self._joint_dirs, betas)
        turned, moved = forward_kinematics(rotations, joints, self._parents)
        return self._pairs.landmarks(betas, turned, moved) - joints[:, :1]

    def film(self, body: torch.Tensor) -> Film:
        """Put a camera before each of the people, landmarks (B, 33, 3), body frame: aimed roughly at the hips, or a
        webcam that is aimed roughly at the face."""
        B = len(body)
        turned = torch.einsum("nab,nkb->nka", self._views(B), body)
        webcam = self.noise.uniform(B) < WEBCAMS
        low, high = torch.where(webcam, 0.5, 1.2).log(), torch.where(webcam, 2.5, 7.0).log()
        distance = (low + self.noise.uniform(B) * (high - low)).exp()
        distance = torch.maximum(distance, turned[..., 2].amax(1) + 0.3)
        focus = torch.where(webcam[:, None], turned[:, :11].mean(1), torch.zeros(B, 3, device=self.device))
        at = self.noise.normal(B, 2) * torch.where(webcam, 0.12, 0.16)[:, None]
        at[:, 1] += torch.where(webcam, 0.1 * self.noise.uniform(B), 0.0)
        shift = at * (distance - focus[:, 2])[:, None] - focus[:, :2]
        points = turned + torch.cat([shift, -distance[:, None]], 1)[:, None]
        return Film(points, self._edges(points, webcam))

    def in_box(self, film: Film, seen: Seen) -> LiftBatch:
        """What the finder sees of people, and the truth, both in the box frame of the former."""
        low, high = seen.rays.amin(1), seen.rays.amax(1)
        middle, half = (low + high) / 2, ((high - low).amax(1) / 2).clamp(min=1e-6)
        xy, truth_xy = ((rays - middle[:, None]) / half[:, None, None] for rays in (seen.rays, film.rays))
        said, nearness = (z / half[:, None] for z in (seen.nearness, nearness_of(film.points)))
        said = said.clamp(-MOST_NEARNESS, MOST_NEARNESS)
        inside = film.shows(seen.rays).float()
        landmarks = torch.cat([xy, torch.stack([said, seen.visibility, inside], -1)], -1)
        known = self.noise.uniform(len(middle)) < KNOWN
        error = torch.exp(torch.where(known, KNOWN_ERROR, 1.0) * FOCAL_ERROR * self.noise.normal(len(middle)))
        camera = torch.cat([2 * middle, 2 * half[:, None]], 1) * error[:, None]
        camera = torch.cat([camera, known.float()[:, None]], 1)
        return LiftBatch(landmarks, camera, torch.cat([truth_xy, nearness[..., None]], -1))

    def _views(self, count: int) -> torch.Tensor:
        """Rotations from the body's to the camera's frame, (count, 3, 3): yaw, elevation, roll."""
        uniform, normal = self.noise.uniform, self.noise.normal
        yaw = torch.where(uniform(count) < 0.4, 0.6 * normal(count), (2 * uniform(count) - 1) * torch.pi)
        tilt = torch.where(uniform(count) < 0.7, 0.1 + 0.25 * normal(count), -0.52 + 1.57 * uniform(count))
        roll = torch.where(uniform(count) < 0.8, 0.09 * normal(count), 0.4 * (2 * uniform(count) - 1))
        axes = torch.eye(3, device=self.device)
        about = [
            axis_angle_to_matrix(angle[:, None] * axis) for angle, axis in zip((tilt, yaw, roll), axes, strict=True)
        ]
        return about[2] @ about[0] @ about[1]

    def _edges(self, points: torch.Tensor, webcam: torch.Tensor) -> torch.Tensor:
        """Edges (B, 4) as of `Film`: a webcam's picture ends where its field of view does; other pictures mostly hold
        all of the person, and cut off up to two fifths at some sides."""
        B, uniform = len(points), self.noise.uniform
        longer = torch.tan(torch.deg2rad(50 + 35 * uniform(B)) / 2)
        shorter = longer * torch.where(uniform(B) < 0.5, 9 / 16, 3 / 4)
        size = torch.stack([longer, shorter], 1)
        size = torch.where((uniform(B) < 0.3)[:, None], size.flip(1), size)
        rays = points[..., :2] / -points[..., 2:]
        low, high = rays.amin(1), rays.amax(1)
        cut = uniform(B, 4) < 0.08
        margin = torch.where(cut, 0.05 - 0.4 * uniform(B, 4), 3.05) * (high - low).repeat(1, 2)
        aimed = torch.cat([low - margin[:, :2], high + margin[:, 2:]], 1)
        return torch.where(webcam[:, None], torch.cat([-size, size], 1), aimed)

    def _draw_poses(self, count: int) -> torch.Tensor:
        poses = np.stack([self._bank.sample(self._rng) for _ in range(count)]).astype(np.float32)
        return torch.from_numpy(poses).to(self.device)

    def _refresh(self, count: int) -> None:
        """Add poses until the pool is full, then replace the oldest."""
        fresh = self._draw_poses(count)
        if len(self._poses) < POOL:
            self._poses = torch.cat([self._poses, fresh])
        else:
            self._poses[self._oldest : self._oldest + count] = fresh
            self._oldest = (self._oldest + count) % (POOL - count)


@dataclass(frozen=True)
class BonePairs:
    """The P pairs of landmark and bone that count.

    bone : (P,) int64. sums : (33, P), 1 where the pair is the landmark's. carried : (P, 3) metres, and its change with
    the shape, dirs : (P, 3, 20). share : (P,).
    """

    bone: torch.Tensor
    sums: torch.Tensor
    carried: torch.Tensor
    dirs: torch.Tensor
    share: torch.Tensor

    @classmethod
    def of(cls, body: BodyModel) -> BonePairs:
        """Those of a body."""
        mixes = torch.einsum("kn,nj->kjn", body.landmarks, body.weights)
        landmark, bone = torch.nonzero(mixes.abs().sum(2) > 1e-7, as_tuple=True)
        mix = mixes[landmark, bone]
        sums = torch.nn.functional.one_hot(landmark, LANDMARKS).float().T.contiguous()
        dirs = torch.einsum("pn,ncb->pcb", mix, body.shapedirs)
        return cls(bone, sums, mix @ body.v_template, dirs, mix.sum(1))

    def landmarks(self, betas: torch.Tensor, turned: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        """(B, 33, 3): betas (B, 20), the bones' rotations (B, 24, 3, 3) and translations (B, 24, 3)."""
        carried = self.carried + torch.einsum("pcb,nb->npc", self.dirs, betas)
        points = (turned[:, self.bone] * carried[:, :, None]).sum(-1) + self.share[:, None] * moved[:, self.bone]
        return self.sums @ points


def forward_kinematics(
    rotations: torch.Tensor, joints: torch.Tensor, parents: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each bone's rotation R (B, 24, 3, 3) and translation t (B, 24, 3), v ↦ R v + t: local rotations, rest joints."""
    turned, moved = [rotations[:, 0]], [joints[:, 0] - (rotations[:, 0] @ joints[:, 0, :, None])[..., 0]]
    for j, parent in enumerate(parents[1:], 1):
        R = turned[parent] @ rotations[:, j]
        here = (turned[parent] @ joints[:, j, :, None])[..., 0] + moved[parent]
        turned.append(R)
        moved.append(here - (R @ joints[:, j, :, None])[..., 0])
    return torch.stack(turned, 1), torch.stack(moved, 1)


assert len(EXCHANGED) == LANDMARKS
