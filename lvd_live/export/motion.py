"""A take made ready for export: fitted with the body, laid on an even time grid, smoothed, turned and scaled; every writer reads this and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from lvd_live.body.correspondence import Correspondence
from lvd_live.body.fit import BodyFitter, Fitted
from lvd_live.body.measure import Measurement, measure
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import JOINT
from lvd_live.errors import UserError
from lvd_live.export.feet import planted
from lvd_live.export.rate import own_rate, resampled, tolerance
from lvd_live.paths import MODELS
from lvd_live.session.reader import open_session
from lvd_live.session.sequence import Sequence, load_sequence

UP = {
    "y": np.diag([1.0, -1.0, -1.0]),
    "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}  # R_up_camera: from the OpenCV camera frame
UNITS = {"m": 1.0, "cm": 100.0}
GAP = 0.5  # seconds: between frames that lie farther apart the person counts as not tracked
MOST_FRAMES = 1_000_000
_SKINNED = 32  # frames skinned at once


@dataclass(frozen=True)
class ExportOptions:
    """How a take is exported. rate: frames per second (None: the source's own where it is ordinary video, else 30). up "y" or "z", unit "m" or "cm". smooth: seconds, the standard deviation of a Gaussian over time. foot_lock: planted
    feet hold the body in place. mesh "fitted" (as tracked) or "regularised" (the skinned body). origin "floor" (under the first frame's pelvis) or "camera". body: the body file, None the bundled
    one. height: the person's, metres: scales everything so that the body has it; None leaves the scale of the take.
    """

    rate: float | None = None
    up: str = "y"
    unit: str = "m"
    smooth: float = 0.0
    foot_lock: bool = False
    mesh: str = "regularised"
    origin: str = "floor"
    body: Path | None = None
    height: float | None = None


@dataclass(frozen=True)
class Take:
    """A take as recorded: a `sequence.Sequence` or `library.Session`, and its name. It remembers what was fitted to it, so that several exports of one source fit once."""

    take: Sequence
    name: str
    fits: dict[Path | None, Fitted] = field(default_factory=dict, compare=False)

    @classmethod
    def open(cls, path: str | Path) -> Take:
        """A sequence file or a session's folder. Raises UserError."""
        path = Path(path)
        take = open_session(path) if path.is_dir() else load_sequence(path)
        if not take.tracked.any():
            raise UserError(f"Nobody is tracked in {path}: there is nothing to export.")
        return cls(take, path.name if path.is_dir() else path.stem)


@dataclass(frozen=True)
class BodyMotion:
    """F frames on an even grid, in the chosen frame and unit. times (F,) seconds from the first tracked frame; seen (F,) bool: false where the take has a gap that was bridged."""

    source: Take
    options: ExportOptions
    progress: Callable[[int, int], None] | None = field(default=None, compare=False)

    @cached_property
    def _clock(self) -> np.ndarray:
        """Seconds (T,) of the tracked frames, rising."""
        take = self.source.take
        tracked = np.flatnonzero(take.tracked)
        if take.fps <= 0 and "names" in take.meta:  # pictures on their own: one frame each
            return tracked / (self.options.rate or 30.0)
        seconds = (take.timestamps_ns[tracked] - take.timestamps_ns[tracked[0]]) / 1e9
        return seconds if (np.diff(seconds) > 0).all() else tracked / (take.fps if take.fps > 0 else 30.0)

    @cached_property
    def fps(self) -> float:
        """Frames per second of the grid."""
        return float(self.options.rate or own_rate(self.source.take.fps, self._clock))

    @cached_property
    def _tolerance(self) -> float:
        """Seconds, see `rate.tolerance`."""
        return tolerance(self.fps, self.source.take.fps, self._clock)

    @cached_property
    def resampling(self) -> str:
        """A sentence where the take's frames were interpolated; empty where they are kept."""
        before, after, share = self._mix
        kept = (before == after) | (share <= 0) | (share >= 1)
        return resampled(self.fps, self.source.take.fps, self._clock, kept)

    @cached_property
    def times(self) -> np.ndarray:
        clock = self._clock
        count = np.floor((clock[-1] - clock[0]) * self.fps + max(1e-3, self._tolerance * self.fps)) + 1
        if not 0 < count <= MOST_FRAMES:
            raise UserError(
                f"The times in {self.source.name} span {clock[-1] - clock[0]:.0f} s, too many frames to export; cut the take, or choose a lower --rate."
            )
        return np.arange(int(count)) / self.fps

    @cached_property
    def _mix(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each frame: the tracked frames before and after it, (F,) int64 each, counted among the tracked, and the share of the second."""
        clock = self._clock - self._clock[0]
        near = self._tolerance
        after = np.clip(np.searchsorted(clock, self.times - near), 0, len(clock) - 1)
        exact = np.abs(clock[after] - self.times) < near
        before = np.where(exact, after, np.maximum(after - 1, 0))
        span = clock[after] - clock[before]
        share = np.where(span > 0, (self.times - clock[before]) / np.where(span > 0, span, 1), 0.0)
        return before, after, np.clip(share, 0, 1)

    @cached_property
    def seen(self) -> np.ndarray:
        before, after, _ = self._mix
        usual = np.median(np.diff(self._clock)) if len(self._clock) > 1 else 0.0
        return self._clock[after] - self._clock[before] <= max(GAP, 2.5 * usual)

    @cached_property
    def gaps(self) -> str:
        """What was bridged or cut away, a sentence; empty if nothing."""
        parts = []
        take = self.source.take
        tracked = np.flatnonzero(take.tracked)
        lost = len(take) - len(tracked)
        if lost:
            parts.append(
                f"{lost} of {len(take)} frames have no mesh ({tracked[0]} before the first, {len(take) - 1 - tracked[-1]} after the last)"
            )
        if not self.seen.all():
            starts = np.flatnonzero(np.diff(np.concatenate([[True], self.seen]).astype(int)) == -1)
            parts.append(
                f"{len(starts)} gap{'s' * (len(starts) > 1)}, {np.count_nonzero(~self.seen) / self.fps:.1f} s in all, bridged in joints and marked as not tracked; meshes as tracked are left out there"
            )
        return "; ".join(parts).capitalize() + "." if parts else ""

    @cached_property
    def _default_body(self) -> BodyModel:
        return BodyModel.load(MODELS / "body" / "lvd_body.npz")

    @cached_property
    def fitter(self) -> BodyFitter:
        """The body that the take is fitted with. Raises UserError when its mesh is not the take's and cannot be carried over."""
        body = self._default_body if self.options.body is None else BodyModel.load(self.options.body)
        if not _same(self.source.take.faces, body) and not _same(self.source.take.faces, self._default_body):
            raise UserError(
                f"The mesh of {self.source.name} is not that of the body file; name the body that it was tracked with: --body FILE."
            )
        return BodyFitter(body)

    @cached_property
    def _carry(self) -> Correspondence | None:
        """From the take's mesh to the body's, where they differ."""
        return (
            None
            if _same(self.source.take.faces, self.fitter.body)
            else Correspondence.between(self._default_body, self.fitter.body)
        )

    @cached_property
    def fitted(self) -> Fitted:
        """The body's parameters on the tracked frames as recorded, in the camera frame, the meshes scaled to one size."""
        take, fits = self.source.take, self.source.fits
        if self.options.body not in fits:
            try:
                with np.errstate(all="ignore"):
                    fitted = self.fitter.fit(
                        _Tracked(take.vertices, take.tracked, self._carry),
                        _Tracked(take.vertex_std, take.tracked, self._carry),
                        camera=True,
                    )
            except (np.linalg.LinAlgError, ValueError) as error:  # what SciPy and NumPy say to numbers that are no mesh
                raise UserError(
                    f"No body can be fitted to the meshes in {self.source.name}: they are not of a person."
                ) from error
            if not np.isfinite(fitted.transl).all() or not np.isfinite(fitted.residual_mm).all():
                raise UserError(f"No body can be fitted to the meshes in {self.source.name}: they are not of a person.")
            fits[self.options.body] = fitted
        return fits[self.options.body]

    @cached_property
    def scale(self) -> float:
        """Metres of the person per metre of the take."""
        if self.options.height is None:
            return 1.0
        rest = self.fitter.rest(self.fitted.betas)
        return self.options.height / float(np.ptp(rest[:, 1]))

    @cached_property
    def _length(self) -> float:
        return UNITS[self.options.unit] * self.scale

    @cached_property
    def measurements(self) -> dict[str, Measurement]:
        return measure(self.fitter, self.fitted, self.options.height)

    @cached_property
    def residual_mm(self) -> np.ndarray:
        """(F,) the mean distance of the tracked vertices from the skinned body."""
        before, after, share = self._mix
        return (1 - share) * self.fitted.residual_mm[before] + share * self.fitted.residual_mm[after]

    @cached_property
    def rest(self) -> np.ndarray:
        """Rest vertices (N, 3), body frame (y up), in the chosen unit."""
        return self.fitter.rest(self.fitted.betas) * self._length

    @cached_property
    def rest_joints(self) -> np.ndarray:
        """(24, 3), as `rest`."""
        return self.fitter.regressor @ self.rest

    @cached_property
    def faces(self) -> np.ndarray:
        """(M, 3) int64."""
        return self.fitter.body.faces.numpy()

    @cached_property
    def _posed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Quaternions (F, 24, 4) xyzw, pelvis (F, 3), and the shift (F, 3) that smoothing apart took the take's points there, all in the chosen frame and unit."""
        before, after, share = self._mix
        local = Rotation.from_rotvec(self.fitted.pose.reshape(-1, 3).astype(float)).as_matrix().reshape(-1, 24, 3, 3)
        up = UP[self.options.up]
        local[:, 0] = up @ local[:, 0]
        a, b = (Rotation.from_matrix(local[i].reshape(-1, 3, 3)) for i in (before, after))
        turned = a * Rotation.from_rotvec(np.repeat(share, 24)[:, None] * (a.inv() * b).as_rotvec())
        q = _continuous(turned.as_quat().reshape(-1, 24, 4))
        pelvis = (
            (self.fitter.rest_joints(self.fitted.betas)[0] + self.fitted.transl.astype(float)) @ up.T * self._length
        )
        pelvis = (1 - share)[:, None] * pelvis[before] + share[:, None] * pelvis[after]
        if self.options.smooth > 0:
            sigma = self.options.smooth * self.fps
            q = gaussian_filter1d(q, sigma, axis=0, mode="nearest")
            q /= np.linalg.norm(q, axis=-1, keepdims=True)
            pelvis = gaussian_filter1d(pelvis, sigma, axis=0, mode="nearest")
        joints = forward_kinematics(q, pelvis, self.rest_joints, self.fitter.parents)
        axis = {"y": 1, "z": 2}[self.options.up]
        shift = (
            planted(joints[:, [JOINT["left_foot"], JOINT["right_foot"]]], axis, self.fps, UNITS[self.options.unit])
            if self.options.foot_lock
            else np.zeros_like(pelvis)
        )
        if self.options.origin == "floor":
            start = pelvis[0] + shift[0]
            start[axis] = np.percentile((joints[:, :, axis] + shift[:, None, axis]).min(1), 5) - self._sole
            shift = shift - start
        return q, pelvis + shift, shift

    @cached_property
    def _sole(self) -> float:
        """How far the rest body's lowest vertex lies below its lowest joint."""
        return float(self.rest_joints[:, 1].min() - self.rest[:, 1].min())

    @property
    def quaternions(self) -> np.ndarray:
        """(F, 24, 4) xyzw, each joint relative to its parent, the root in the chosen frame; signs change nowhere."""
        return self._posed[0]

    @property
    def pelvis(self) -> np.ndarray:
        """(F, 3)."""
        return self._posed[1]

    @cached_property
    def pose(self) -> np.ndarray:
        """(F, 24, 3) axis-angle."""
        return Rotation.from_quat(self.quaternions.reshape(-1, 4)).as_rotvec().reshape(-1, 24, 3)

    @cached_property
    def joints(self) -> np.ndarray:
        """(F, 24, 3)."""
        return forward_kinematics(self.quaternions, self.pelvis, self.rest_joints, self.fitter.parents)

    def __len__(self) -> int:
        return len(self.times)

    def meshes(self) -> Iterator[tuple[np.ndarray, np.ndarray] | None]:
        """For each frame its vertices (N, 3) float32 and their uncertainty (N,) float32, as tracked or skinned; None for a mesh as tracked in a gap."""
        make = self._as_tracked if self.options.mesh == "fitted" else self._skinned
        for number, mesh in enumerate(make()):
            if self.progress is not None:
                self.progress(number, len(self))
            yield mesh

    def _skinned(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        body, betas = self.fitter.body, torch.from_numpy(self.fitted.betas)[None]
        J0 = self.fitter.rest_joints(self.fitted.betas)[0]
        for first in range(0, len(self), _SKINNED):
            some = slice(first, first + _SKINNED)
            pose = torch.from_numpy(self.pose[some].astype(np.float32))
            with torch.no_grad():
                v = body(betas.expand(len(pose), -1), pose)[0].numpy() - J0
            v = v * self._length + self.pelvis[some, None]
            for vertices, number in zip(v.astype(np.float32), range(first, first + len(v)), strict=True):
                yield vertices, self._std(number)

    def _as_tracked(self) -> Iterator[tuple[np.ndarray, np.ndarray] | None]:
        up, reach = UP[self.options.up], int(np.ceil(3 * self.options.smooth * self.fps))
        weight = (
            np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(self.options.smooth * self.fps, 1e-9)) ** 2)
            if reach
            else np.ones(1)
        )
        shift, held = self._posed[2], {}
        for number in range(len(self)):
            window = [n for n in range(max(number - reach, 0), min(number + reach, len(self) - 1) + 1) if self.seen[n]]
            held = {n: held[n] if n in held else self._between(n) for n in window}
            if not self.seen[number]:
                yield None
                continue
            w = np.array([weight[n - number + reach] for n in window])
            v = sum(k * held[n] for k, n in zip(w / w.sum(), window, strict=True))
            yield (v @ up.T * self._length + shift[number]).astype(np.float32), self._std(number)

    def _between(self, number: int) -> np.ndarray:
        """The tracked vertices at one frame of the grid, at the body's size, camera frame, metres."""
        a, b, share = (m[number] for m in self._mix)
        v = self._row(a) if a == b else (1 - share) * self._row(a) + share * self._row(b)
        return v if self._carry is None else self._carry(v)

    def _row(self, index: int) -> np.ndarray:
        return self.fitted.scale[index] * np.asarray(self.source.take.vertices[self._tracked[index]], float)

    def _std(self, number: int) -> np.ndarray:
        index = self._mix[0][number]
        std = np.asarray(self.source.take.vertex_std[self._tracked[index]], np.float32)
        return (std if self._carry is None else self._carry(std[:, None])[:, 0]) * np.float32(
            self._length * self.fitted.scale[index]
        )

    @cached_property
    def _tracked(self) -> np.ndarray:
        return np.flatnonzero(self.source.take.tracked)


class _Tracked:
    """The tracked rows of an array that stays on disk, carried to another mesh where need be."""

    def __init__(self, rows, tracked: np.ndarray, carry: Correspondence | None):
        self.rows, self.index, self.carry = rows, np.flatnonzero(tracked), carry

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key) -> np.ndarray:
        rows = np.asarray(self.rows[self.index[key]], np.float32)
        if self.carry is None:
            return rows
        return self.carry(rows) if rows.ndim == 3 else self.carry(rows[..., None])[..., 0]


def forward_kinematics(
    quaternions: np.ndarray, pelvis: np.ndarray, rest_joints: np.ndarray, parents: np.ndarray
) -> np.ndarray:
    """Joints (F, 24, 3) from rotations relative to the parents, (F, 24, 4) xyzw, pelvis (F, 3) and rest joints (24, 3)."""
    R = Rotation.from_quat(quaternions.reshape(-1, 4)).as_matrix().reshape(-1, 24, 3, 3)
    out = np.empty((len(R), 24, 3))
    out[:, 0] = pelvis
    for j in range(1, 24):
        k = parents[j]
        out[:, j] = out[:, k] + R[:, k] @ (rest_joints[j] - rest_joints[k])
        R[:, j] = R[:, k] @ R[:, j]
    return out


def _continuous(q: np.ndarray) -> np.ndarray:
    """Quaternions (F, …, 4) with the sign that keeps each near the one before."""
    flips = np.cumprod(np.where((q[1:] * q[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0), axis=0)
    return np.concatenate([q[:1], q[1:] * flips])


def _same(faces: np.ndarray, body: BodyModel) -> bool:
    return np.array_equal(np.asarray(faces), body.faces.numpy())
