"""Real pictures: does the mesh lie on the person? Silhouette against mask, joints against landmarks, warm starts against cold ones."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lvd_live import render, sources
from lvd_live.body.skeleton import JOINT
from lvd_live.evaluate.metrics import LIMBS, mean_distance, silhouette_iou
from lvd_live.person import affine
from lvd_live.person.crop import mask_box
from lvd_live.person.types import Person, PersonFinder
from lvd_live.sources import Frame
from lvd_live.tracking.fit import Fit
from lvd_live.tracking.tracker import Tracker

log = logging.getLogger(__name__)

NOT_PICTURES = ("mask", "segmentation", "rgba")  # parts of names of files that show no photograph
TIGHT = ("squats", "dancer", "octopus")  # parts of names: people in tight clothes
SHEET_EVERY = 20  # frames of a clip between two pictures of the contact sheet


@dataclass(frozen=True)
class Score:
    """Figures of a clip or picture, means over its tracked frames.

    iou 0..1: silhouette against mask. joints: distance of the limbs' regressed joints from BlazePose's landmarks, as a share of the person's height in the picture; landmarks: the same for
    the mesh's own landmarks, which lie where BlazePose puts them (a shoulder is not the shoulder joint). iterations: a frame. from_cold: mm, mean distance from 8 iterations from a point.
    """

    name: str
    frames: int
    tracked: int
    iou: float
    joints: float
    landmarks: float
    iterations: float
    from_cold: float

    @property
    def tight(self) -> bool:
        return any(part in self.name for part in TIGHT)


JOINTS_OF_LIMBS = [
    JOINT[f"{side}_{name}"]
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
]  # in the order of metrics.LIMBS


def person_height(person: Person) -> float:
    """The height of the box around mask and landmarks, picture pixels: the person's height as the picture shows it."""
    ys = person.landmarks[:, 1]
    box = mask_box(person.mask, person.T_mask_from_picture)
    top, bottom = (ys.min(), ys.max()) if box is None else (min(ys.min(), box[1]), max(ys.max(), box[3]))
    return float(bottom - top)


def mask_in_picture(person: Person, shape: tuple[int, int]) -> np.ndarray:
    """The person's mask as a boolean picture of `shape` (H, W)."""
    T = affine.invert(person.T_mask_from_picture)
    return cv2.warpAffine(person.mask, T.astype(np.float64), (shape[1], shape[0]), flags=cv2.INTER_LINEAR) > 0.5


def inputs(folder: Path) -> list[Path]:
    """The clips and photographs of a folder with videos/ and images/, or of a plain folder of them."""
    found = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in {".mp4", ".mov", ".mkv", ".jpg", ".jpeg", ".png"}
    )
    return [
        p
        for p in found
        if p.suffix.lower() in {".mp4", ".mov", ".mkv"} or not any(word in p.name for word in NOT_PICTURES)
    ]


def score(
    path: Path, finder: PersonFinder, tracker: Tracker, cold: Tracker | None, pictures: list[np.ndarray]
) -> Score:
    """Track one file. `cold`, if given, fits every frame again from a point with 8 iterations. Overlays of some frames are added to `pictures`."""
    source = (
        sources.ImageSource(path) if path.suffix.lower() in {".jpg", ".jpeg", ".png"} else sources.VideoSource(path)
    )
    finder.reset()
    tracker.reset()
    frames, ious, joints, landmarks, iterations, gaps = 0, [], [], [], [], []
    with source:
        for frame in source:
            person = finder.find(frame.picture)
            fit = None if person is None else tracker.step(frame, person)
            if fit is None:
                tracker.reset()
            else:
                iou, joint, landmark = judge(frame, person, fit, tracker)
                ious.append(iou)
                joints.append(joint)
                landmarks.append(landmark)
                iterations.append(fit.iterations)
                if cold is not None and (again := cold_fit(cold, frame, person, fit)) is not None:
                    gaps.append(gap_in_millimetres(fit, again))
                if frames % SHEET_EVERY == 0:
                    drawn = render.overlay(frame.picture, fit.vertices, tracker.faces, fit.intrinsics, 0.6)
                    pictures.append(
                        captioned(drawn, f"{path.stem[-24:]} {frame.index} IoU {iou:.2f} joints {100 * joint:.1f}%")
                    )
            frames += 1
    return Score(path.name, frames, len(ious), mean(ious), mean(joints), mean(landmarks), mean(iterations), mean(gaps))


def mean(values: list[float]) -> float:
    """Of those that are numbers; NaN if none is."""
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def judge(frame: Frame, person: Person, fit: Fit, tracker: Tracker) -> tuple[float, float, float]:
    """Silhouette IoU and the distances of joints and landmarks, from the mesh and intrinsics that a file would hold."""
    h, w = frame.picture.shape[:2]
    shape = render.silhouette(fit.vertices, tracker.faces, fit.intrinsics, (w, h))
    seen, height = person.landmarks[list(LIMBS)], person_height(person)
    joints = render.project((tracker.body.J_regressor.numpy() @ fit.vertices)[JOINTS_OF_LIMBS], fit.intrinsics)
    landmarks = render.project((tracker.body.landmarks.numpy() @ fit.vertices)[list(LIMBS)], fit.intrinsics)
    return (
        silhouette_iou(shape, mask_in_picture(person, (h, w))),
        mean_distance(joints, seen, height),
        mean_distance(landmarks, seen, height),
    )


def cold_fit(cold: Tracker, frame: Frame, person: Person, fit: Fit) -> Fit | None:
    """The same frame and crop, from a point."""
    cold.reset()
    return cold.step(frame, person, crop=fit.crop)


def gap_in_millimetres(a: Fit, b: Fit) -> float:
    """Mean distance of two fits in one crop frame, in mm at the person's distance."""
    distance = float(a.vertices[:, 2].mean())
    return (
        1000
        * float(np.linalg.norm(a.crop_vertices - b.crop_vertices, axis=1).mean())
        * a.crop.half
        * distance
        / a.intrinsics[0, 0]
    )


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """A thumbnail with a line of text."""
    small = render.fit_into(picture, (320, 320), 24)
    cv2.putText(small, text, (4, 314), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1, cv2.LINE_AA)
    return small
