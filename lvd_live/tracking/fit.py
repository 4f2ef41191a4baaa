"""What became of a frame: a body mesh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lvd_live.person.crop import Crop


@dataclass(frozen=True)
class Fit:
    """A body mesh on one frame. Camera frame: OpenCV's, x right, y down, z forward, metres.

    vertices : (N, 3) float32, camera frame.
    vertex_std : (N,) float32 metres, U(v) of Eq. 3; zeros where it was not estimated.
    landmarks_3d : (33, 3) float32, BlazePose's landmarks on the mesh, camera frame.
    intrinsics : (3, 3) float64, what projects the vertices into the picture.
    iterations : how many were done. step : the mean displacement of the last one, crop units; steps : of each.
    cold : started from a point, not from the last mesh.
    crop, crop_vertices : the crop, and the mesh in its frame before hands were fitted, (N, 3) float32 crop units.
    milliseconds : time by stage.
    doubtful : not to be believed, see `doubt`; vertex_std is raised then.
    hand_pose : (30, 3) float32 axis-angle of SMPL-H's finger joints, the left hand's first, relative to the parents;
        None where no hands were looked for. hand_states : of the left and the right hand, see `hand_fit`.
    frame_index, timestamp_ns : the frame's own.
    jumped : the person is further from the last frame than bodies move, so that it was not started from: a cut.
    """

    vertices: np.ndarray
    vertex_std: np.ndarray
    landmarks_3d: np.ndarray
    intrinsics: np.ndarray
    iterations: int
    step: float
    cold: bool
    crop: Crop
    crop_vertices: np.ndarray
    milliseconds: Mapping[str, float]
    steps: tuple[float, ...]
    frame_index: int
    timestamp_ns: int
    doubtful: bool = False
    jumped: bool = False
    hand_pose: np.ndarray | None = None
    hand_states: tuple[int, int] = (0, 0)
