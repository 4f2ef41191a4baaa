"""Finding one person in a picture, and the square crop around that person."""

from .blazepose import BlazePoseFinder, Observation
from .crop import Crop, choose_crop, crop_for_box, follow, mask_box
from .mediapipe_backend import MediaPipeFinder
from .roi import Roi, roi_from_landmarks, roi_from_points, roi_of_picture
from .types import Person, PersonFinder

__all__ = [
    "BlazePoseFinder",
    "Crop",
    "MediaPipeFinder",
    "Observation",
    "Person",
    "PersonFinder",
    "Roi",
    "choose_crop",
    "crop_for_box",
    "follow",
    "mask_box",
    "roi_from_landmarks",
    "roi_from_points",
    "roi_of_picture",
]
