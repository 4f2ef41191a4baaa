"""Left and right: which landmark is which one's counterpart, and a person whose sides are exchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lvd_live.person.types import Person

COUNTERPART = (
    0,
    4,
    5,
    6,
    1,
    2,
    3,
    8,
    7,
    10,
    9,
    *(i + 1 if i % 2 else i - 1 for i in range(11, 33)),
)  # of BlazePose's 33 landmarks


def exchanged(person: Person) -> Person:
    """The person with left and right landmarks exchanged, in the picture and in space; mask and feature maps stay."""
    order = list(COUNTERPART)
    return replace(person, landmarks=person.landmarks[order], world=person.world[order])


def without_depth(person: Person) -> Person:
    """The person with flat landmarks in space: nothing is said of depth."""
    return replace(person, world=person.world * np.array([1, 1, 0], np.float32))


def counterparts(landmarks: np.ndarray) -> np.ndarray:
    """(P,) int: for landmarks (P,) int, BlazePose's numbers, the place in the same list of each one's counterpart.
    ValueError where one is missing.
    """
    places = {int(landmark): place for place, landmark in enumerate(landmarks)}
    missing = [int(i) for i in landmarks if COUNTERPART[int(i)] not in places]
    if missing:
        raise ValueError(f"the counterpart of landmark {missing[0]} is missing")
    return np.array([places[COUNTERPART[int(i)]] for i in landmarks])
