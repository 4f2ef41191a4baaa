"""What a tracked person's measurements are likely to be, and within how many centimetres.

Clothes widen what the camera sees and hide what is under them, and a network in doubt leans to the average. Both were
measured on synthetic people, whose shape is known. With t the logarithm of a length over the height, over people
N(μ, τ²), the body fitted to n different views has

    f = φ + s (t − μ) + e,    e ~ N(0, σ_person² + σ_view² / n),

where s < 1 is the leaning, σ_person what more views do not mend (the clothes), σ_view what they do. So, given f,

    t ~ N(μ + k (f − φ), τ² (1 − s k)),    k = s τ² / (s² τ² + σ_person² + σ_view² / n).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from lvd_live.body.fit import SHAPE_FRAMES, BodyFitter, Fitted
from lvd_live.body.measure import Measurement, measure

HEIGHTS = 0.076  # standard deviation of the logarithm of adults' heights: what is not known where none was given
TURNED, BENT = np.radians(30), np.radians(15)  # another view: the body turned, or its joints bent in the mean, so far


@dataclass(frozen=True)
class ErrorModel:
    """How one length errs, see above: μ, τ, φ, s, σ_person, σ_view."""

    mean: float
    deviation: float
    found: float
    slope: float
    person: float
    view: float

    def likely(self, found: float, views: float) -> tuple[float, float]:
        """Mean and standard deviation of t, given f of so many different views."""
        variance = self.deviation**2
        noise = self.person**2 + self.view**2 / views
        gain = self.slope * variance / (self.slope**2 * variance + noise)
        return self.mean + gain * (found - self.found), float(np.sqrt(variance * (1 - self.slope * gain)))

    @classmethod
    def measured(cls, true: np.ndarray, once: np.ndarray, together: np.ndarray, views: float) -> ErrorModel:
        """From P people: t (P,), f of single views (P, K), and f (P,) of `views` views together."""
        slope, _ = np.polyfit(true, together, 1)
        mean, found = true.mean(), together.mean()
        alone = once - once.mean() - slope * (true - mean)[:, None]  # its own mean: one view's bias is another
        many = (together - found - slope * (true - mean)).var()
        view = max(alone.var() - many, 0.0) / (1 - 1 / views)
        person = max(many - view / views, 0.0)
        return cls(*map(float, (mean, true.std(), found, slope, np.sqrt(person), np.sqrt(view))))


# Of 64 held-out synthetic people, 16 pictures of each, limbs on the outline: `evaluate.experiments.error_models`.
ERRORS = {
    "chest": ErrorModel(-0.5491, 0.0796, -0.5263, 0.2500, 0.0202, 0.0435),
    "waist": ErrorModel(-0.7965, 0.1311, -0.7387, 0.3213, 0.0406, 0.0613),
    "hip": ErrorModel(-0.5571, 0.1010, -0.5250, 0.3494, 0.0275, 0.0439),
    "inseam": ErrorModel(-0.7390, 0.0247, -0.7482, 0.5970, 0.0050, 0.0203),
    "arm_span": ErrorModel(0.0033, 0.0164, 0.0034, 0.2043, 0.0015, 0.0174),
}


def estimate(fitter: BodyFitter, fitted: Fitted, height: float | None = None) -> dict[str, Measurement]:
    """`measure`, corrected by `ERRORS`, each with its `error`.

    height : metres, the person's true height. Without it the meshes' own scale stays, which is a guess, and the errors
        say so.
    """
    raw = measure(fitter, fitted, height)
    tall, views = raw["height"].cm, different_views(fitted.pose)
    unknown = HEIGHTS if height is None else 0.0
    found = {"height": replace(raw["height"], error=unknown * tall)}
    for name, model in ERRORS.items():
        ratio, deviation = model.likely(float(np.log(raw[name].cm / tall)), views)
        cm = tall * float(np.exp(ratio))
        found[name] = replace(raw[name], cm=cm, error=cm * float(np.hypot(deviation, unknown)))
    return found


def different_views(pose: np.ndarray) -> int:
    """How many of up to SHAPE_FRAMES of the poses (F, 24, 3), axis-angle, differ from each of those counted before; 1
    at least.

    Frames that look alike err alike: a second tells no more than the first.
    """
    chosen = np.unique(np.linspace(0, max(len(pose) - 1, 0), SHAPE_FRAMES).round().astype(int))[: len(pose)]
    turns = Rotation.from_rotvec(pose[chosen].reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    counted = turns[:1]
    for turn in turns[1:]:
        cosine = (np.einsum("njab,jab->nj", counted, turn) - 1) / 2
        angle = np.arccos(cosine.clip(-1, 1))
        if ((angle[:, 0] > TURNED) | (angle[:, 1:].mean(1) > BENT)).all():
            counted = np.concatenate([counted, turn[None]])
    return max(len(counted), 1)
