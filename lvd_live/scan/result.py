"""What a registration gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lvd_live.body.hand_rig import Side
from lvd_live.scan.frame import Frame
from lvd_live.scan.skinned import Parameters


@dataclass(frozen=True)
class Registration:
    """A body in a scan.

    vertices : (N, 3) float64, the fit, in the scan's unit and axes. faces : (M, 3).
    pose : (K, 3) float64 axis-angle, the root's in the scan's axes. betas : (B,). trans : (3,) metres. scale : the
    scan's units in a metre. displacements : (N, 3) metres, of the rest vertices; zeros without +D. So
    vertices = scale · body(pose, betas, trans, displacements).
    joints : (K, 3), as the vertices. skinned : (N, 3), the vertices without displacements.
    std : (N,) metres, the descent's uncertainty; zeros where it is unknown.
    to_scan : (N,) metres, of the vertices from the scan's points. from_scan : (P,) metres, of `points` from the fit.
    points : (P, 3), those of the scan that were kept, in its unit and axes.
    notes : what was decided. explained : whether the fit explains its scan; of a scan from one side only what it
    shows, see `verdict`. unit, up : as found.
    residual : metres, of the skinned body; see `ScanSolver.residual`. partial : whether the scan shows one side.
    frame, parameters : metres, y up, and the fit there: where the next scan of a sequence may start.
    """

    vertices: np.ndarray
    faces: np.ndarray
    pose: np.ndarray
    betas: np.ndarray
    trans: np.ndarray
    scale: float
    displacements: np.ndarray
    joints: np.ndarray
    skinned: np.ndarray
    std: np.ndarray
    to_scan: np.ndarray
    from_scan: np.ndarray
    points: np.ndarray
    notes: list[str]
    explained: bool
    unit: str
    up: str
    residual: float
    partial: bool
    frame: Frame
    parameters: Parameters

    @property
    def verdict(self) -> str:
        """Whether the fit explains its scan, in words.

        Of a scan from one side the distances judge that side alone: a fit that lies on it may be wrong on the other.
        """
        if not self.explained:
            return "not explained"
        return "explained, one side seen" if self.partial else "explained"


@dataclass(frozen=True)
class HandRegistration(Registration):
    """A hand in a scan: `Registration`, and which hand it is.

    Where no unit is told, the metre is that in which the hand is about as large as the template.
    """

    side: Side = "right"
