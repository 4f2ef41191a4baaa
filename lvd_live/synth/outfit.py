"""What a synthetic person wears, and in which colours."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lvd_live.synth.garment import Garment

PATTERNS = ("plain", "stripes", "plaid", "spots", "noise")
LIPS_CENTRE = (0.0, 0.6125, 0.143)  # metres, on the template body
LIPS_TINT = (0.86, 0.55, 0.55)  # factors on the skin's colour

Colour = tuple[float, float, float]
"""Linear RGB."""


@dataclass(frozen=True)
class Pattern:
    """A pattern in the rest pose's space.

    kind : row of PATTERNS. colour : of its second colour. waves : per metre. angle : radians.
    edge : 0.02 (sharp) .. 1. mix : opacity of the second colour, 0..1.
    """

    kind: int = 0
    colour: Colour = (0.0, 0.0, 0.0)
    waves: float = 10.0
    angle: float = 0.0
    edge: float = 0.15
    mix: float = 1.0


@dataclass(frozen=True)
class Worn:
    """A garment and how it looks. Lengths are metres on the template body.

    colour : instead of the texture's colour (clothes) or times it (hair).
    texture_share : 0 (colour only, shaded by the ambient occlusion map) .. 1.
    looseness : see `garment.dress`.
    sleeve : distance from the mid-plane where sleeves end. hem : height where legs end. top : height above which there
        is none of it (socks under trousers).
    specular : strength of its highlights.
    wrinkles : 0 (smooth) .. 1.2, how much the cloth's normals waver.
    """

    garment: Garment
    colour: Colour = (0.5, 0.5, 0.5)
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
    """Tight clothes painted on the skin.

    Edges are metres on the template body (y up from the pelvis, x from the mid-plane). A part is painted where its flag
    is set: the top between hem and collar up to the sleeve's end, the bottom between leg_end and waist, socks below
    sock_end and gloves beyond glove_end.
    """

    top: bool = False
    top_colour: Colour = (0.5, 0.5, 0.5)
    top_pattern: Pattern = Pattern()
    top_hem: float = 0.1
    collar: float = 0.53
    sleeve: float = 0.3
    shoulder: float = 0.09
    neckline: bool = True
    bottom: bool = False
    bottom_colour: Colour = (0.2, 0.2, 0.3)
    waist: float = 0.06
    leg_end: float = -0.2
    socks: bool = False
    sock_end: float = -0.8
    glove_end: float = 9.0

    def rows(self) -> np.ndarray:
        """(8, 4) float32, as the fragment shader reads them."""
        p = self.top_pattern
        rows = [
            [self.top_hem, self.collar, self.sleeve, self.shoulder],
            [self.waist, self.leg_end, 0.0, float(self.neckline)],
            [*self.top_colour, float(self.top)],
            [*self.bottom_colour, float(self.bottom)],
            [p.angle, self.sock_end, self.glove_end, float(self.socks)],
            [*LIPS_CENTRE, 0.0],
            [*LIPS_TINT, p.waves],
            [*p.colour, float(p.kind)],
        ]
        return np.array(rows, np.float32)


@dataclass(frozen=True)
class Outfit:
    """All that shows of a person: garments, paint on the skin, the colours of skin and irises, shine of the skin.

    skin : linear RGB, times the map's where there is one. skin_map : layer of `Skins.textures`, -1 for none.
    """

    worn: tuple[Worn, ...] = ()
    paint: Paint = field(default_factory=Paint)
    skin: Colour = (0.5, 0.3, 0.2)
    iris: Colour = (0.1, 0.05, 0.02)
    shine: float = 0.03
    skin_map: int = -1
