"""Real surroundings: panoramas behind a synthetic person, and their light on them.

World frame: y up. A panorama's column is the longitude, growing to the right of who looks outward, and its first row
is the zenith. Baked by `bake_surroundings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lvd_live.errors import UserError
from lvd_live.synth import picture_file
from lvd_live.synth.lighting import Light, tint

HEIGHT, QUALITY = 256, 70  # a panorama is 2 HEIGHT x HEIGHT
CONE = np.cos(np.radians(25))  # pixels this near to the brightest one may belong to the same lamp
BRIGHT = 4.0  # times the mean luminance: what exceeds it belongs to a lamp
WIDEST = 2.5  # how much more of a panorama may be seen than the camera would: more detail behind the person


@dataclass(frozen=True)
class Surroundings:
    """Panoramas and their light.

    pictures : (P, 256, 512, 3) uint8 RGB. directions : (P, 2, 3) unit, world, toward the two strongest lamps; colours
    (P, 2, 3) and ambient (P, 4, 3) as of `Light`, in the world frame; float32.
    """

    pictures: np.ndarray
    directions: np.ndarray
    colours: np.ndarray
    ambient: np.ndarray

    @staticmethod
    def load(path: Path) -> Surroundings:
        """Read what `bake_surroundings` wrote. Raises UserError if the file is missing or not of that kind."""
        with picture_file.opened(path, "a file of surroundings") as file:
            pictures = picture_file.pictures_of(file, len(file["names"]), (HEIGHT, 2 * HEIGHT, 3))
            light = (file[name].astype(np.float32) for name in ("directions", "colours", "ambient"))
            return Surroundings(np.stack(pictures), *light)

    def place(self, rng: np.random.Generator) -> Place:
        """A random place of one of the panoramas."""
        return Place(self, int(rng.integers(len(self.pictures))), float(rng.uniform(0, 2 * np.pi)))


@dataclass(frozen=True)
class Place:
    """One panorama, turned: heading, radians, is the longitude that lies in the body frame's -z direction."""

    surroundings: Surroundings
    number: int
    heading: float

    def light(self, R: np.ndarray, rng: np.random.Generator) -> Light:
        """The place's light on a person, exposed for who is seen from the camera.

        R : (3, 3), body frame to camera axes. Exposure, balance and the shadow's depth vary a little.
        """
        s, k = self.surroundings, self.number
        turn = R @ _about_vertical(self.heading)
        directions = s.directions[k] @ turn.T
        constant, linear = s.ambient[k][:1], turn @ s.ambient[k][1:]
        towards = np.array([[0, 0, 1], [0.6, 0.3, 0.74], [-0.6, 0.3, 0.74], [0, 0.8, 0.6]])
        lit = np.maximum(constant + towards @ linear, 0) + np.maximum(towards @ directions.T, 0) @ s.colours[k]
        gain = np.exp(rng.normal(0.15, 0.25)) / max(float(lit.mean()), 1e-6) * tint(rng, 0.08)
        balance = (float(lit.mean()) / np.maximum(lit.mean(0), 1e-6)) ** rng.uniform(0.3, 1)
        key = float(s.colours[k, 0].mean() / max(constant.mean(), 1e-6))
        return Light(
            directions=directions.astype(np.float32),
            colours=(s.colours[k] * gain).astype(np.float32),
            ambient=(np.concatenate([constant, linear]) * gain * balance).astype(np.float32),
            shadow=float(rng.uniform(0.6, 1)) if key > rng.uniform(0.1, 0.5) else 0.0,
        )

    def backdrop(
        self, size: int, R: np.ndarray, focal: float, offset: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """What a camera sees behind the person, (size, size, 3) uint8 RGB.

        R : as of `light`. focal, offset : see `people.View`. Exposure varies, and how much is seen.
        """
        wide = float(np.exp(rng.uniform(0, np.log(WIDEST))))
        place = (2 * np.arange(size) + 1) / size - 1
        x, y = np.meshgrid((place - offset[0]) / focal * wide, (-place - offset[1]) / focal * wide)
        rays = np.stack([x, y, -np.ones_like(x)], -1) @ R
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        longitude = np.arctan2(rays[..., 0], -rays[..., 2]) + self.heading
        column = longitude * (HEIGHT / np.pi) % (2 * HEIGHT) - 0.5
        row = np.arccos(rays[..., 1].clip(-1, 1)) * (HEIGHT / np.pi) - 0.5
        maps = column.astype(np.float32), row.astype(np.float32)
        seen = cv2.remap(self.surroundings.pictures[self.number], *maps, cv2.INTER_CUBIC, None, cv2.BORDER_WRAP)
        gain = rng.uniform(0.7, 1.15) * (1 + rng.normal(0, 0.04, 3))
        return (seen * gain).clip(0, 255).astype(np.uint8)


def _about_vertical(heading: float) -> np.ndarray:
    """World to body frame, (3, 3): the panorama's longitude `heading` comes to -z."""
    c, s = np.cos(heading), np.sin(heading)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def bake_surroundings(folder: Path, out: Path) -> None:
    """Write the panoramas of a folder, equirectangular *.hdr, tone-mapped, with their light.

    Raises UserError if there is none.
    """
    paths = sorted(folder.glob("*.hdr"))
    if not paths:
        raise UserError(f"{folder} holds no panoramas (*.hdr).")
    pictures, lights = [], []
    for path in paths:
        radiance = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if radiance is None:
            raise UserError(f"{path} is no picture.")
        radiance = cv2.resize(radiance, (2 * HEIGHT, HEIGHT), interpolation=cv2.INTER_AREA)
        radiance = without_holes(np.nan_to_num(radiance).clip(0))
        exposed = 1 - np.exp(-radiance * (0.35 / np.median(radiance.mean(2))))
        pictures.append((255 * exposed ** (1 / 2.2)).round().astype(np.uint8))
        lights.append(light_of(radiance[..., ::-1].astype(np.float64)))
    directions, colours, ambient = (np.stack(part).astype(np.float32) for part in zip(*lights, strict=True))
    about = {"names": np.array([path.stem for path in paths])}
    about |= {"directions": directions, "colours": colours, "ambient": ambient}
    picture_file.write(out, pictures, ".jpg", (cv2.IMWRITE_JPEG_QUALITY, QUALITY), **about)


def without_holes(radiance: np.ndarray) -> np.ndarray:
    """Radiance (H, W, 3) whose lamps have no black pixels, as compression left them around the brightest ones; suns are
    white."""
    median = np.median(radiance.mean(2))
    around = cv2.dilate(radiance, np.ones((5, 5), np.uint8)).max(2, keepdims=True)
    hole = (radiance.min(2, keepdims=True) < 0.03 * median) & (around > BRIGHT * median)
    closed = cv2.morphologyEx(radiance, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    filled = np.where(hole, closed.mean(2, keepdims=True), radiance)
    return np.where(filled.max(2, keepdims=True) > 50 * median, filled.max(2, keepdims=True), filled)


def light_of(radiance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The light of a panorama (H, 2H, 3): its two strongest lamps and, of the rest, spherical harmonics to order 1.

    Returns directions (2, 3), colours (2, 3), ambient (4, 3), see `Light`, so that the mean luminance is 1. With
    L = a + b . w, the rest lights a surface of normal n by a + 2/3 b . n, where b = 3 <L w>. Lamps are white: their
    pixels are burnt out in one channel or another.
    """
    H = len(radiance)
    latitude = np.pi / 2 - (np.arange(H) + 0.5) / H * np.pi
    longitude = (np.arange(2 * H) + 0.5) / H * np.pi
    flat = np.cos(latitude)[:, None]
    ray = np.stack(
        [flat * np.sin(longitude), np.broadcast_to(np.sin(latitude)[:, None], (H, 2 * H)), -flat * np.cos(longitude)],
        -1,
    )
    solid = np.broadcast_to(flat, (H, 2 * H)) / (flat.sum() * 2 * H)  # share of the sphere
    radiance = radiance / (radiance.mean(2) * solid).sum()
    rest, directions, colours = radiance.copy(), [], []
    for _ in range(2):
        luminance = rest.mean(2)
        peak = ray[np.unravel_index(cv2.GaussianBlur(luminance, (0, 0), 2).argmax(), luminance.shape)]
        excess = np.maximum(luminance - BRIGHT, 0) * (ray @ peak > CONE)
        energy = rest * (excess / np.maximum(luminance, 1e-9))[..., None]
        toward = (ray * (excess * solid)[..., None]).sum((0, 1))
        directions.append(toward / np.linalg.norm(toward) if excess.any() else peak)
        colours.append(np.full(3, 4 * (energy.mean(2) * solid).sum()))  # 4 pi of the share, over pi
        rest -= energy
    weighted = rest * solid[..., None]
    ambient = np.concatenate([weighted.sum((0, 1))[None], 2 * np.einsum("hwk,hwc->kc", ray, weighted)])
    return np.array(directions), np.array(colours), ambient
