"""What is known of a person who was calibrated, see `standing`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lvd_live.tracking.options import TrackerOptions


@dataclass(frozen=True)
class Calibration:
    """What is known of a person. height : metres. scale : see `TrackerOptions`. betas : (B,) of the bundled body."""

    height: float
    scale: float
    betas: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"height": self.height, "scale": self.scale, "betas": list(self.betas)}

    @classmethod
    def from_json(cls, values: Any) -> Calibration | None:
        """The inverse of `to_json`; None for anything else."""
        try:
            made = cls(float(values["height"]), float(values["scale"]), tuple(map(float, values["betas"])))
            TrackerOptions(height=made.height, scale=made.scale)
        except (TypeError, KeyError, ValueError):
            return None
        return made if np.isfinite(made.betas).all() and np.abs(made.betas).max(initial=0.0) < 20 else None
