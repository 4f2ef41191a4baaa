"""Finding one person in a picture, and the square crop around that person."""

from __future__ import annotations

from lvd_live.person.blazepose import BlazePoseFinder, Observation
from lvd_live.person.crop import Crop, choose_crop, crop_for_box, mask_box, stay_or_move
from lvd_live.person.hands import HandFinder, WithHands
from lvd_live.person.mediapipe_backend import MediaPipeFinder
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
    "stay_or_move",
    "mask_box",
    "roi_from_landmarks",
    "roi_from_points",
    "roi_of_picture",
]
