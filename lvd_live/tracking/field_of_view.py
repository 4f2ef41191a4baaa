"""The camera's field of view from a measured distance to somebody who was calibrated.

A picture of one person does not tell it: what they seem to be by a longer lens and farther away is the same, but for
the little perspective within the body. With their size known, one distance does.
"""

from __future__ import annotations

import math

import numpy as np

from lvd_live.errors import UserError
from lvd_live.tracking.calibration import Calibration
from lvd_live.tracking.fit import Fit
from lvd_live.tracking.options import FOV_RANGE, TrackerOptions

NEAREST, FARTHEST = 0.5, 20.0  # metres, of the person
_HIPS = (23, 24)


def field_of_view(fits: list[Fit], known: Calibration, distance: float, options: TrackerOptions) -> float:
    """Degrees across the picture's longer side, from fits that were made with `options`.

    A focal length k times as long puts a body k times as far away and leaves it where it is sideways: k is such that
    the middle of the hips (x, y, z) comes to the distance D, k = sqrt(D² − x² − y²) / z.

    distance : metres, from the lens to the middle of the hips. Raises UserError where no camera sees it so.
    """
    larger = known.scale / options.scale
    hips = larger * np.median([fit.landmarks_3d[list(_HIPS)].mean(0) for fit in fits], axis=0)
    squared = distance**2 - float(hips[0] ** 2 + hips[1] ** 2)
    longer = 2 * float(fits[-1].intrinsics[:2, 2].max()) + 1
    if squared > 0 and hips[2] > 0:
        focal = float(fits[-1].intrinsics[0, 0]) * math.sqrt(squared) / float(hips[2])
        degrees = math.degrees(2 * math.atan(longer / 2 / focal))
        if FOV_RANGE[0] <= degrees <= FOV_RANGE[1]:
            return degrees
    raise UserError(
        f"The field of view cannot be found: nobody stands {distance:.2f} m away; check distance and height."
    )
