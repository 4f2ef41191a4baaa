"""One synthetic person in front of one camera: shape, pose, viewpoint, light, what the picture's edge cuts off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from lvd_live.body.model import BodyModel, axis_angle_to_matrix
from lvd_live.person.crop import crop_for_box
from lvd_live.synth.motion import PoseBank

HELD_OUT_BODIES = 0.1  # of the population's end: never trained on
WEBCAMS = 0.25  # share of the pictures that a webcam takes
CLOSEST = 0.35  # metres: nothing comes nearer to the lens


@dataclass(frozen=True)
class View:
    """A posed body seen by a camera. Camera frame: metres, x right, y up, z toward the viewer, camera at the origin.

    betas (20,), pose (24, 3) axis-angle; R (3, 3), t (3,): body frame to camera frame, v_camera = R v + t (the pelvis lies at t). bones (24, 3, 4): rest pose to camera frame. focal: half crops per unit of X/-Z;
    offset (2,): where the optical axis meets the crop. vertices (N, 3) and landmarks (33, 3): crop frame. cut (4,): left, bottom, right, top edge of the picture, crop frame.
    """

    betas: np.ndarray
    pose: np.ndarray
    R: np.ndarray
    t: np.ndarray
    bones: np.ndarray
    focal: float
    offset: np.ndarray
    vertices: np.ndarray
    landmarks: np.ndarray
    cut: np.ndarray


class People:
    """Draws bodies, poses and views. models : the folder with body/ and synth/. held_out : identities and clips that training never sees. webcams : the share of views that are
    `before_webcam`; by default WEBCAMS, and none of the held-out, so that their figures can be compared.
    """

    def __init__(self, models: Path, *, held_out: bool = False, webcams: float | None = None):
        self.body = BodyModel.load(models / "body" / "lvd_body.npz")
        self.motion = PoseBank.load(models / "synth" / "poses.npz", held_out=held_out)
        with np.load(models / "synth" / "base.npz", allow_pickle=False) as base:
            population = base["betas"].astype(np.float32)
        split = round(len(population) * (1 - HELD_OUT_BODIES))
        self.population = population[split:] if held_out else population[:split]
        self.to_landmarks = self.body.landmarks.numpy()
        self.webcams = webcams if webcams is not None else 0.0 if held_out else WEBCAMS

    def shape(self, rng: np.random.Generator) -> np.ndarray:
        """Shape coefficients (20,): between two people of the population, and a little beyond."""
        a, b = self.population[rng.integers(len(self.population), size=2)]
        k = rng.beta(0.5, 0.5)
        return (k * a + (1 - k) * b + rng.normal(0, 0.15, a.shape)).astype(np.float32)

    def views(self, betas: np.ndarray, rng: np.random.Generator, count: int) -> list[View]:
        """`count` poses and cameras of one body."""
        webcam = rng.random(count) < self.webcams if self.webcams else np.zeros(count, bool)
        poses = np.stack([self.motion.sample(rng, upright=w) for w in webcam]).astype(np.float32)
        with torch.no_grad():
            rest = self.body.shaped(torch.from_numpy(betas)[None])
            joints = (self.body.J_regressor @ rest).expand(count, -1, -1)
            bones = self.body.transforms(axis_angle_to_matrix(torch.from_numpy(poses)), joints)
            bones[..., 3] -= joints[:, :1]  # the pelvis at the origin
            vertices = self.body.skin(rest, bones)
        return [
            self._view(betas, *parts, rng) for parts in zip(poses, bones.numpy(), vertices.numpy(), webcam, strict=True)
        ]

    def _view(
        self,
        betas: np.ndarray,
        pose: np.ndarray,
        bones: np.ndarray,
        body: np.ndarray,
        webcam: bool,
        rng: np.random.Generator,
    ) -> View:
        yaw = rng.normal(0, 0.6) if webcam or rng.random() < 0.55 else rng.uniform(-np.pi, np.pi)
        elevation = np.clip(rng.normal(0.08, 0.22) if rng.random() < 0.8 else rng.uniform(-0.52, 1.05), -0.6, 1.1)
        roll = np.clip(rng.normal(0, 0.09) if rng.random() < 0.8 else rng.uniform(-0.35, 0.35), -0.4, 0.4)
        R = (
            Rotation.from_euler("z", roll) * Rotation.from_euler("x", elevation) * Rotation.from_euler("y", yaw)
        ).as_matrix()
        turned = body @ R.T
        if webcam:
            t, cut = before_webcam(turned, self.to_landmarks @ turned, rng)
        else:
            t, cut = before_camera(turned, rng), None
        camera = turned + t
        uv = camera[:, :2] / -camera[:, 2:]
        points = self.to_landmarks @ uv
        if cut is None:
            cut = cut_by_picture(uv, points, rng)
        visible = np.clip(uv, cut[:2], cut[2:])
        box = np.stack([visible.min(0), visible.max(0)]) * [1, -1]
        size = (box[1] - box[0])[0], (box[0] - box[1])[1]
        box = np.array([box[0, 0], box[1, 1], box[1, 0], box[0, 1]]) + np.array([-1, -1, 1, 1]) * 0.015 * max(size)
        # crop_for_box speaks pixels: scaled so that its smallest crop does not matter
        pixels = 2000.0
        crop = crop_for_box(box * pixels, np.column_stack([points * [pixels, -pixels], np.ones(33)]))
        centre, half = crop.centre / pixels * [1, -1], crop.half / pixels
        half *= np.exp(rng.normal(0, 0.06))
        centre = centre + rng.normal(0, 0.05, 2) * half
        focal = 1 / half
        offset = -centre * focal
        vertices = to_crop_frame(camera, focal, offset, -t[2])
        in_camera = R @ bones
        in_camera[..., 3] += t
        return View(
            betas,
            pose,
            R,
            t,
            in_camera,
            focal,
            offset,
            vertices,
            self.to_landmarks @ vertices,
            np.concatenate([(cut[:2] - centre) / half, (cut[2:] - centre) / half]),
        )


def before_camera(body: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where a camera that is aimed at the hips has them: t (3,), camera frame, 1 to 6 m away. body (N, 3): the pelvis at the origin, turned as the camera sees it."""
    depth = float(np.exp(rng.uniform(np.log(1.0), np.log(6.0))))
    t = np.array([*rng.normal(0, 0.13, 2) * depth, -depth])
    nearest = depth - body[:, 2].max()
    return t if nearest >= CLOSEST else t * (1 + (CLOSEST - nearest) / depth)  # a hand almost in the lens: step back


