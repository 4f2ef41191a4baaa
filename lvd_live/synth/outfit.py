"""What a synthetic person wears, and of which colours: chosen at random, widely, so that a network learns the body and not the cloth."""

from dataclasses import dataclass, field, replace

import numpy as np

from lvd_live.synth.wardrobe import Garment, Wardrobe

PATTERNS = ("plain", "stripes", "plaid", "spots", "noise")

# Linear albedo, from pale to deep.
_SKIN_RAMP = np.array(
    [
        [0.72, 0.50, 0.41],
        [0.64, 0.41, 0.31],
        [0.50, 0.29, 0.20],
        [0.36, 0.19, 0.115],
        [0.21, 0.105, 0.06],
        [0.105, 0.052, 0.032],
    ]
)
_HAIR_RAMP = np.array(
    [
        [0.012, 0.010, 0.009],
        [0.035, 0.022, 0.014],
        [0.11, 0.06, 0.03],
        [0.27, 0.16, 0.07],
        [0.50, 0.37, 0.19],
        [0.27, 0.085, 0.03],
        [0.50, 0.49, 0.47],
    ]
)
_IRISES = np.array(
    [[0.10, 0.045, 0.02], [0.16, 0.09, 0.04], [0.10, 0.20, 0.33], [0.10, 0.18, 0.10], [0.18, 0.20, 0.21]]
)
_LIPS = np.array([0.86, 0.55, 0.55])


@dataclass(frozen=True)
class Pattern:
    """A pattern in the rest pose's space. kind: row of PATTERNS; colour: linear RGB; waves per metre; angle in radians; edge 0.02 (sharp) .. 1; mix 0..1."""

    kind: int = 0
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)
    waves: float = 10.0
    angle: float = 0.0
    edge: float = 0.15
    mix: float = 1.0


@dataclass(frozen=True)
class Worn:
    """A garment and how it looks.

    colour: linear RGB, instead of the texture's colour (clothes) or times it (hair). texture_share: 0 (colour only, shaded by the ambient occlusion map) .. 1.
    wrinkles: 0 (smooth) .. 1.2, how much the cloth's normals waver. looseness: see Wardrobe.dress.
    sleeve: metres from the mid-plane where sleeves end; hem: height in the body frame where legs end; top: height above
    which there is none of it (socks under trousers); all on the template.
    """

    garment: Garment
    colour: tuple[float, float, float] = (0.5, 0.5, 0.5)
    texture_share: float = 1.0
    pattern: Pattern = Pattern()
    looseness: float = 1.0
    sleeve: float = 9.0
    hem: float = -9.0
    top: float = 9.0
    specular: float = 0.03
    wrinkles: float = 0.0


@dataclass(frozen=True)
class Paint:
    """Tight clothes painted on the skin. Colours linear RGB; edges in metres on the template body (y up from the pelvis, x from the mid-plane).

    A part is painted where its flag is set: top between hem and collar up to the sleeve's end, bottom between leg_end and waist, socks and gloves.
    """

    top: bool = False
    top_colour: tuple[float, float, float] = (0.5, 0.5, 0.5)
    top_pattern: Pattern = Pattern()
    top_hem: float = 0.1
    collar: float = 0.53
    sleeve: float = 0.3
    shoulder: float = 0.09
    neckline: bool = True
    bottom: bool = False
    bottom_colour: tuple[float, float, float] = (0.2, 0.2, 0.3)
    waist: float = 0.06
    leg_end: float = -0.2
    socks: bool = False
    sock_end: float = -0.8
    glove_end: float = 9.0

    def rows(self, lips: tuple[float, float, float] = (0.0, 0.6125, 0.143)) -> np.ndarray:
        """(8,4) float32 as the fragment shader reads them. lips: their centre on the template body, metres."""
        p = self.top_pattern
        return np.array(
            [
                [self.top_hem, self.collar, self.sleeve, self.shoulder],
                [self.waist, self.leg_end, 0.0, float(self.neckline)],
                [*self.top_colour, float(self.top)],
                [*self.bottom_colour, float(self.bottom)],
                [p.angle, self.sock_end, self.glove_end, float(self.socks)],
                [*lips, 0.0],
                [*_LIPS, p.waves],
                [*p.colour, float(p.kind)],
            ],
            np.float32,
        )


