"""What the person room hands on, and what a finder promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class DetectorFeatures:
    """What the finder's network makes of the person on its way to mask and landmarks, on the square that the mask
    covers.

    fine    (48, 32, 32) float32: where what is, the map from which landmarks and mask are drawn.
    coarse  (288, 8, 8) float32: what the landmarks' depth is read from.
    """

    fine: np.ndarray
    coarse: np.ndarray


@dataclass(frozen=True)
class Hand:
    """One hand in one picture: MediaPipe's 21 landmarks, wrist first, then thumb, index, middle, ring and little finger
    from the palm to the tip.

    landmarks    (21, 3) float32: x, y in picture pixels (centre convention), z in pixels away from the camera, from the
                 wrist.
    world        (21, 3) float32 metres: the same in space, axes along the picture's: x right, y down, z away from the
                 camera; the scale is an average hand's.
    presence     0..1: probability that it is a hand.
    right_side   0..1: probability that the network gives to the hand's being the pose's left or right one.
    length       pixels: how long such a person's hand is when it is seen from its flat side.
    pose_wrist   (2,) float32 picture pixels: where the pose has the wrist.
    age          pictures since it was looked at: 0 in this one.
    """

    landmarks: np.ndarray
    world: np.ndarray
    presence: float
    right_side: float
    length: float
    pose_wrist: np.ndarray
    age: int = 0


@dataclass(frozen=True)
class Person:
    """One person in one picture.

    Picture coordinates are pixels, x right, y down, in the pixel-centre convention of OpenCV: the centre of the
    top-left pixel is (0, 0), the picture's edges are at -0.5.

    mask                 (h, w) float32, 0..1: probability that a pixel shows the person, on the mask's own grid;
                         0 where the grid reaches past the picture.
    T_mask_from_picture  (2, 3) float32: affine from picture pixels to mask pixels, pixel centres on both sides.
    landmarks            (33, 3) float32: BlazePose's points: x, y in picture pixels (also outside the picture),
                         visibility 0..1.
    world                (33, 3) float32: the same points in metres, origin between the hips, axes along the picture's:
                         x right, y down, z away from the camera. The scale is the network's guess of an average person.
    score                float 0..1: probability that a person is there.
    is_new               True when the person was searched for, not followed from the previous picture: a cold start.
    features             the finder's own feature maps, or None where it does not tell.
    doubt                0..0.5: probability that left and right are exchanged after all (see `exchange`).
    corrected            True where the sides of this person were read wrong until the picture before.
    hands                the left and the right hand, each None where it is not seen; None: nobody looks for hands.
    hand_words           what is the matter with each, see `hands.HandFinder.words`.
    """

    mask: np.ndarray
    T_mask_from_picture: np.ndarray
    landmarks: np.ndarray
    world: np.ndarray
    score: float
    is_new: bool
    features: DetectorFeatures | None = None
    doubt: float = 0.0
    corrected: bool = False
    hands: tuple[Hand | None, Hand | None] | None = None
    hand_words: tuple[str, str] = ("off", "off")


class PersonFinder(Protocol):
    """Finds the person in a picture, and follows that person through the pictures that come after it."""

    def find(self, picture: np.ndarray) -> Person | None:
        """The person in `picture` ((H, W, 3) uint8 RGB), or None when nobody is found."""

    def reset(self) -> None:
        """Forget the person followed; the next picture is searched afresh."""


@runtime_checkable
class FindsHands(Protocol):
    """A finder that looks for the hands, too, while it is `on`; see `hands.WithHands`."""

    on: bool


def look_for_hands(finder: PersonFinder, on: bool) -> None:
    """Have a finder look for hands, or leave them; nothing changes for one that knows no hands."""
    if isinstance(finder, FindsHands):
        finder.on = on


def describe(finder: PersonFinder) -> dict:
    """What a file should remember of a finder: JSON values."""
    body = getattr(finder, "finder", finder)  # of one that finds hands, too
    hands = getattr(finder, "hands", None) if getattr(finder, "on", True) else None
    return {"finder": type(body).__name__, "provider": getattr(body, "provider", None)} | {
        name: True
        for name, holds in (
            ("heavy", getattr(body, "heavy", False)),
            ("mirror", getattr(body, "mirror", False)),
            ("hands", hands is not None),
            ("both_hands", getattr(hands, "both", False)),
        )
        if holds
    }
