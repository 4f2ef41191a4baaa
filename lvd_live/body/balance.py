"""Which way is up in a camera's frame: a person who stands keeps the centre of mass above the feet, wherever it looks.

Without this a motion leans as the camera is tilted: one that looks down by 30° would show somebody who falls forward.
"""

from __future__ import annotations

import numpy as np

from lvd_live.body.skeleton import JOINT

MOST_TILT = 50.0  # degrees: somebody who leans more before a level camera lies, or does a handstand
STRAIGHT = 130.0  # degrees: who bends a knee or a hip further sits, squats or kneels
ANKLES, SEEN = [27, 28], 0.5  # of BlazePose's landmarks, and the visibility from which they count
BEFORE_ANKLES = 1 / 3  # of the way to the balls of the feet: where the weight of a quietly standing person rests
_SEGMENTS = (  # de Leva, J. Biomech. 1996, men: the ends of a part, and its share of the mass, that of both sides
    (("neck", "head"), 0.069),
    (("pelvis", "neck"), 0.435),
    (("shoulder", "elbow"), 0.054),
    (("elbow", "wrist"), 0.045),
    (("hip", "knee"), 0.283),
    (("knee", "ankle"), 0.087),
    (("ankle", "foot"), 0.027),
)


def up_direction(joints: np.ndarray, believed: np.ndarray, least: int) -> np.ndarray | None:
    """The direction (3,) that is up for most of those frames of F in which the person stands; None for fewer than
    `least`.

    joints : (F, 24, 3), any frame whose y axis is up but for the tilt. believed : (F,) bool, the feet are seen.
    """
    ankles, balls = (_middle(joints, f"left_{name}", f"right_{name}") for name in ("ankle", "foot"))
    up = _unit(_centre_of_mass(joints) - (ankles + BEFORE_ANKLES * (balls - ankles)))
    stands = believed & (up[:, 1] > np.cos(np.radians(MOST_TILT)))
    for side in ("left", "right"):
        hip, knee, ankle = (joints[:, JOINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle"))
        trunk = joints[:, JOINT["neck"]] - joints[:, JOINT["pelvis"]]
        stands &= (_degrees(hip - knee, ankle - knee) > STRAIGHT) & (_degrees(trunk, knee - hip) > STRAIGHT)
    return _unit(np.median(up[stands], axis=0)) if stands.sum() >= least else None


def feet_seen(landmarks: np.ndarray, image_size: np.ndarray) -> np.ndarray:
    """(F,) bool: both ankles lie in the picture, and the person finder saw them, on average.

    landmarks : (F, 33, 3), pixels and visibility. image_size : (F, 2).
    """
    ankles = landmarks[:, ANKLES]
    inside = ((ankles[..., :2] >= 0) & (ankles[..., :2] < image_size[:, None])).all((1, 2))
    return inside & (ankles[..., 2].mean(1) > SEEN)


def _centre_of_mass(joints: np.ndarray) -> np.ndarray:
    """(F, 3): each segment's mass in its middle."""
    total = np.zeros(len(joints))[:, None]
    for ends, share in _SEGMENTS:
        sides = ("",) if ends[1] in ("head", "neck") else ("left_", "right_")
        total = total + share * _middle(joints, *(side + end for side in sides for end in ends))
    return total


def _middle(joints: np.ndarray, *names: str) -> np.ndarray:
    return joints[:, [JOINT[name] for name in names]].mean(1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((_unit(a) * _unit(b)).sum(-1), -1, 1)))
