"""Choose at random, and widely, what a synthetic person wears, so that a network learns the body and not the cloth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lvd_live.synth.garment import Garment
from lvd_live.synth.outfit import PATTERNS, Colour, Outfit, Paint, Pattern, Worn
from lvd_live.synth.skins import Skins
from lvd_live.synth.wardrobe import Wardrobe

# Linear albedo (n, 3), written as rows of red, green and blue. Skin from pale to deep; hair black, two browns, two
# blonds (dark, light), red, grey.
_SKIN_RAMP = np.array(
    [
        [0.72, 0.64, 0.50, 0.36, 0.21, 0.105],
        [0.50, 0.41, 0.29, 0.19, 0.105, 0.052],
        [0.41, 0.31, 0.20, 0.115, 0.06, 0.032],
    ]
).T
_HAIRS = np.array(
    [
        [0.012, 0.035, 0.11, 0.27, 0.50, 0.27, 0.50],
        [0.010, 0.022, 0.06, 0.16, 0.37, 0.085, 0.49],
        [0.009, 0.014, 0.03, 0.07, 0.19, 0.03, 0.47],
    ]
).T
_IRISES = np.array([[0.10, 0.16, 0.10, 0.10, 0.18], [0.045, 0.09, 0.20, 0.18, 0.20], [0.02, 0.04, 0.33, 0.10, 0.21]]).T


def sample_outfit(wardrobe: Wardrobe, rng: np.random.Generator, sex: str = "any", skins: Skins | None = None) -> Outfit:
    """A random outfit; the same state of rng gives the same outfit.

    sex : "female", "male" or "any": which of the wardrobe's clothes and hair are allowed. skins : skin is one of
        them; without, it is painted.
    """
    if sex == "any":
        sex = ("female", "male")[rng.integers(2)]
    dressed = rng.random() < 0.72
    worn: list[Worn] = []
    if dressed:
        other = rng.random() < 0.25
        worn.append(_clothes(rng, _pick(rng, wardrobe.of_kind("outfit", "any" if other else sex))))
    if rng.random() < (0.85 if dressed else 0.45):
        shoes = Worn(_pick(rng, wardrobe.of_kind("shoes")), specular=0.06, top=_trouser_end(worn))
        worn.append(_recoloured(rng, shoes, 0.5))
    worn += _head(wardrobe, rng, sex)
    skin = _skin_albedo(rng.uniform(0, len(_SKIN_RAMP) - 1))
    outfit = Outfit(
        worn=tuple(worn),
        paint=_sportswear(rng, sex) if not dressed else _underwear(rng),
        skin=_vary(rng, skin, 0.08),
        iris=_vary(rng, _IRISES[rng.integers(len(_IRISES))], 0.2),
        shine=float(rng.uniform(0.01, 0.07)),
    )
    if skins is None:
        return outfit
    skin_map = int(rng.choice(skins.of_sex(sex)))
    brightness = rng.uniform(0.9, 1.4) * rng.uniform(0.95, 1.05, 3)
    return replace(outfit, skin=_colour(brightness), skin_map=skin_map)


def random_colour(rng: np.random.Generator) -> Colour:
    """A cloth's linear RGB albedo: greys, darks and saturated colours about as often as people wear them."""
    value = rng.uniform(0.02, 0.85) ** 1.6
    saturation = rng.uniform(0.0, 0.25) if rng.random() < 0.45 else rng.uniform(0.2, 0.95)
    hue = rng.uniform(0, 6)
    ramp = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return _colour(value * (1 - saturation + saturation * ramp) * 0.95 + 0.008)


def _head(wardrobe: Wardrobe, rng: np.random.Generator, sex: str) -> list[Worn]:
    """A hat, hair or neither, and brows."""
    worn: list[Worn] = []
    natural = rng.random() < 0.9
    colour = _vary(rng, _HAIRS[rng.integers(len(_HAIRS))], 0.3) if natural else random_colour(rng)
    if rng.random() < 0.08:
        worn.append(_recoloured(rng, Worn(_pick(rng, wardrobe.of_kind("hat"))), 1.0))
    elif rng.random() < 0.88:
        hair = _pick(rng, wardrobe.of_kind("hair", sex))
        strands = Pattern()
        if hair.texture < 0:
            strands = Pattern(4, _colour(0.35 * np.array(colour)), waves=60.0, edge=0.5)
        worn.append(Worn(hair, colour=colour, pattern=strands, specular=0.08))
    brows = _pick(rng, wardrobe.of_kind("brows"))
    worn.append(Worn(brows, colour=_colour(0.6 * np.array(colour)), specular=0.0))
    return worn


def _skin_albedo(place: float) -> np.ndarray:
    """(3,) linear RGB at a place on the ramp from pale to deep, 0..5."""
    low = int(place)
    high = min(low + 1, len(_SKIN_RAMP) - 1)
    return _SKIN_RAMP[low] + (place - low) * (_SKIN_RAMP[high] - _SKIN_RAMP[low])


