"""One synthetic person before one camera: shape, pose, viewpoint, the picture's edges, and the crop."""

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
NEAREST, NEAREST_PLAIN = 1.5, 1.0  # metres, of the pelvis from a camera that is no webcam
STEEP, STEEP_PLAIN = 0.1, 0.2  # share of cameras at any elevation, the others are nearly level
CLOSEST = 0.35  # metres: nothing comes nearer to the lens


@dataclass(frozen=True)
class View:
    """A posed body before a camera. Camera frame: metres, x right, y up, z toward the viewer, camera at the origin.

    betas : (20,) float32. pose : (24, 3) float32 axis-angle.
    R, t : (3, 3), (3,), body frame to camera frame, v_camera = R v + t; the pelvis lies at t.
    bones : (24, 3, 4), rest pose to camera frame.
    focal : crop units per unit of X/-Z. offset : (2,), where the optical axis meets the crop, crop frame.
    vertices : (N, 3) float32, crop frame. landmarks : (33, 3) float32, crop frame.
    cut : (4,), left, bottom, right, top edge of the picture, crop frame.
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
    """Draws bodies, poses and views."""

    def __init__(
        self, models: Path, *, held_out: bool = False, webcams: float | None = None, plain: bool | None = None
    ):
        """Read the body, the population and the pose bank.

        models : the folder with body/ and synth/. held_out : only identities and takes that training never gets.
        plain : the poses and cameras of earlier figures, nearer and steeper than people choose; by default of the
            held-out people, so that figures measured on them stay comparable.
        webcams : the share of views that are `before_webcam`; by default WEBCAMS, and 0 of the held-out ones.
        """
        self.body = BodyModel.load(models / "body" / "lvd_body.npz")
        with np.load(models / "synth" / "base.npz", allow_pickle=False) as base:
            population = base["betas"].astype(np.float32)
        split = round(len(population) * (1 - HELD_OUT_BODIES))
        self.population = population[split:] if held_out else population[:split]
        self.to_landmarks = self.body.landmarks.numpy()
        self.plain = held_out if plain is None else plain
        everyday = None if self.plain else models / "synth" / "poses_everyday.npz"
        self.motion = PoseBank.load(models / "synth" / "poses.npz", held_out=held_out, everyday=everyday)
        self.webcams = webcams if webcams is not None else 0.0 if held_out else WEBCAMS

    def shape(self, rng: np.random.Generator) -> np.ndarray:
        """Shape coefficients (20,) float32: between two people of the population, and a little beyond."""
        a, b = self.population[rng.integers(len(self.population), size=2)]
        k = rng.beta(0.5, 0.5)
        return (k * a + (1 - k) * b + rng.normal(0, 0.15, a.shape)).astype(np.float32)

    def views(self, betas: np.ndarray, rng: np.random.Generator, count: int) -> list[View]:
        """`count` poses and cameras of one body. betas : (20,) float32."""
        webcam = rng.random(count) < self.webcams if self.webcams else np.zeros(count, bool)
        poses = np.stack([self.motion.sample(rng, upright=bool(w)) for w in webcam]).astype(np.float32)
        with torch.no_grad():
            rest = self.body.shaped(torch.from_numpy(betas)[None])
            joints = (self.body.J_regressor @ rest).expand(count, -1, -1)
            bones = self.body.transforms(axis_angle_to_matrix(torch.from_numpy(poses)), joints)
            bones[..., 3] -= joints[:, :1]  # the pelvis at the origin
            vertices = self.body.skin(rest, bones)
        posed = zip(poses, bones.numpy(), vertices.numpy(), webcam, strict=True)
        return [self._view(betas, pose, bone, body, bool(w), rng) for pose, bone, body, w in posed]

    def _view(
        self,
        betas: np.ndarray,
        pose: np.ndarray,
        bones: np.ndarray,
        body: np.ndarray,
        webcam: bool,
        rng: np.random.Generator,
    ) -> View:
        """Put a camera before a posed body. bones, body : bones and vertices with the pelvis at the origin."""
        R = random_viewpoint(rng, webcam=webcam, steep=STEEP_PLAIN if self.plain else STEEP)
        turned = body @ R.T
        if webcam:
            t, cut = before_webcam(turned, self.to_landmarks @ turned, rng)
            image = project(turned + t)
        else:
            t = before_camera(turned, rng, NEAREST_PLAIN if self.plain else NEAREST)
            image = project(turned + t)
            cut = cut_by_picture(image, self.to_landmarks @ image, rng)
        centre, half = _crop(image, self.to_landmarks @ image, cut)
        half *= np.exp(rng.normal(0, 0.06))
        centre = centre + rng.normal(0, 0.05, 2) * half
        focal = 1 / half
        offset = -centre * focal
        vertices = to_crop_frame(turned + t, focal, offset, -t[2])
        in_camera = R @ bones
        in_camera[..., 3] += t
        return View(
            betas=betas,
            pose=pose,
            R=R,
            t=t,
            bones=in_camera,
            focal=focal,
            offset=offset,
            vertices=vertices,
            landmarks=self.to_landmarks @ vertices,
            cut=np.concatenate([(cut[:2] - centre) / half, (cut[2:] - centre) / half]),
        )


def random_viewpoint(rng: np.random.Generator, *, webcam: bool, steep: float = STEEP) -> np.ndarray:
    """A rotation (3, 3) from the body frame to the camera's axes, mostly from the front and level.

    steep : the share of elevations of all kinds.
    """
    yaw = rng.normal(0, 0.6) if webcam or rng.random() < 0.55 else rng.uniform(-np.pi, np.pi)
    elevation = np.clip(rng.normal(0.08, 0.22) if rng.random() < 1 - steep else rng.uniform(-0.52, 1.05), -0.6, 1.1)
    roll = np.clip(rng.normal(0, 0.09) if rng.random() < 0.8 else rng.uniform(-0.35, 0.35), -0.4, 0.4)
    around_z, around_x = Rotation.from_euler("z", roll), Rotation.from_euler("x", elevation)
    return (around_z * around_x * Rotation.from_euler("y", yaw)).as_matrix()


def project(camera: np.ndarray) -> np.ndarray:
    """Camera-frame points (N, 3) on the image plane at Z = -1: (N, 2), X/-Z and Y/-Z, y up."""
    return camera[:, :2] / -camera[:, 2:]


def before_camera(body: np.ndarray, rng: np.random.Generator, nearest: float = NEAREST) -> np.ndarray:
    """Where a camera that is aimed at the hips has the pelvis: t (3,), camera frame, `nearest` to 6 m away.

    body : (N, 3), the pelvis at the origin, turned as the camera sees it.
    """
    depth = float(np.exp(rng.uniform(np.log(nearest), np.log(6.0))))
    t = np.array([*rng.normal(0, 0.13, 2) * depth, -depth])
    gap = depth - body[:, 2].max()
    return t if gap >= CLOSEST else t * (1 + (CLOSEST - gap) / depth)  # a hand almost in the lens: step back


def before_webcam(body: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where a webcam or a phone has the pelvis, t (3,), camera frame, and the edges of its picture (4,).

    The picture ends where its angle of view ends, with the optical axis at its middle and the face mostly above that.
    Its edges are in the units of `project`, in the order of `cut_by_picture`.

    body : (N, 3), landmarks : (33, 3), the pelvis at the origin, turned as the camera sees it.
    """
    depth = max(float(np.exp(rng.uniform(np.log(0.5), np.log(2.5)))), CLOSEST + body[:, 2].max())
    longer = np.tan(np.radians(rng.uniform(50, 85)) / 2)
    size = np.array([1, rng.choice([9 / 16, 3 / 4])]) * longer
    size = size[::-1] if rng.random() < 0.2 else size
    face = landmarks[:11].mean(0)
    face_in_picture = size * (rng.normal(0, 0.25), rng.uniform(-0.1, 0.7))
    t = np.array([*(face_in_picture * (depth - face[2]) - face[:2]), -depth])
    return t, np.concatenate([-size, size])


