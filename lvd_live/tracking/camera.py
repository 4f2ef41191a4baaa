"""From the crop frame to metres: a perspective camera, and a scale from the body's height.

Crop frame, in crop units: x right, y up, where the picture shows the point; z = f·(D − d)/D its nearness, with f the
focal length, d the point's distance along the optical axis and D the pelvis's. Camera frame: metres, OpenCV's (x right,
y down, z forward).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lvd_live.body.skeleton import JOINT
from lvd_live.person.crop import Crop
from lvd_live.sources.frame import Frame
from lvd_live.tracking.options import DEFAULT_FOV

NEAREST = 0.1  # crop units: landmarks nearer than that to a vertex count alike
NEAREST_SHARE = 0.05  # of the pelvis's distance: nothing is placed nearer
_UPRIGHT = ("head", "neck", "spine3", "spine2", "spine1", "pelvis")
_LEG = ("hip", "knee", "ankle", "foot")


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: focal length in pixels, principal point (2,) in pixels (pixel centres on whole numbers)."""

    focal: float
    centre: np.ndarray

    @classmethod
    def of_picture(cls, width: int, height: int, fov_degrees: float = DEFAULT_FOV) -> Camera:
        """The camera of a picture with a stated field of view across its longer side."""
        return cls(
            max(width, height) / 2 / math.tan(math.radians(fov_degrees) / 2),
            np.array([(width - 1) / 2, (height - 1) / 2]),
        )

    @property
    def intrinsics(self) -> np.ndarray:
        """K (3, 3) float64."""
        return np.array([[self.focal, 0, self.centre[0]], [0, self.focal, self.centre[1]], [0, 0, 1.0]])


def camera_of(frame: Frame, fov_degrees: float) -> tuple[Camera, bool]:
    """The camera of a frame, and whether its field of view was stated: chosen, or else by the file.

    fov_degrees : the one that was chosen; DEFAULT_FOV stands for none.
    """
    height, width = frame.picture.shape[:2]
    stated = fov_degrees if fov_degrees != DEFAULT_FOV else frame.fov_degrees
    return Camera.of_picture(width, height, stated or DEFAULT_FOV), stated is not None


def to_metres(vertices: np.ndarray, crop: Crop, camera: Camera, distance: float = 1.0) -> np.ndarray:
    """Crop frame (..., 3) -> camera frame (..., 3) metres, same dtype, for a pelvis `distance` metres away.

    The result is proportional to `distance`.
    """
    k = crop.half / camera.focal
    scale = np.array([k, -k], vertices.dtype)
    shift = ((crop.centre - camera.centre) / camera.focal).astype(vertices.dtype)
    d = distance * np.maximum(1 - vertices[..., 2:] * k, NEAREST_SHARE)
    return np.concatenate([(vertices[..., :2] * scale + shift) * d, d], -1)


def between_crops(vertices: np.ndarray, old: Crop, new: Crop) -> np.ndarray:
    """The same mesh (..., 3) in another crop's frame."""
    k = old.half / new.half
    shift = (np.asarray(old.centre) - np.asarray(new.centre)) / new.half
    return vertices * k + np.array([shift[0], -shift[1], 0.0])


def carried_along(vertices: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The mesh (..., 3) moved as the landmarks around each vertex moved, from `before` to `after`, (L, 4) each: x, y,
    depth, confidence; all in one crop frame.

    Shepard's interpolation: a landmark counts by its confidence and the inverse fourth power of its distance. Of the
    motion in depth, which the finder sees less surely, half is taken: on real clips a mesh so carried needed fewer
    iterations than with all or none of it.
    """
    squared = (vertices**2).sum(-1)[..., None] - 2 * vertices @ before[:, :3].T + (before[:, :3] ** 2).sum(1)
    squared = squared.clip(0) + NEAREST**2
    weights = np.minimum(before[:, 3], after[:, 3]) / squared**2
    motion = (after - before)[:, :3] * (1.0, 1.0, 0.5)
    return (vertices + weights @ motion / (weights.sum(-1, keepdims=True) + 1e-6)).astype(vertices.dtype)


def skeleton_length(joints: np.ndarray) -> float:
    """Head to foot along the bones, metres: what a person's height is read from, in any pose. joints (24, 3)."""

    def path(names: tuple[str, ...]) -> float:
        points = joints[[JOINT[n] for n in names]]
        return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())

    return path(_UPRIGHT) + sum(path(tuple(f"{side}_{n}" for n in _LEG)) for side in ("left", "right")) / 2
