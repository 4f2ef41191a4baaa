"""Finding and following one person with BlazePose, its networks run by onnxruntime.

One pass of the landmark network gives the mask, the landmarks and the next frame's region; the detector runs only
when nobody is followed. Nothing leaves the machine.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from lvd_live.person import affine
from lvd_live.person.detector import Detection, decode, detector_input, make_anchors
from lvd_live.person.exchange import Sides
from lvd_live.person.onnx import open_network, provider_of
from lvd_live.person.passes import Pass, look, mean, side_by_side
from lvd_live.person.roi import LANDMARK_SIZE, Roi, roi_from_landmarks, roi_of_picture
from lvd_live.person.types import DetectorFeatures, Person

log = logging.getLogger(__name__)

MIN_PRESENCE = 0.5  # below it the landmark network sees nobody
TILE_SIDES = (0.5, 0.25)  # of the picture's longer side: the zooms of a search, for a person far away
TILES_PER_PICTURE = 2  # in a search that goes on over several pictures, so that an empty room stays cheap
MIN_MASK = 0.01  # of the region: with less mask than this the network only imagines somebody
TILE_REACH = 1.5  # of a tile's side: a region larger than this is no small person seen whole in the tile
JUMP = 0.35  # of the region's side: a faster move of its centre in one picture is another person
_NUM_LANDMARKS = 33
_FEATURES = ("model_1/model/add_10/add", "Relu6__134:0")  # of the landmark network: (48, 32, 32), (288, 8, 8)


class Observation(NamedTuple):
    """What the landmark network says of one region.

    landmarks  (39, 5) float32: x, y in picture pixels (centre convention), z in picture pixels (away from the
               camera, from the
               hips), visibility 0..1, presence in the picture 0..1. 33 body points, 33 and 34 the next region's, 4
               unused.
    presence   float 0..1: probability that the region shows a person.
    mask       (128, 128) float32 0..1: probability of the person on the region's grid.
    world      (39, 3) float32 metres, origin between the hips, x right, y down, z away from the camera, along the
               picture's axes.
    features   the network's feature maps on the region's grid.
    """

    landmarks: np.ndarray
    presence: float
    mask: np.ndarray
    world: np.ndarray
    features: DetectorFeatures


class BlazePoseFinder:
    """A PersonFinder on BlazePose's detector and landmark networks.

    models_dir  folder with pose_detector.onnx, pose_landmarks_full.onnx and, for `heavy`, pose_landmarks_heavy.onnx.
    providers   "auto", "cuda" or "cpu"; `provider` says which one runs.
    threads     CPU threads of onnxruntime; two were often slower than one on a small machine.
    heavy       the larger network, pose_landmarks_heavy.onnx, looks, too, and the mean counts; the feature maps stay
                the other's.
    mirror      the landmark network looks at the region and at its mirror image, and the mean counts. See `quality`.
    sides       says which of a person's sides is the left, see `exchange`; of its own it has no `opinion` on a frame.
    Raises UserError when a network file is missing or damaged.
    """

    def __init__(
        self,
        models_dir: str | Path,
        providers: str = "auto",
        threads: int = 1,
        *,
        heavy: bool = False,
        mirror: bool = False,
    ):
        folder = Path(models_dir)
        self._landmarks = open_network(
            folder / "pose_landmarks_full.onnx", providers=providers, threads=threads, also=_FEATURES
        )
        self._heavy = (
            open_network(folder / "pose_landmarks_heavy.onnx", providers=providers, threads=threads) if heavy else None
        )
        self.heavy, self.mirror, self.sides = heavy, mirror, Sides()
        self._detector = open_network(folder / "pose_detector.onnx", providers=providers, threads=threads)
        self._anchors = make_anchors()
        self.provider = provider_of(self._landmarks)
        self.reset()

    def reset(self) -> None:
        """Forget the person followed; the next picture is searched thoroughly."""
        self._roi: Roi | None = None
        self._next_tile: int | None = None  # None: look at every tile
        self.sides.reset()

    def find(self, picture: np.ndarray) -> Person | None:
        """The person in `picture` ((H, W, 3) uint8 RGB), or None. Follows the last one found, searches when it is
        lost.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or picture.size == 0:
            raise ValueError(f"picture must be (H, W, 3) uint8, not {picture.shape} {picture.dtype}")
        person = None if self._roi is None else self._follow(picture, self._roi)
        if person is None:
            person = self._search(picture)
        return None if person is None else self.sides(person, (picture.shape[1], picture.shape[0]))

    def detect(self, picture: np.ndarray, roi: Roi) -> list[Detection]:
        """Bodies in a square of the picture ((H, W, 3) uint8 RGB), best first. Changes no state."""
        boxes, scores = self._detector.run(["Identity", "Identity_1"], {"input_1": detector_input(picture, roi)})
        return decode(boxes[0], scores[0, :, 0], self._anchors, roi)

    def observe(self, picture: np.ndarray, roi: Roi, *, expected: bool = False) -> Observation:
        """The landmark network's passes over a region of the picture ((H, W, 3) uint8 RGB). Changes no state.

        expected : somebody was there in the last picture: no pass waits for the first one to say that there is.
        """
        T_grid_from_picture = roi.T_grid_from_picture(LANDMARK_SIZE)
        pixels = affine.resample(
            picture, T_grid_from_picture, LANDMARK_SIZE, border=cv2.BORDER_REPLICATE
        )  # as mediapipe does
        looks = [partial(look, self._landmarks, pixels, _FEATURES)]
        ways = (False,) * self.heavy + (True,) * self.mirror
        further = [partial(look, self._heavy or self._landmarks, pixels, mirror=way) for way in ways]
        if expected:
            first, *others = side_by_side(looks + further)
        else:
            first = look(self._landmarks, pixels, _FEATURES)
            others = side_by_side(further) if first.presence >= MIN_PRESENCE else []
        seen = self._mean(first, others) if first.presence >= MIN_PRESENCE else first
        points = seen.points.copy()
        points[:, :2] = affine.apply(roi.T_picture_from_grid(LANDMARK_SIZE), points[:, :2] - 0.5)
        points[:, 2] *= roi.size / LANDMARK_SIZE
        mask = _inside_picture(seen.mask, roi, picture.shape)
        return Observation(
            points, seen.presence, mask, _turned(seen.world, roi.rotation), DetectorFeatures(*first.maps)
        )

    def _mean(self, first: Pass, others: list[Pass]) -> Pass:
        """The first pass, or its mean with others; where they disagree on a person's sides, the larger network is
        believed."""
        passes = [*others, first] if self.heavy else [first, *others]
        return mean(passes) if others else first

    def _follow(self, picture: np.ndarray, roi: Roi) -> Person | None:
        seen = self.observe(picture, roi, expected=True)
        return self._accept(seen, roi, is_new=False) if _is_person(seen) else None

    def _search(self, picture: np.ndarray) -> Person | None:
        """Detect in the whole picture, then in zoomed tiles: all of them at first, a few per picture from then on."""
        whole = max(picture.shape[:2])
        for square in self._squares_to_search(*picture.shape[:2]):
            for detection in self.detect(picture, square)[:2]:
                if square.size < whole and detection.roi.size > TILE_REACH * square.size:
                    continue
                first = self.observe(picture, detection.roi)
                if not _is_person(first):
                    continue
                roi = roi_from_landmarks(first.landmarks)
                seen = self.observe(picture, roi)  # a second look tells people from things that resemble them
                if _is_person(seen):
                    return self._accept(seen, roi, is_new=True)
        self._roi = None
        return None

    def _squares_to_search(self, height: int, width: int) -> list[Roi]:
        whole, tiles = roi_of_picture(height, width), tiles_of_picture(height, width)
        if self._next_tile is None:
            self._next_tile = 0
            return [whole, *tiles]
        chosen = [tiles[(self._next_tile + i) % len(tiles)] for i in range(min(TILES_PER_PICTURE, len(tiles)))]
        self._next_tile = (self._next_tile + len(chosen)) % max(len(tiles), 1)
        return [whole, *chosen]

    def _accept(self, seen: Observation, roi: Roi, *, is_new: bool) -> Person:
        following = roi_from_landmarks(seen.landmarks)
        moved = np.hypot(following.centre_x - roi.centre_x, following.centre_y - roi.centre_y)
        self._roi = following
        points = np.ascontiguousarray(seen.landmarks[:_NUM_LANDMARKS, [0, 1, 3]])
        person = Person(
            seen.mask,
            roi.T_grid_from_picture(len(seen.mask)),
            points,
            seen.world[:_NUM_LANDMARKS],
            seen.presence,
            is_new,
            seen.features,
        )
        if moved > JUMP * roi.size and not is_new:
            person = replace(person, is_new=True)
        return person


