"""The registration of a scan in a thread of its own. The engine for scans is imported there, when it is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import Signal

from lvd_live.errors import UserError
from lvd_live.gui.background import BackgroundTask
from lvd_live.gui.language import tr

if TYPE_CHECKING:
    from lvd_live.scan.registration import Registration

FOUND, BODY, HAND, LEFT, RIGHT = "found", "body", "hand", "left hand", "right hand"
KINDS = (FOUND, BODY, HAND, LEFT, RIGHT)
_HANDS = {HAND: "found", LEFT: "left", RIGHT: "right"}
UNITS, UPS = ("m", "cm", "mm", "inch"), ("y", "z", "-y", "x", "-x", "-z")  # as in scan.frame, which imports torch
REACH = 4.0  # spacings: samples lie no farther apart
TALL = 1.7  # metres: as large a hand is shown


@dataclass(frozen=True)
class Told:
    """What the user says of a scan. kind : one of KINDS. unit, up : see `scan.frame`; None: found."""

    kind: str = FOUND
    unit: str | None = None
    up: str | None = None


@dataclass(frozen=True)
class Found:
    """A registration, and what is drawn of it: metres, x right, y down, z forward, as of somebody who is looked at.

    fit : in the scan's unit and axes. hand : "left" or "right", "" for a body.
    points : (P, 3) float32 of the scan; normals : (P, 3) float32. vertices : (N, 3) float32 of the fit.
    distance : (N,) metres, of the vertices from the scan's surface, see `surface_distance`.
    """

    fit: Registration
    hand: str
    points: np.ndarray
    normals: np.ndarray
    vertices: np.ndarray
    distance: np.ndarray


class ScanJob(BackgroundTask):
    """Registers the scan at `path` once `start` is called.

    register : as `lvd_live.register`; None: that.

    progressed : the share done, 0..1, and a few words. ended : Found or None, and a sentence where it failed.
    """

    progressed = Signal(float, str)
    failure = "The registration failed"

    def __init__(self, path: Path, told: Told, register: Callable[..., Registration] | None = None):
        super().__init__("scan")
        self.path, self.told, self._register = Path(path), told, register

    def _work(self) -> tuple[Found, str]:
        try:
            return self._find(), ""
        except UserError as error:
            if self.cancelled:
                raise UserError(tr("Stopped.")) from error
            raise

    def _find(self) -> Found:
        kind = self.told.kind
        if kind != FOUND:
            return _shown(self._attempt(_HANDS.get(kind)))
        try:
            fit, problem = self._attempt(None, 0.5), None
        except UserError as error:
            if self.cancelled:
                raise
            self._check_readable()
            fit, problem = None, error
        if fit is not None and fit.explained:
            return _shown(fit)
        with contextlib.suppress(UserError):
            hand = self._attempt("found", 0.5, 0.5)
            if hand.explained:
                return _shown(hand)
        if fit is None or self.cancelled:
            raise problem or UserError(tr("Stopped."))
        return _shown(fit)

    def _check_readable(self) -> None:
        from lvd_live.scan.reading import read_scan

        read_scan(self.path)  # else there is no hand to be sought either

    def _attempt(self, hand: str | None, share: float = 1.0, before: float = 0.0) -> Registration:
        """One registration, which is `share` of the work, after `before` of it. hand : see `lvd_live.register`."""
        register = self._register or _engine()
        options: dict[str, Any] = {"unit": self.told.unit, "up": self.told.up if hand is None else None}

        def report(done: float, words: str) -> None:
            with contextlib.suppress(RuntimeError):
                self.progressed.emit(before + share * done, words)

        fit = register(self.path, hand=hand, progress=report, stop=self._stop, **options)
        if self.cancelled:
            raise UserError(tr("Stopped."))
        return fit


def _engine() -> Callable[..., Registration]:
    import lvd_live

    return lvd_live.register  # imports torch


def _shown(fit: Registration) -> Found:
    """With a body's front toward the viewer."""
    from scipy.spatial.transform import Rotation

    from lvd_live.scan.frame import about_y
    from lvd_live.scan.sampling import estimated_normals

    hand = str(getattr(fit, "side", ""))
    front = Rotation.from_rotvec(fit.parameters.pose[0]).as_matrix()[:, 2]
    R = np.eye(3) if hand else about_y(-np.degrees(np.arctan2(front[0], front[2])))
    points, vertices = fit.frame.into(fit.points) @ R.T, fit.frame.into(fit.vertices) @ R.T
    normals = estimated_normals(points)
    distance = surface_distance(vertices, points, normals)
    middle = (vertices.min(0) + vertices.max(0)) / 2
    size = TALL / max(float(np.ptp(vertices, axis=0).max()), 1e-9) if hand else 1.0
    before = np.array([1.0, -1.0, -1.0])  # y up and z toward the viewer, to OpenCV's axes
    points, vertices = (((p - middle) * size * before).astype(np.float32) for p in (points, vertices))
    return Found(fit, hand, points, (normals * before).astype(np.float32), vertices, distance)


def surface_distance(vertices: np.ndarray, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """How far vertices (N, 3) lie from the surface that points (P, 3) with normals (P, 3) are samples of, (N,).

    The nearest point's plane counts where the point is as near as samples lie apart; where there is a hole, the point.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    away, nearest = tree.query(vertices)
    few = points[:: max(1, len(points) // 2000)]
    reach = REACH * float(np.median(tree.query(few, k=2)[0][:, 1]))
    off_plane = np.abs(((vertices - points[nearest]) * normals[nearest]).sum(1))
    along = np.sqrt(np.maximum(away**2 - off_plane**2, 0))
    return np.where(along <= reach, off_plane, away)
