"""A crop as the network takes it: picture, mask, and the person finder's opinion (the conditioning)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lvd_live.person.crop import Crop
from lvd_live.person.landmarks import landmarks_in_crop
from lvd_live.person.types import DetectorFeatures, Person


@dataclass(frozen=True)
class CropView:
    """One crop for `Runtime.encode`.

    picture : (S, S, 3) uint8 RGB. mask : (S, S) uint8, the person. landmarks : (33, 4) float32, see
    `landmarks_in_crop`, or None. features : the detector features, fine (48, 32, 32) uint8, coarse (288, 8, 8) uint8
    and region (2, 3) float32, see `quantise` and `region_in_crop`; or None.
    """

    picture: np.ndarray
    mask: np.ndarray
    landmarks: np.ndarray | None
    features: tuple[np.ndarray, np.ndarray, np.ndarray] | None

    def batched(
        self,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, tuple[np.ndarray, np.ndarray, np.ndarray] | None]:
        """The four with a leading axis of 1."""
        fine_coarse_region = None
        if self.features is not None:
            fine, coarse, region = self.features
            fine_coarse_region = fine[None], coarse[None], region[None]
        landmarks = None if self.landmarks is None else self.landmarks[None]
        return self.picture[None], self.mask[None], landmarks, fine_coarse_region


def view_crop(
    picture: np.ndarray,
    person: Person,
    crop: Crop,
    size: int,
    conditioning: str,
    landmarks: np.ndarray | None = None,
) -> CropView:
    """Cut a crop of `size` pixels out of a picture (H, W, 3) uint8 RGB, with the conditioning that is asked for.

    conditioning : one of `presets.CONDITIONING`; a finder without feature maps gives none. landmarks : (33, 4),
    lifted ones, see `lift.conditioning`; None: as deep as the finder has them.
    """
    features = None
    if conditioning != "picture" and person.features is not None:
        region = region_in_crop(person.T_mask_from_picture, len(person.mask), crop)
        features = (*quantise(person.features), region)
    if conditioning != "all":
        landmarks = None
    elif landmarks is None:
        landmarks = landmarks_in_crop(person.landmarks, person.world, crop)
    return CropView(crop.warp(picture, size), crop.warp_mask(person, size), landmarks, features)


def region_in_crop(T_mask_from_picture: np.ndarray, side: int, crop: Crop) -> np.ndarray:
    """Where the detector features lie: affine (2, 3) float32 from the crop frame to the finder's square.

    The square is the one that a mask of side × side pixels covers; -1..1 along both sides, y down.
    T_mask_from_picture : (2, 3), picture pixels to mask pixels.
    """
    T = np.asarray(T_mask_from_picture, np.float64)
    linear = T[:, :2] * (crop.half, -crop.half)
    offset = (2 * (T[:, :2] @ crop.centre + T[:, 2]) + 1) / side - 1
    return np.column_stack([2 * linear / side, offset]).astype(np.float32)


def quantise(features: DetectorFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Detector features as the network takes them, uint8: 0..255 for 0..18 (fine, a sum of three ReLU6) and for 0..6
    (coarse, a ReLU6)."""
    fine, coarse = (
        np.clip(m * (255 / top) + 0.5, 0, 255).astype(np.uint8)
        for m, top in ((features.fine, 18.0), (features.coarse, 6.0))
    )
    return fine, coarse
