"""What is exported: a take, and the body fitted to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from lvd_live.body.balance import feet_seen, up_direction
from lvd_live.body.correspondence import Correspondence
from lvd_live.body.fingers import FingerRig
from lvd_live.body.fit import BodyFitter, Fitted
from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.export.skeleton import with_wrists, without_fingers
from lvd_live.paths import MODELS
from lvd_live.session.reader import open_session
from lvd_live.session.rows import Rows
from lvd_live.session.sequence import Sequence, load_sequence
from lvd_live.tracking.calibration import Calibration

UP_FRAMES = 200  # of a take, evenly spread, that are asked what is up
STANDING_S, STANDING_FRAMES = 0.5, 5  # how long somebody must stand before the camera's tilt is known, at least


@dataclass(frozen=True)
class Take:
    """A sequence or session, and its name.

    fits : what was fitted to it, by body file: several exports of one take fit once.
    part_of : the sequence that it is a part of; None: it is whole.
    """

    sequence: Sequence
    name: str
    fits: dict[Path | None, Fitted] = field(default_factory=dict, compare=False)
    part_of: Sequence | None = field(default=None, compare=False)

    @property
    def whole(self) -> Sequence:
        """The sequence with what is before and after this part."""
        return self.sequence if self.part_of is None else self.part_of

    @classmethod
    def open(cls, path: str | Path) -> Take:
        """A sequence file or a session's folder. Raises UserError."""
        path = Path(path)
        sequence = open_session(path) if path.is_dir() else load_sequence(path)
        if not sequence.tracked.any():
            raise UserError(f"Nobody is tracked in {path}: there is nothing to export.")
        return cls(sequence, path.name if path.is_dir() else path.stem)

    def between(self, start: float | None, end: float | None) -> Take:
        """The part from `start` to `end`, seconds from its first frame. Raises UserError where nobody is tracked."""
        if start is None and end is None:
            return self
        part = self.sequence.between(start, end)
        if not part.tracked.any():
            raise UserError(f"Nobody is tracked in that part of {self.name}: there is nothing to export.")
        return Take(part, self.name, part_of=self.whole)