def before_webcam(body: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where a webcam or a phone has the pelvis, t (3,), and the edges of its picture (4,) as of `cut_by_picture`: the picture ends where its angle of view ends, the optical axis is at its middle, the face somewhere above that or a little below.

    body (N, 3), landmarks (33, 3): the pelvis at the origin, turned as the camera sees it.
    """
    depth = max(float(np.exp(rng.uniform(np.log(0.5), np.log(2.5)))), CLOSEST + body[:, 2].max())
    longer = np.tan(np.radians(rng.uniform(50, 85)) / 2)
    size = np.array([1, rng.choice([9 / 16, 3 / 4])]) * longer
    size = size[::-1] if rng.random() < 0.2 else size
    face = landmarks[:11].mean(0)
    at = size * (rng.normal(0, 0.25), rng.uniform(-0.1, 0.7))  # where the picture shows it
    t = np.array([*(at * (depth - face[2]) - face[:2]), -depth])
    return t, np.concatenate([-size, size])


def to_crop_frame(camera: np.ndarray, focal: float, offset: np.ndarray, depth: float) -> np.ndarray:
    """Camera-frame points (N, 3), metres, y up, z toward the viewer -> crop frame (N, 3) float32. `depth`: the pelvis's distance along the axis, where z = 0.

    x and y are where the picture shows the point; z = focal·(depth − distance)/depth, the nearness in the same unit at the pelvis.
    """
    distance = -camera[:, 2:]
    return np.concatenate([focal * camera[:, :2] / distance + offset, focal * (depth - distance) / depth], 1).astype(
        np.float32
    )


def to_camera_frame(crop: np.ndarray, focal: float, offset: np.ndarray, depth: float) -> np.ndarray:
    """The inverse of `to_crop_frame`: (..., 3) crop frame -> (..., 3) metres, y up, z toward the viewer."""
    distance = depth * (1 - crop[..., 2:] / focal)
    return np.concatenate([(crop[..., :2] - offset) * distance / focal, -distance], -1)


def cut_by_picture(uv: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture's edges (4,): left, bottom, right, top, in the units of uv (N, 2), y up. Three of four people are whole; the others are cut, mostly from below as by a webcam."""
    low, high = uv.min(0), uv.max(0)
    far = 4 * (high - low).max()
    cut = np.array([low[0] - far, low[1] - far, high[0] + far, high[1] + far])
    kind = rng.random()
    if kind < 0.13:  # a webcam: nothing below a height between chest and knees
        hips, shoulders, knees = (
            landmarks[[23, 24], 1].mean(),
            landmarks[[11, 12], 1].mean(),
            landmarks[[25, 26], 1].mean(),
        )
        top, bottom = shoulders + 0.45 * (hips - shoulders), knees
        level = top + rng.random() * (bottom - top)
        if level < high[1] - 0.15 * (high[1] - low[1]):
            cut[1] = level
    elif kind < 0.26:
        for edge in rng.choice(4, rng.integers(1, 3), replace=False):
            axis, span = edge % 2, (high - low)[edge % 2]
            cut[edge] = (
                low[axis] + rng.uniform(0, 0.25) * span if edge < 2 else high[axis] - rng.uniform(0, 0.25) * span
            )
    return cut
