"""Light of a synthetic picture: ambient in low-order spherical harmonics, two directional lights, a shadow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Light:
    """Light in the camera frame (x right, y up, z toward the viewer); colours are linear RGB radiance.

    directions : (2, 3) float32, unit vectors toward the two lights.
    colours : (2, 3) float32, light falling on a surface that faces each light; the first light casts the shadow.
    ambient : (4, 3) float32; irradiance = ambient[0] + ambient[1:].T @ normal.
    shadow : 0 (none; no shadow map is drawn then) .. 1 (black).
    """

    directions: np.ndarray
    colours: np.ndarray
    ambient: np.ndarray
    shadow: float = 0.0


def sample_light(rng: np.random.Generator, shadow_share: float = 0.5) -> Light:
    """Random plausible light: mostly from above, white to warm or cool, soft to hard.

    shadow_share : probability of a cast shadow.
    """
    directions = np.stack([_direction(rng, 0.15, 1.0), _direction(rng, -0.3, 0.8)])
    share = rng.uniform(0.25, 0.9)
    exposure = rng.uniform(0.65, 1.5)
    hardness = rng.uniform(0.1, 0.9)
    key = exposure * hardness * 1.3 * tint(rng, 0.15)
    fill = key.mean() * (rng.uniform(0.1, 0.7) if share > 0.4 else 0.0) * tint(rng, 0.25)
    constant = exposure * (1.0 - 0.75 * hardness) * 0.8 * tint(rng, 0.12)
    sky = constant * rng.uniform(0.0, 0.5) * tint(rng, 0.1)
    side = constant * rng.uniform(-0.3, 0.3)
    depth = constant * rng.uniform(-0.2, 0.3)
    return Light(
        directions=directions.astype(np.float32),
        colours=np.stack([key, fill]).astype(np.float32),
        ambient=np.stack([constant, side, sky, depth]).astype(np.float32),
        shadow=float(rng.uniform(0.4, 1.0)) if rng.random() < shadow_share else 0.0,
    )


def _direction(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """A unit vector (3,) with y in low..high, within 144 degrees of the viewer around the vertical."""
    height = rng.uniform(low, high)
    angle = rng.uniform(-0.8 * np.pi, 0.8 * np.pi)
    flat = np.sqrt(1.0 - height * height)
    return np.array([flat * np.sin(angle), height, flat * np.cos(angle)])


def tint(rng: np.random.Generator, amount: float) -> np.ndarray:
    """Factors (3,) for RGB, warm or cool by up to `amount`."""
    warm = rng.uniform(-amount, amount)
    return np.array([1.0 + warm, 1.0 + rng.uniform(-0.3, 0.3) * amount, 1.0 - warm])