def _clothes(rng: np.random.Generator, garment: Garment) -> Worn:
    """Clothes more or less loose and wrinkled, sometimes with shorter sleeves or legs."""
    loose = float(np.clip(rng.gamma(1.2, 0.28), 0.0, 1.3))
    specular = float(rng.uniform(0.0, 0.06))
    wrinkles = float(rng.uniform(0.0, 1.2) * rng.random())
    worn = Worn(garment, looseness=0.9 + loose, specular=specular, wrinkles=wrinkles)
    if rng.random() < 0.35:
        worn = replace(worn, sleeve=float(rng.uniform(0.24, 0.62)))
    if rng.random() < 0.3:
        worn = replace(worn, hem=float(rng.uniform(-0.75, -0.18)))
    return _recoloured(rng, worn, 0.6)


def _trouser_end(worn: list[Worn]) -> float:
    """How high socks may reach without showing through the trousers: metres on the template."""
    ends = [max(float(w.garment.canonical[:, 1].min()), w.hem) for w in worn]
    return min(ends) + 0.05 if ends and min(ends) < -0.6 else 9.0


def _recoloured(rng: np.random.Generator, worn: Worn, often: float) -> Worn:
    """Only the texture, a colour or pattern in its place (with probability `often`), or a mixture."""
    if worn.garment.colour_known and rng.random() > often:
        return worn
    share = float(rng.uniform(0.2, 0.6)) if worn.garment.colour_known and rng.random() < 0.25 else 0.0
    return replace(worn, colour=random_colour(rng), texture_share=share, pattern=_pattern(rng))


def _pattern(rng: np.random.Generator) -> Pattern:
    if rng.random() < 0.5:
        return Pattern()
    return Pattern(
        kind=int(rng.integers(1, len(PATTERNS))),
        colour=random_colour(rng),
        waves=float(np.exp(rng.uniform(np.log(5), np.log(35)))),
        angle=float((0.0, np.pi / 2, rng.uniform(0, np.pi))[rng.integers(3)]),
        edge=float(rng.uniform(0.05, 0.8)),
        mix=float(rng.uniform(0.4, 1.0)),
    )


def _sportswear(rng: np.random.Generator, sex: str) -> Paint:
    """Tight clothes of random cut: a top, shorts or leggings, perhaps socks and gloves."""
    legs = rng.choice([-0.09, -0.2, -0.42, -0.78, -1.0], p=[0.3, 0.25, 0.15, 0.17, 0.13])
    sleeves = rng.choice([0.15, 0.3, 0.45, 0.68], p=[0.4, 0.3, 0.1, 0.2])
    waist = rng.uniform(0.03, 0.12)
    cropped = rng.random() < 0.35
    return Paint(
        top=sex == "female" or rng.random() < 0.7,
        top_colour=random_colour(rng),
        top_pattern=_pattern(rng),
        top_hem=float(rng.uniform(0.22, 0.28) if cropped else waist - rng.uniform(-0.01, 0.12)),
        collar=float(rng.uniform(0.48, 0.56)),
        sleeve=float(sleeves * rng.uniform(0.9, 1.1)),
        shoulder=float(rng.uniform(0.06, 0.11)),
        neckline=bool(rng.random() < 0.6),
        bottom=True,
        bottom_colour=random_colour(rng),
        waist=float(waist),
        leg_end=float(legs + rng.uniform(-0.03, 0.03)),
        socks=bool(rng.random() < 0.4),
        sock_end=float(rng.choice([-0.84, -0.75, -0.5])),
        glove_end=9.0 if rng.random() < 0.85 else 0.67,
    )


def _underwear(rng: np.random.Generator) -> Paint:
    """What shows where clothes end or gape: shorts, a vest, perhaps socks."""
    return Paint(
        top=True,
        top_colour=random_colour(rng),
        sleeve=0.16,
        collar=0.46,
        bottom=True,
        bottom_colour=random_colour(rng),
        leg_end=-0.15,
        socks=bool(rng.random() < 0.4),
        sock_end=float(rng.uniform(-0.84, -0.6)),
    )


def _vary(rng: np.random.Generator, colour: np.ndarray, amount: float) -> Colour:
    """The colour (3,) brighter or darker by up to `amount`, its channels by a third of that, within 0.004..0.9."""
    brightness = rng.uniform(1 - amount, 1 + amount)
    tint = rng.uniform(1 - amount / 3, 1 + amount / 3, 3)
    return _colour(np.clip(colour * brightness * tint, 0.004, 0.9))


def _colour(channels: np.ndarray) -> Colour:
    red, green, blue = (float(c) for c in channels)
    return red, green, blue


def _pick(rng: np.random.Generator, garments: tuple[Garment, ...]) -> Garment:
    return garments[int(rng.integers(len(garments)))]
