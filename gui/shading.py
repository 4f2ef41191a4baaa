"""Colours of vertices, and the mesh over its picture. Imports no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import cv2
import numpy as np

from lvd_live import render
from lvd_live.body.skeleton import BODY_PARTS, JOINT

COLOURS = ("uncertainty", "body part", "depth", "plain")
TOPS_MM = (25, 50, 100, 150, 200, 300, 500)  # where the uncertainty's colours may end
MAX_SIDE = 960  # of the picture shown, pixels: more costs time and shows nothing more
PART_COLOURS = np.array(
    [tuple(bytes.fromhex(c)) for c in "5e81ac ebcb8b a3be8c d08770 bf616a b48ead 88c0d0 dedede".split()], np.uint8
)  # (8, 3) RGB, in the order of BODY_PARTS
COLOUR_MAP = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].copy()

Of = TypeVar("Of", covariant=True)


@dataclass(frozen=True)
class Mesh:
    """A mesh to be drawn.

    vertices : (N, 3) float32, metres, x right, y down, z forward: OpenCV's camera frame, or that of a level camera.
    faces : (M, 3) int32.
    colours : (N, 3) uint8 RGB.
    intrinsics : (3, 3) float64, of the frame's own picture, pixels; None: no camera saw it.
    R_level_camera : (3, 3), from the camera's frame to that of the vertices; None: it is the camera's.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    intrinsics: np.ndarray | None
    R_level_camera: np.ndarray | None = None


@dataclass(frozen=True)
class View(Generic[Of]):
    """What is shown of one frame.

    of : where it comes from: the live `Result`, or the row of a recorded take.
    picture : (H, W, 3) uint8 RGB, at most MAX_SIDE long, with the mesh drawn over it.
    mesh : None without a fit.
    size : width and height of the frame's own picture, pixels.
    top_mm : the error at which the uncertainty's colours end.
    """

    of: Of
    picture: np.ndarray
    mesh: Mesh | None
    size: tuple[int, int]
    top_mm: int


def plain(width: int, height: int, colour: tuple[int, int, int]) -> np.ndarray:
    """A picture (height, width, 3) uint8 RGB of one colour, in a thirtieth of the time that `np.full` takes."""
    picture = np.empty((height, width, 3), np.uint8)
    cv2.rectangle(picture, (0, 0), (width, height), colour, cv2.FILLED)
    return picture


def draw_over(picture: np.ndarray, scale: float, mesh: Mesh, opacity: float) -> np.ndarray:
    """A copy of a picture (H, W, 3) uint8 RGB that was shrunk by `scale`, with the mesh over it; opacity 0..1."""
    if mesh.intrinsics is None:
        return picture.copy()
    K = mesh.intrinsics.copy()
    K[:2] *= scale
    K[:2, 2] += (scale - 1) / 2  # pixel centres on whole numbers
    return render.overlay(picture, mesh.vertices, mesh.faces, K, opacity, mesh.colours)


def part_index(labels: np.ndarray) -> np.ndarray:
    """Which of BODY_PARTS each vertex belongs to, (N,) int; labels (N,) int: the joint that moves it most."""
    of_joint = np.zeros(len(JOINT), int)
    for number, joints in enumerate(BODY_PARTS.values()):
        of_joint[[JOINT[j] for j in joints]] = number
    return of_joint[labels]


def vertex_colours(
    mode: str, vertices: np.ndarray, error_mm: np.ndarray, top_mm: int, labels: np.ndarray | None
) -> np.ndarray:
    """(N, 3) uint8 RGB of vertices (N, 3), metres, camera frame.

    mode : one of COLOURS. error_mm : (N,). top_mm : where the uncertainty's colours end. labels : (N,) int, the joint
    that moves each vertex most; None: not known, and without them body parts are plain.
    """
    if mode == "uncertainty":
        return scaled(error_mm, 0, top_mm)
    if mode == "depth":
        nearness = -vertices[:, 2]
        return scaled(nearness, *np.percentile(nearness, (1, 99)))
    if mode == "body part" and labels is not None:
        return PART_COLOURS[part_index(labels)]
    return np.broadcast_to(np.array(render.SKIN, np.uint8), vertices.shape)


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Colours (N, 3) uint8 of values (N,) between low and high; those beyond get the colour of the end."""
    return COLOUR_MAP[np.clip((values - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)]


def top_for(high_mm: float) -> int:
    """The least of TOPS_MM that reaches high_mm, or the last."""
    return next((top for top in TOPS_MM if top >= high_mm), TOPS_MM[-1])
