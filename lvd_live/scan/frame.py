"""Unit and axes of a scan: from the file's numbers to metres with y up, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.skeleton import rotation_between
from lvd_live.scan.skinned import Parameters

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}
UPS: dict[str, tuple[int, int, int]] = {
    "y": (0, 1, 0),
    "z": (0, 0, 1),
    "-y": (0, -1, 0),
    "x": (1, 0, 0),
    "-x": (-1, 0, 0),
    "-z": (0, 0, -1),
}
TALLEST, SHORTEST = 1.4, 0.5  # times the template's bones: a person's bones in the right unit are between


@dataclass(frozen=True)
class Frame:
    """x_metres = metre R (x − origin): metres, y up.

    R : (3, 3) a rotation. origin : (3,) file units. metre : metres of one file unit.
    """

    R: np.ndarray
    origin: np.ndarray
    metre: float

    def into(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the file in metres."""
        return self.metre * ((points - self.origin) @ self.R.T)

    def out_of(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) in metres as the file has them."""
        return points @ self.R / self.metre + self.origin


def up_rotation(up: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    """The rotation (3, 3) that turns the direction `up` (3,) into +y, by the smallest angle."""
    direction = np.asarray(up, float)
    direction = direction / np.linalg.norm(direction)
    if direction[1] < -0.999999:
        return np.diag([1.0, -1.0, -1.0])
    return rotation_between(direction, np.array([0.0, 1.0, 0.0]))


def about_y(degrees: float) -> np.ndarray:
    """The rotation (3, 3) about y that turns +z toward +x."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def unit_of(ratio: float) -> tuple[str | None, float]:
    """The unit in which bones `ratio` times as long (file units) as the template's (metres) are a person's.

    Returns its name and its metres; None and 1 / ratio where no unit fits.
    """
    fits = {name: ratio * metre for name, metre in UNITS.items() if SHORTEST < ratio * metre < TALLEST}
    if not fits:
        return None, 1 / ratio
    name = min(fits, key=lambda n: abs(np.log(fits[n])))
    return name, UNITS[name]


def in_file(frame: Frame, p: Parameters, pelvis: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """pose, trans and scale of the body in the file's unit and axes; pelvis : (3,) at rest, which the pose turns about.

    The body b(pose) turns about the rest pelvis J: e^s b + t = metre R (x − o), so x = scale (R^T-turned b + trans).
    """
    pose = p.pose.copy()
    pose[0] = (Rotation.from_matrix(frame.R.T) * Rotation.from_rotvec(p.pose[0])).as_rotvec()
    scale = float(np.exp(p.size)) / frame.metre
    at = frame.out_of(np.exp(p.size) * pelvis + p.place)
    return pose, at / scale - pelvis, scale
