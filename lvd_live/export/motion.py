"""The body of a take on an even time grid, smoothed, turned and scaled as the options say: what every writer reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.estimate import estimate
from lvd_live.body.fit import BodyFitter, Fitted
from lvd_live.body.measure import Measurement
from lvd_live.body.skeleton import JOINT, rotation_between
from lvd_live.export.feet import planted
from lvd_live.export.grid import TimeGrid
from lvd_live.export.kinematics import forward_kinematics, interpolate
from lvd_live.export.low_pass import LowPass
from lvd_live.export.options import UNITS, UP, UP_AXIS, ExportOptions
from lvd_live.export.skeleton import Skeleton
from lvd_live.export.take import FittedTake, Take

_FEET = [JOINT["left_foot"], JOINT["right_foot"]]
_DOUBTFUL = 0.1  # the weight of a frame that is not to be believed
_FLOOR_PERCENTILE = 5  # of the lowest joint's height over time: a jump does not lift the floor


@dataclass(frozen=True)
class _Placed:
    """quaternions : (F, 24, 4) xyzw. pelvis : (F, 3). shift : (F, 3); what moved the pelvis there from where
    `LowPass.values` leaves it, as it does the meshes' vertices."""

    quaternions: np.ndarray
    pelvis: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True)
class BodyMotion:
    """A body in F frames, in the frame and unit that `options` name. Everything is computed as it is asked for.

    progress(done, all) : called as the body is fitted to the take, then for each mesh that is made; may raise to stop.
    """

    take: Take
    options: ExportOptions
    progress: Callable[[int, int], None] | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.grid)

    @cached_property
    def grid(self) -> TimeGrid:
        """The frames. Raises UserError."""
        return TimeGrid.over(self.take, self.options.rate)

    @cached_property
    def low_pass(self) -> LowPass:
        """What takes the jitter out, over the grid's frames; a doubtful one, or one in a gap, is hardly believed."""
        grid, rows = self.grid, np.flatnonzero(self.take.sequence.tracked)
        believed = grid.tracked & ~self.take.sequence.doubtful[rows][grid.before]
        weights = np.where(believed, 1.0, _DOUBTFUL)
        return LowPass(self.options.smooth, grid.fps, weights, self.take.sequence.shots[rows][grid.before])

    @property
    def up(self) -> np.ndarray | None:
        """(3,) unit, what is up in the camera frame; None where nobody stands or it is not to be asked."""
        if not self.options.level or self.options.origin == "camera":
            return None
        return self.fitted_take.up

    @cached_property
    def R_up_camera(self) -> np.ndarray:
        """(3, 3), from the camera frame to the chosen one, in which the person stands upright."""
        level = np.eye(3) if self.up is None else rotation_between(self.up, np.array([0.0, -1.0, 0.0]))
        return UP[self.options.up] @ level

    @cached_property
    def fitted_take(self) -> FittedTake:
        """The take and its body, in the camera frame."""
        return FittedTake(self.take, self.options.body, self.progress)

    @property
    def fitter(self) -> BodyFitter:
        """The body. Raises UserError."""
        return self.fitted_take.fitter

    @property
    def fitted(self) -> Fitted:
        """The body's parameters on the tracked frames, camera frame, metres. Raises UserError."""
        return self.fitted_take.fitted

    @cached_property
    def scale(self) -> float:
        """Metres of the person per metre of the take."""
        if self.options.height is None:
            return 1.0
        rest = self.fitter.rest(self.fitted.betas)
        return self.options.height / float(np.ptp(rest[:, 1]))

    @cached_property
    def unit(self) -> float:
        """The chosen unit per metre of the take."""
        return UNITS[self.options.unit] * self.scale

    @cached_property
    def measurements(self) -> dict[str, Measurement]:
        """The person's, scaled to `height`."""
        return estimate(self.fitter, self.fitted, self.options.height)

    @cached_property
    def residual_mm(self) -> np.ndarray:
        """(F,) the mean distance of the tracked vertices from the skinned body."""
        return self.grid.mix(self.fitted.residual_mm)

    @cached_property
    def rest(self) -> np.ndarray:
        """Rest vertices (N, 3), body frame (y up), in the chosen unit."""
        return self.fitter.rest(self.fitted.betas) * self.unit

    @cached_property
    def rest_joints(self) -> np.ndarray:
        """Rest joints (24, 3), as `rest`."""
        return self.fitter.regressor @ self.rest

    @cached_property
    def faces(self) -> np.ndarray:
        """(M, 3) int64."""
        return self.fitter.body.faces.numpy()

    @property
    def quaternions(self) -> np.ndarray:
        """(F, 24, 4) xyzw, each joint relative to its parent, the root in the chosen frame; signs change nowhere."""
        return self._placed.quaternions

    @property
    def pelvis(self) -> np.ndarray:
        """(F, 3), chosen frame and unit."""
        return self._placed.pelvis

    @property
    def shift(self) -> np.ndarray:
        """(F, 3), chosen frame and unit; from points of the take, turned, scaled and smoothed, to where they are
        exported."""
        return self._placed.shift

    @cached_property
    def pose(self) -> np.ndarray:
        """(F, 24, 3) axis-angle, as `quaternions`."""
        return Rotation.from_quat(self.quaternions.reshape(-1, 4)).as_rotvec().reshape(-1, 24, 3)

    @cached_property
    def fingers(self) -> np.ndarray | None:
        """(F, 30, 4) xyzw of SMPL-H's finger joints, relative to their parents; None where the take has no hands."""
        poses = self.fitted_take.hand_pose
        if poses is None:
            return None
        rotations = Rotation.from_rotvec(poses.reshape(-1, 3).astype(float)).as_matrix().reshape(-1, 30, 3, 3)
        return self.low_pass.rotations(interpolate(rotations, self.grid.before, self.grid.after, self.grid.share))

    @cached_property
    def skeleton(self) -> Skeleton:
        """The joints that skinned formats write, with fingers where the take has them and the body can move them."""
        rig = self.fitted_take.rig
        if self.fingers is None or rig is None:
            return Skeleton.of_body(self.fitter, self.rest, self.quaternions)
        return Skeleton.with_fingers(rig, self.rest, self.quaternions, self.fingers)

    @cached_property
    def joints(self) -> np.ndarray:
        """(F, 24, 3), chosen frame and unit."""
        return forward_kinematics(self.quaternions, self.pelvis, self.rest_joints, self.fitter.parents)

    @cached_property
    def _placed(self) -> _Placed:
        options, axis = self.options, UP_AXIS[self.options.up]
        quaternions, found = self._interpolated()
        quaternions, pelvis = self.low_pass.rotations(quaternions), self.low_pass.places(found)
        joints = forward_kinematics(quaternions, pelvis, self.rest_joints, self.fitter.parents)
        moved = np.zeros_like(pelvis)
        if options.foot_lock:
            moved = planted(joints[:, _FEET], axis, self.grid.fps, UNITS[options.unit])
        if options.origin == "floor":
            sole = float(self.rest_joints[:, 1].min() - self.rest[:, 1].min())  # below the lowest joint
            lowest = (joints[:, :, axis] + moved[:, None, axis]).min(1)
            start = pelvis[0] + moved[0]
            start[axis] = np.percentile(lowest, _FLOOR_PERCENTILE) - sole
            moved = moved - start
        return _Placed(quaternions, pelvis + moved, pelvis + moved - self.low_pass.values(found))

    def _interpolated(self) -> tuple[np.ndarray, np.ndarray]:
        """Quaternions (F, 24, 4) xyzw and pelvis (F, 3) on the grid, origin at the camera, chosen axes and unit."""
        fitted, grid, R_up_camera = self.fitted, self.grid, self.R_up_camera
        rotations = Rotation.from_rotvec(fitted.pose.reshape(-1, 3).astype(float)).as_matrix().reshape(-1, 24, 3, 3)
        rotations[:, 0] = R_up_camera @ rotations[:, 0]
        pelvis = self.fitter.rest_joints(fitted.betas)[0] + fitted.transl.astype(float)
        pelvis = pelvis @ R_up_camera.T * self.unit
        return interpolate(rotations, grid.before, grid.after, grid.share), grid.mix(pelvis)