def _crop(image: np.ndarray, landmarks: np.ndarray, cut: np.ndarray) -> tuple[np.ndarray, float]:
    """The crop's centre (2,) and half its side, as the tracker would choose it, on the image plane (see `project`).

    image : (N, 2), landmarks : (33, 2), the projected body. cut : (4,), see `cut_by_picture`.
    """
    visible = np.clip(image, cut[:2], cut[2:])
    (left, bottom), (right, top) = visible.min(0), visible.max(0)
    margin = np.array([-1, -1, 1, 1]) * 0.015 * max(right - left, top - bottom)
    box = np.array([left, -top, right, -bottom]) + margin
    pixels = 2000.0  # crop_for_box takes pixels: enough of them that its smallest crop does not matter
    crop = crop_for_box(box * pixels, np.column_stack([landmarks * [pixels, -pixels], np.ones(33)]))
    return crop.centre / pixels * [1, -1], crop.half / pixels


def to_crop_frame(camera: np.ndarray, focal: float, offset: np.ndarray, depth: float) -> np.ndarray:
    """Camera-frame points (N, 3), metres, y up, z toward the viewer -> crop frame (N, 3) float32.

    x and y are where the picture shows the point; z = focal·(depth − distance)/depth, its nearness in the same unit at
    the pelvis.

    focal, offset : see `View`. depth : the pelvis's distance along the optical axis, metres, where z = 0.
    """
    distance = -camera[:, 2:]
    xy = focal * camera[:, :2] / distance + offset
    return np.concatenate([xy, focal * (depth - distance) / depth], 1).astype(np.float32)


def to_camera_frame(crop: np.ndarray, focal: float, offset: np.ndarray, depth: float) -> np.ndarray:
    """The inverse of `to_crop_frame`: (..., 3) crop frame -> (..., 3) metres, y up, z toward the viewer."""
    distance = depth * (1 - crop[..., 2:] / focal)
    return np.concatenate([(crop[..., :2] - offset) * distance / focal, -distance], -1)


def cut_by_picture(image: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture's edges (4,): left, bottom, right, top, in the units of `image` (N, 2), y up.

    Three of four people are whole; the others are cut, half of them from below as by a webcam.
    landmarks : (33, 2 or more), in the same units.
    """
    low, high = image.min(0), image.max(0)
    far = 4 * (high - low).max()
    cut = np.array([low[0] - far, low[1] - far, high[0] + far, high[1] + far])
    kind = rng.random()
    if kind < 0.13:  # a webcam: nothing below a height between chest and knees
        hips, shoulders, knees = (landmarks[pair, 1].mean() for pair in ([23, 24], [11, 12], [25, 26]))
        chest = shoulders + 0.45 * (hips - shoulders)
        level = chest + rng.random() * (knees - chest)
        if level < high[1] - 0.15 * (high[1] - low[1]):
            cut[1] = level
    elif kind < 0.26:
        for edge in rng.choice(4, rng.integers(1, 3), replace=False):
            axis, span = edge % 2, (high - low)[edge % 2]
            share = rng.uniform(0, 0.25)
            cut[edge] = low[axis] + share * span if edge < 2 else high[axis] - share * span
    return cut
