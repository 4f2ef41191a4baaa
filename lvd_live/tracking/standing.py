"""Calibrating one person: standing straight for two seconds gives scale and shape, their height being known.

A picture does not tell size. The tracker makes the mesh's skeleton as long as the height says for a body of average
proportions; that this person's own body then is as tall as they are takes a further factor, which depends on their
proportions and is read from the body that fits the meshes best.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lvd_live.body.fit import BodyFitter
from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.person.guidance import advise, hands_are_up
from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame
from lvd_live.tracking.calibration import Calibration
from lvd_live.tracking.fit import Fit
from lvd_live.tracking.options import SCALES, TrackerOptions

STAND_S = 2.0  # that the person must stand
LEAST_MESHES, MOST_MESHES = 5, 12  # that the shape is read from
UPRIGHT, FOLDED, STRAIGHT = 45.0, 30.0, 150.0  # degrees: lean before a camera that may look down, torso to legs, knees
STILL = 0.1  # of the torso's length in the picture, from where they stood until then
STAND_STRAIGHT, STAND_STILL, ARMS_DOWN = "Stand straight", "Stand still", "Let your arms hang"
_SHOULDERS, _HIPS, _KNEES, _ANKLES = ([11, 12], [23, 24], [25, 26], [27, 28])


@dataclass
class Standing:
    """Gathers the fits of somebody who stands straight; called with every frame until `progress` is 1.

    advice : what keeps it from going on, or "". fits : those that count.
    """

    advice: str = ""
    progress: float = 0.0
    fits: list[Fit] = field(default_factory=list)
    _stood: list[np.ndarray] = field(default_factory=list)  # landmarks (33, 2) of the frames that count

    def __call__(self, frame: Frame, person: Person | None, fit: Fit | None) -> None:
        """Take note of one frame."""
        if self.progress >= 1.0:
            return
        self.advice = advise(frame.picture, person) or (posture(person) if person is not None else "")
        if not self.advice and person is not None:
            self.advice = self._stillness(person)
        if self.advice:
            self.fits, self._stood, self.progress = [], [], 0.0
        elif fit is not None and not fit.doubtful:
            self.fits.append(fit)
            stood = (fit.timestamp_ns - self.fits[0].timestamp_ns) / 1e9
            self.progress = min(stood / STAND_S, 1.0) if len(self.fits) >= LEAST_MESHES else min(stood / STAND_S, 0.9)

    def _stillness(self, person: Person) -> str:
        now = person.landmarks[:, :2]
        self._stood.append(now)
        torso = np.linalg.norm(now[_HIPS].mean(0) - now[_SHOULDERS].mean(0))
        moved = np.linalg.norm(now - np.mean(self._stood, axis=0), axis=1)[_SHOULDERS + _HIPS + _KNEES].mean()
        return "" if moved <= STILL * torso else STAND_STILL


def posture(person: Person) -> str:
    """What is wrong with the posture of somebody who is to stand straight, "" for nothing."""
    if hands_are_up(person):
        return ARMS_DOWN
    points = person.world.astype(float)
    shoulders, hips, ankles = (points[pair].mean(0) for pair in (_SHOULDERS, _HIPS, _ANKLES))
    thighs, shins = points[_KNEES] - points[_HIPS], points[_ANKLES] - points[_KNEES]
    knees = 180 - np.mean([_angle(thigh, shin) for thigh, shin in zip(thighs, shins, strict=True)])
    upright = _angle(ankles - shoulders, np.array([0.0, 1, 0])) <= UPRIGHT
    is_straight = upright and _angle(hips - shoulders, ankles - hips) <= FOLDED and knees >= STRAIGHT
    return "" if is_straight else STAND_STRAIGHT


def calibrate(fits: list[Fit], body: BodyModel, height: float, options: TrackerOptions) -> Calibration:
    """The person's scale and shape from fits of them standing, which were made with `options`; takes a second.

    Raises UserError where the meshes are of nobody so tall.
    """
    chosen = [fits[i] for i in np.unique(np.linspace(0, len(fits) - 1, MOST_MESHES).round().astype(int))]
    meshes = np.stack([fit.vertices for fit in chosen]) * np.array([1, -1, -1], np.float32)
    std, fitter, larger = np.stack([fit.vertex_std for fit in chosen]), BodyFitter(body), 1.0
    try:
        for _ in range(2):  # a larger body has another shape
            betas, _ = fitter.fit_shape(meshes * np.float32(larger), std * np.float32(larger))
            larger *= height / float(np.ptp(fitter.rest(betas)[:, 1]))
    except (np.linalg.LinAlgError, ValueError) as error:
        raise UserError("The calibration failed: the meshes are not of a person.") from error
    made_for = float(np.ptp(body.v_template.numpy()[:, 1])) if options.height is None else options.height
    scale = options.scale * larger * made_for / height
    if not SCALES[0] <= scale <= SCALES[1]:
        raise UserError(f"The calibration failed: the mesh is of nobody who is {height:.2f} m tall; check the height.")
    return Calibration(height, float(scale), tuple(map(float, betas)))


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    """Between two vectors, degrees."""
    cosine = a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