def tiles_of_picture(height: int, width: int) -> list[Roi]:
    """Overlapping squares, upright, that cover the picture at the zooms TILE_SIDES; none for a picture under 64
    pixels.
    """
    longer = max(height, width)
    tiles = []
    for fraction in TILE_SIDES if longer >= 64 else ():
        side = longer * fraction
        xs, ys = _tile_centres(width, side), _tile_centres(height, side)
        tiles += [Roi(float(x) - 0.5, float(y) - 0.5, side) for y in ys for x in xs]
    return tiles


def _tile_centres(length: int, side: float) -> np.ndarray:
    if side >= length:
        return np.array([length / 2])
    return np.linspace(side / 2, length - side / 2, 1 + int(np.ceil((length - side) / (side / 2) - 1e-6)))


def _is_person(seen: Observation) -> bool:
    if seen.presence < MIN_PRESENCE or not np.isfinite(seen.landmarks).all():
        return False
    return bool(np.count_nonzero(seen.mask > 0.5) >= MIN_MASK * seen.mask.size)


def _inside_picture(mask: np.ndarray, roi: Roi, shape: tuple[int, ...]) -> np.ndarray:
    """The mask (S, S) on the region's grid, 0 where the grid lies outside a picture of this shape."""
    T = roi.T_picture_from_grid(len(mask))
    along = np.arange(len(mask), dtype=np.float32)
    for axis, length in ((0, shape[1]), (1, shape[0])):
        position = T[axis, 0] * along[None, :] + T[axis, 1] * along[:, None] + T[axis, 2]
        if position.min() < -0.5 or position.max() > length - 0.5:
            mask = mask * ((position >= -0.5) & (position <= length - 0.5))
    return mask


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Points (n, 3) of a region turned by `angle`, along the picture's axes instead."""
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)