@dataclass(frozen=True)
class FittedTake:
    """A take and a body fitted to its tracked frames, which are counted by themselves here, 0 … T - 1.

    body_file : None: the bundled body. progress(done, all) : called for frames that are fitted; it may raise to stop.
    """

    take: Take
    body_file: Path | None
    progress: Callable[[int, int], None] | None = field(default=None, compare=False)

    @cached_property
    def fitter(self) -> BodyFitter:
        """The body. Raises UserError where its mesh is not the take's and the take's cannot be carried over to it."""
        body = self._bundled if self.body_file is None else BodyModel.load(self.body_file)
        faces = self.take.sequence.faces
        if not _has_faces(body, faces) and not _has_faces(self._bundled, faces):
            hint = "name the body that it was tracked with: --body FILE"
            raise UserError(f"The mesh of {self.take.name} is not that of the body file; {hint}.")
        return BodyFitter(body)

    @cached_property
    def fitted(self) -> Fitted:
        """The body's parameters in the camera frame, the meshes scaled to one size. Raises UserError."""
        fits = self.take.fits
        if self.body_file not in fits:
            fits[self.body_file] = self._fit()
        return fits[self.body_file]

    def vertices(self, index: int) -> np.ndarray:
        """The mesh of a tracked frame as tracked, (N, 3) float64 metres, scaled to the body's size, camera frame."""
        row = self.take.sequence.vertices[self._tracked[index]]
        return self.fitted.scale[index] * np.asarray(row, float)

    def vertex_std(self, index: int) -> np.ndarray:
        """The uncertainty of that mesh on the body's vertices, (N,) float32 metres, not scaled."""
        std = np.asarray(self.take.sequence.vertex_std[self._tracked[index]], np.float32)
        return std if self.carry is None else self.carry(std[:, None])[:, 0]

    @cached_property
    def carry(self) -> Correspondence | None:
        """From the take's mesh to the body's, where they differ."""
        if _has_faces(self.fitter.body, self.take.sequence.faces):
            return None
        return Correspondence.between(self._bundled, self.fitter.body)

    @cached_property
    def up(self) -> np.ndarray | None:
        """(3,) unit, the direction that is up in the camera's frame, judged by how the person stands in the whole take;
        None where nobody does, and for pictures that have nothing to do with each other."""
        sequence = self.take.whole
        rows = np.flatnonzero(sequence.tracked & ~sequence.doubtful)
        if sequence.alone or not len(rows):
            return None
        some = rows[np.unique(np.linspace(0, len(rows) - 1, UP_FRAMES).astype(int))]
        regressor = self.fitter.regressor if self.carry is None else self._bundled.J_regressor.numpy()
        seen = feet_seen(sequence.landmarks[some], sequence.image_size[some])
        least = STANDING_S * sequence.fps * len(some) / len(rows)
        with np.errstate(all="ignore"):  # a take may hold anything
            joints = np.stack([regressor @ sequence.vertices[row] for row in some]) * [1, -1, -1]
            up = up_direction(joints, seen, max(round(least), STANDING_FRAMES))
        return None if up is None else up * [1, -1, -1]

    @cached_property
    def rig(self) -> FingerRig | None:
        """What moves the body's fingers; None for one of another topology."""
        return FingerRig.of(self.fitter.body)

    @cached_property
    def hand_pose(self) -> np.ndarray | None:
        """(T, 30, 3) axis-angle of SMPL-H's finger joints; None where no hand was looked for."""
        states = self.take.sequence.hand_states[self._tracked]
        return self.take.sequence.hand_pose[self._tracked] if states.any() else None

    @cached_property
    def _bundled(self) -> BodyModel:
        return BodyModel.load(MODELS / "body" / "lvd_body.npz")

    @cached_property
    def _tracked(self) -> np.ndarray:
        """(T,) rows of the tracked frames."""
        return np.flatnonzero(self.take.sequence.tracked)

    @property
    def _calibrated(self) -> np.ndarray | None:
        """The shape (B,) float32 that the person was calibrated with, None where it is to be read from the meshes."""
        known = Calibration.from_json(self.take.sequence.meta.get("calibration"))
        if known is None or self.body_file is not None or len(known.betas) != self.fitter.n_betas:
            return None
        return np.array(known.betas, np.float32)

    def _fit(self) -> Fitted:
        sequence = self.take.sequence
        vertices = _TrackedRows(sequence.vertices, self._tracked, self.carry, self.progress)
        rows = _TrackedRows(sequence.vertex_std, self._tracked, self.carry)
        std: _TrackedRows | _WithoutFingers = rows
        if self.hand_pose is not None and self.rig is not None and self.carry is None:
            std = _WithoutFingers(rows, self.rig)
        failure = f"No body can be fitted to the meshes in {self.take.name}: they are not of a person."
        try:
            with np.errstate(all="ignore"):
                fitted = self.fitter.fit(vertices, std, self._calibrated, camera=True)
        except (np.linalg.LinAlgError, ValueError) as error:  # raised by SciPy and NumPy for numbers that are no mesh
            raise UserError(failure) from error
        if not np.isfinite(fitted.transl).all() or not np.isfinite(fitted.residual_mm).all():
            raise UserError(failure)
        if isinstance(std, _WithoutFingers) and self.rig is not None:
            return with_wrists(self.fitter, self.rig, fitted, (sequence.vertices[row] for row in self._tracked))
        return fitted


class _TrackedRows:
    """The tracked rows of an array that stays on disk, carried to another mesh where need be."""

    def __init__(
        self,
        rows: np.ndarray | Rows,
        tracked: np.ndarray,
        carry: Correspondence | None,
        on_read: Callable[[int, int], None] | None = None,
    ):
        self._rows, self._index, self._carry, self._on_read = rows, tracked, carry, on_read

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        if self._on_read is not None and isinstance(key, slice):
            self._on_read(key.start or 0, len(self))
        rows = np.asarray(self._rows[self._index[key]], np.float32)
        if self._carry is None:
            return rows
        return self._carry(rows) if rows.ndim == 3 else self._carry(rows[..., None])[..., 0]


class _WithoutFingers:
    """The spread of meshes, but for their fingers, which say nothing of a body that cannot move them."""

    def __init__(self, rows: _TrackedRows, rig: FingerRig):
        self._rows, self._rig = rows, rig

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        return without_fingers(self._rig, self._rows[key])


def _has_faces(body: BodyModel, faces: np.ndarray) -> bool:
    return np.array_equal(faces, body.faces.numpy())
