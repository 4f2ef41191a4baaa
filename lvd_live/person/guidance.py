"""What the person before the camera should change, so that they are tracked well: one sentence at a time."""

from __future__ import annotations

import numpy as np

from lvd_live.person.types import Person

DARK, BRIGHT = 45.0, 225.0  # mean of a picture's shades, 0..255, below and above which it shows too little
SMALL = 0.25  # of the picture's height: a person lower than this is too far away
SEEN = 0.4  # visibility from which a landmark counts as seen
_NOSE, _TORSO, _HANDS = 0, [11, 12, 23, 24], [15, 16]
_FEET = [27, 28, 29, 30, 31, 32]  # ankles, heels, toes

TOO_DARK = "Too dark: turn on a light"
TOO_BRIGHT = "Too bright: the light shines into the camera"
NOBODY = "Nobody is seen: step into the picture"
NO_FEET = "Step back: feet not visible"
NO_HEAD = "Step back, or tilt the camera up: head not visible"
TO_THE_MIDDLE = "Step to the middle"
TOO_FAR = "Step closer"
TWO = "Two people are in view: only one of them is tracked"
MANY = "{} people are in view: only one of them is tracked"


def advise(picture: np.ndarray, person: Person | None, people: int = 1) -> str:
    """What is wrong with how somebody stands in a picture (H, W, 3) uint8 RGB, most important first; "" for nothing.

    person : None: nobody is found. people : how many are seen.
    """
    shade = float(picture[::8, ::8].mean()) if picture.size else 0.0
    if shade < DARK:
        return TOO_DARK
    if person is None:
        return TOO_BRIGHT if shade > BRIGHT else NOBODY
    if people > 1:
        return TWO if people == 2 else MANY.format(people)
    inside, height = _inside(person.landmarks, picture.shape), picture.shape[0]
    if person.landmarks[_NOSE, 1] < 0:
        return NO_HEAD
    if inside[_TORSO].sum() < 3:
        return TO_THE_MIDDLE
    if not inside[_FEET].any():
        return NO_FEET
    y = person.landmarks[inside, 1]
    return TOO_FAR if np.ptp(y) < SMALL * height else ""


def hands_are_up(person: Person | None) -> bool:
    """Whether both wrists are seen clearly above the head."""
    if person is None:
        return False
    x_y, visibility = person.landmarks[:, :2], person.landmarks[:, 2]
    shoulders, hips = x_y[[11, 12]].mean(0), x_y[[23, 24]].mean(0)
    margin = 0.25 * float(np.linalg.norm(hips - shoulders))  # of the torso's length
    wrists = x_y[_HANDS, 1]
    return bool((wrists < x_y[_NOSE, 1] - margin).all() and (visibility[_HANDS] >= SEEN).all())


def _inside(landmarks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(33,) bool: the landmarks (33, 3) that are seen, in a picture of this shape."""
    height, width = shape[:2]
    x, y, visibility = landmarks.T
    return (visibility >= SEEN) & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
