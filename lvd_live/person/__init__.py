"""Finding one person in a picture, and the square crop around that person."""

from __future__ import annotations

from lvd_live.paths import MODELS
from lvd_live.person.blazepose import BlazePoseFinder, Observation
from lvd_live.person.crop import Crop, choose_crop, crop_for_box, mask_box, stay_or_move
from lvd_live.person.hands import HandFinder, WithHands
from lvd_live.person.mediapipe_backend import MediaPipeFinder
from lvd_live.person.quality import QUALITIES, resolve
from lvd_live.person.roi import Roi, roi_from_landmarks, roi_from_points, roi_of_picture
from lvd_live.person.types import Person, PersonFinder

__all__ = [
    "BlazePoseFinder",
    "Crop",
    "HandFinder",
    "MediaPipeFinder",
    "Observation",
    "Person",
    "PersonFinder",
    "Roi",
    "WithHands",
    "choose_crop",
    "crop_for_box",
    "make_finder",
    "stay_or_move",
    "mask_box",
    "roi_from_landmarks",
    "roi_from_points",
    "roi_of_picture",
]


def make_finder(
    name: str = "blazepose", quality: str = "auto", *, live: bool = False, hands: bool = False
) -> PersonFinder:
    """A person finder by its name, "blazepose" or "mediapipe". Raises UserError where its models are missing.

    quality : one of `quality.CHOICES`; live : what "auto" means is for a camera. hands : find the hands, too: one a
    picture, in turns, where the quality is that for cameras, else both.
    """
    quality = resolve(quality, live=live)
    finder: PersonFinder
    if name == "mediapipe":
        finder = MediaPipeFinder(MODELS / "mediapipe" / "pose_landmarker_full.task")
    else:
        finder = QUALITIES[quality].finder(MODELS / "blazepose")
    return WithHands(finder, HandFinder(MODELS / "hands", both=quality == "best")) if hands else finder
