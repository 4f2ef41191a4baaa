"""From a fit to something to look at: colours of vertices, and the picture with the mesh on it. Knows no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from lvd_live import render
from lvd_live.body.skeleton import BODY_PARTS, JOINT

COLOURS = ("uncertainty", "body part", "depth", "plain")
TOPS_MM = (25, 50, 100, 150, 200, 300, 500)  # where the uncertainty's colours may end
MAX_SIDE = 960  # of the picture shown, pixels: more costs time and shows nothing more
PART_COLOURS = np.array(
    [
        [94, 129, 172],
        [235, 203, 139],
        [163, 190, 140],
        [208, 135, 112],
        [191, 97, 106],
        [180, 142, 173],
        [136, 192, 208],
        [222, 222, 222],
    ],
    np.uint8,
)
COLOUR_MAP = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].copy()
MOST_KNOTS = 10_000  # of a calibration that a file states


@dataclass(frozen=True)
class View:
    """What is shown of one frame. picture (H, W, 3) uint8 RGB with the mesh on it; vertices (N, 3) metres, camera frame, and colours (N, 3) uint8, or None without a fit; faces (M, 3);
    intrinsics (3, 3) for size (width, height) pixels, the frame's own, or None; top_mm: where the uncertainty's colours end. of: the live Result, or the row of a take."""

    of: Any
    picture: np.ndarray
    vertices: np.ndarray | None
    faces: np.ndarray
    colours: np.ndarray | None
    intrinsics: np.ndarray | None
    size: tuple[int, int]
    top_mm: int


def shrink(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture at most MAX_SIDE long, and the scale."""
    scale = min(1.0, MAX_SIDE / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, 1.0
    height, width = (max(1, round(s * scale)) for s in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), scale


def draw_over(
    picture: np.ndarray,
    scale: float,
    vertices: np.ndarray,
    faces: np.ndarray,
    colours: np.ndarray,
    intrinsics: np.ndarray,
    opacity: float,
) -> np.ndarray:
    """The mesh over a shrunk picture; intrinsics of the picture before it was shrunk by `scale`."""
    K = intrinsics.copy()
    K[:2] *= scale
    K[:2, 2] += (scale - 1) / 2  # pixel centres on whole numbers
    return render.overlay(picture, vertices, faces, K, opacity, colours)


def part_index(labels: np.ndarray) -> np.ndarray:
    """Which of BODY_PARTS each vertex belongs to, (N,) int, from the joint that moves it most."""
    of_joint = np.zeros(len(JOINT), int)
    for number, joints in enumerate(BODY_PARTS.values()):
        of_joint[[JOINT[j] for j in joints]] = number
    return of_joint[labels]


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Colours (N, 3) uint8 of values between low and high."""
    return COLOUR_MAP[np.clip((values - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)]


def top_for(high_mm: float) -> int:
    """Where colours may end that are to reach high_mm, mm."""
    return next((top for top in TOPS_MM if top >= high_mm), TOPS_MM[-1])


class Calibration:
    """From U(v) (Eq. 3), metres, to the error to expect, mm, by the curve that a file's meta keeps of its tracker; to U(v) itself, in mm, where there is none (`known` is False)."""

    def __init__(self, meta: Mapping[str, Any]):
        tracker = meta.get("tracker")
        stated = tracker.get("calibration") if isinstance(tracker, Mapping) else None
        self._std, self._error = _curve(stated)
        self.known = self._std is not None

    def error_mm(self, vertex_std: np.ndarray) -> np.ndarray:
        """Same shape as `vertex_std`, float32."""
        std = np.asarray(vertex_std, np.float32)
        return 1000 * (np.interp(std, self._std, self._error).astype(np.float32) if self.known else std)


def _curve(stated: Any) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """Two rising curves of the same length, or nothing: a file may state anything."""
    try:
        std, error = (np.asarray(stated[name], float) for name in ("std", "error"))
    except (TypeError, KeyError, ValueError):
        return None, None
    sound = (
        std.ndim == 1 and std.shape == error.shape and 0 < len(std) <= MOST_KNOTS and np.isfinite([std, error]).all()
    )
    return (std, error) if sound and (np.diff(std) >= 0).all() and (np.diff(error) >= 0).all() else (None, None)