@dataclass(frozen=True)
class Outfit:
    """Everything a person shows: worn garments, paint on the skin, linear RGB colours of skin and irises, oily shine of the skin."""

    worn: tuple[Worn, ...] = ()
    paint: Paint = field(default_factory=Paint)
    skin: tuple[float, float, float] = (0.5, 0.3, 0.2)
    iris: tuple[float, float, float] = (0.1, 0.05, 0.02)
    shine: float = 0.03


def sample_outfit(wardrobe: Wardrobe, rng: np.random.Generator, sex: str = "any") -> Outfit:
    """A random outfit; the same rng state gives the same outfit. sex: "female", "male" or "any", which of the wardrobe's clothes and hair are allowed."""
    if sex == "any":
        sex = ("female", "male")[rng.integers(2)]
    dressed = rng.random() < 0.72
    worn: list[Worn] = []
    if dressed:
        other = rng.random() < 0.25
        worn.append(_outfit(rng, _pick(rng, wardrobe.of_kind("outfit", "any" if other else sex))))
    if rng.random() < (0.85 if dressed else 0.45):
        shoes = Worn(_pick(rng, wardrobe.of_kind("shoes")), specular=0.06, top=_trouser_end(worn))
        worn.append(_recoloured(rng, shoes, 0.5))
    if rng.random() < 0.9:
        hair_colour = _vary(rng, _HAIR_RAMP[rng.integers(len(_HAIR_RAMP))], 0.3)
    else:
        hair_colour = random_colour(rng)
    hat = rng.random() < 0.08
    if hat:
        worn.append(_recoloured(rng, Worn(_pick(rng, wardrobe.of_kind("hat"))), 1.0))
    elif rng.random() < 0.88:
        hair = _pick(rng, wardrobe.of_kind("hair", sex))
        strands = (
            Pattern() if hair.texture >= 0 else Pattern(4, tuple(0.35 * np.array(hair_colour)), waves=60.0, edge=0.5)
        )
        worn.append(Worn(hair, colour=hair_colour, pattern=strands, specular=0.08))
    worn.append(Worn(_pick(rng, wardrobe.of_kind("brows")), colour=tuple(0.6 * np.array(hair_colour)), specular=0.0))
    place = rng.uniform(0, len(_SKIN_RAMP) - 1)
    low = int(place)
    skin = _SKIN_RAMP[low] + (place - low) * (_SKIN_RAMP[min(low + 1, len(_SKIN_RAMP) - 1)] - _SKIN_RAMP[low])
    return Outfit(
        worn=tuple(worn),
        paint=_sportswear(rng, sex) if not dressed else _underwear(rng),
        skin=_vary(rng, skin, 0.08),
        iris=_vary(rng, _IRISES[rng.integers(len(_IRISES))], 0.2),
        shine=float(rng.uniform(0.01, 0.07)),
    )


def random_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """A cloth's linear RGB albedo: greys, darks and saturated colours about as often as people wear them."""
    value = rng.uniform(0.02, 0.85) ** 1.6
    saturation = rng.uniform(0.0, 0.25) if rng.random() < 0.45 else rng.uniform(0.2, 0.95)
    hue = rng.uniform(0, 6)
    ramp = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return tuple(float(c) for c in value * (1 - saturation + saturation * ramp) * 0.95 + 0.008)


def _outfit(rng: np.random.Generator, garment: Garment) -> Worn:
    loose = float(np.clip(rng.gamma(1.2, 0.28), 0.0, 1.3))
    worn = Worn(
        garment,
        looseness=0.9 + loose,
        specular=float(rng.uniform(0.0, 0.06)),
        wrinkles=float(rng.uniform(0.0, 1.2) * rng.random()),
    )
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
    """Sometimes only the texture, sometimes a solid colour or a pattern in its place, sometimes a mixture."""
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


def _vary(rng: np.random.Generator, colour: np.ndarray, amount: float) -> tuple[float, float, float]:
    return tuple(
        float(c)
        for c in np.clip(
            colour * rng.uniform(1 - amount, 1 + amount) * rng.uniform(1 - amount / 3, 1 + amount / 3, 3), 0.004, 0.9
        )
    )


def _pick(rng: np.random.Generator, garments: tuple[Garment, ...]) -> Garment:
    return garments[int(rng.integers(len(garments)))]
