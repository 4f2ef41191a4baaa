"""The mesh in space as it stands: at a distance that does not shake, upright though the camera is tilted. No Qt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lvd_live.body.balance import feet_seen, up_direction
from lvd_live.body.skeleton import rotation_between
from lvd_live.gui.shading import Mesh
from lvd_live.tracking.smoothing import SteadyDistance

FLIP = np.array([1.0, -1.0, -1.0])  # between the camera frame and one whose y axis is up
LEVEL = np.array([0.0, -1.0, 0.0])  # what is up before a camera that is level, camera frame
EVERY = 5  # frames, of which one is looked at
DOUBT = 4  # looks at a level camera that the first ones have against them
MOST = 30  # looks that what is up is the mean of


class Upright:
    """Places the meshes of one camera, frame after frame.

    up : (3,) what is up in the camera's frame, as far as it is known.
    """

    def __init__(self) -> None:
        self._distance = SteadyDistance()
        self.up, self._count, self._frames = LEVEL, 0, 0

    def new_person(self) -> None:
        """The next mesh is of somebody else, or follows no other one."""
        self._distance.reset()

    def note(self, vertices: np.ndarray, regressor: np.ndarray, landmarks: np.ndarray, size: tuple[int, int]) -> None:
        """Learn what is up from a mesh (N, 3), camera frame, of a person who was found at landmarks (33, 3), pixels and
        visibility, in a picture of `size`: width and height. regressor : (24, N), gives SMPL's joints."""
        self._frames += 1
        if self._frames % EVERY:
            return
        joints = regressor @ vertices
        up = up_direction((joints * FLIP)[None], feet_seen(landmarks[None], np.array([size])), 1)
        if up is not None:
            self._count = min(self._count + 1, MOST)
            self.up = self.up + (up * FLIP - self.up) / (self._count + DOUBT)

    def __call__(self, mesh: Mesh, time_ns: int) -> Mesh:
        """The mesh in a frame like the camera's, with the same origin, whose y axis points down."""
        R = rotation_between(self.up, LEVEL).astype(np.float32)
        return replace(mesh, vertices=self._distance.hold(mesh.vertices, time_ns) @ R.T, R_level_camera=R)
