"""Real pictures: does the mesh lie on the person?

Silhouette against mask, joints against landmarks, warm starts against cold ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from lvd_live import render
from lvd_live.body.skeleton import JOINT
from lvd_live.evaluate.metrics import LIMBS, mean_distance, silhouette_iou
from lvd_live.person import affine
from lvd_live.person.crop import mask_box
from lvd_live.person.types import Person, PersonFinder
from lvd_live.sources import Frame, ImageSource, Source, VideoSource
from lvd_live.tracking.fit import Fit
from lvd_live.tracking.tracker import Tracker

CLIPS = {".mp4", ".mov", ".mkv"}
PHOTOGRAPHS = {".jpg", ".jpeg", ".png"}
NOT_PICTURES = ("mask", "segmentation", "rgba")  # parts of names of files that show no photograph
TIGHT = ("squats", "dancer", "octopus")  # parts of names: people in tight clothes
SHEET_EVERY = 20  # frames of a clip between two pictures of the contact sheet
GIVEN = {
    "all": "landmarks and feature maps given",
    "maps": "feature maps given, no landmarks",
    "picture": "picture and mask alone",
}
JOINTS_OF_LIMBS = [
    JOINT[f"{side}_{name}"]
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
]
"""In the order of metrics.LIMBS."""


@dataclass(frozen=True)
class Figures:
    """Figures of a frame, or means over several.

    iou : 0..1, silhouette against mask.
    joints : distance of the limbs' regressed joints from BlazePose's landmarks, as a share of the person's height in
        the picture.
    landmarks : the same for the mesh's own landmarks, which lie where BlazePose puts them (a shoulder is not the
        shoulder joint).
    iterations : of descent.
    from_cold : mm, mean distance from 8 iterations from a point; NaN where that was not done.
    """

    iou: float
    joints: float
    landmarks: float
    iterations: float
    from_cold: float

    @classmethod
    def mean(cls, figures: Sequence[Figures]) -> Figures:
        """The mean of each figure, see `mean`."""
        return cls(*(mean([getattr(f, field.name) for f in figures]) for field in fields(Figures)))


@dataclass(frozen=True)
class Score(Figures):
    """Means over the tracked frames of a clip or picture, or over the files of a group."""

    name: str
    frames: int
    tracked: int

    @property
    def tight(self) -> bool:
        """Whether the file shows somebody in tight clothes."""
        return any(part in self.name for part in TIGHT)


def mean(values: Iterable[float]) -> float:
    """Of those that are numbers; NaN if none is."""
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def is_clip(path: Path) -> bool:
    """Whether a file is a video by its name."""
    return path.suffix.lower() in CLIPS


def inputs(folder: Path) -> list[Path]:
    """The clips and photographs of a folder with videos/ and images/, or of a plain folder of them."""

    def is_photograph(path: Path) -> bool:
        return path.suffix.lower() in PHOTOGRAPHS and not any(word in path.name for word in NOT_PICTURES)

    return [path for path in sorted(folder.rglob("*")) if is_clip(path) or is_photograph(path)]


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


def score(
    path: Path, finder: PersonFinder, tracker: Tracker, cold: Tracker | None, pictures: list[np.ndarray]
) -> Score:
    """Track one file.

    cold : if given, fits every frame again from a point with 8 iterations.
    pictures : overlays of some frames are added to it.
    """
    finder.reset()
    tracker.reset()
    frames, figures = 0, []
    source: Source = ImageSource(path) if path.suffix.lower() in PHOTOGRAPHS else VideoSource(path)
    with source:
        for frame in source:
            person = finder.find(frame.picture)
            fit = None if person is None else tracker.step(frame, person)
            if person is None:
                tracker.reset()
            elif fit is not None:
                found = judge(frame, person, fit, tracker, cold)
                figures.append(found)
                if frames % SHEET_EVERY == 0:
                    drawn = render.overlay(frame.picture, fit.vertices, tracker.faces, fit.intrinsics, 0.6)
                    caption = f"{path.stem[-24:]} {frame.index} IoU {found.iou:.2f} joints {100 * found.joints:.1f}%"
                    pictures.append(captioned(drawn, caption))
            frames += 1
    return Score(**asdict(Figures.mean(figures)), name=path.name, frames=frames, tracked=len(figures))


def judge(frame: Frame, person: Person, fit: Fit, tracker: Tracker, cold: Tracker | None) -> Figures:
    """The figures of one fit, from the mesh and intrinsics that a file would hold. cold : see `score`."""
    height, width = frame.picture.shape[:2]
    silhouette = render.silhouette(fit.vertices, tracker.faces, fit.intrinsics, (width, height))
    limbs, size = person.landmarks[list(LIMBS)], person_height(person)

    def distance(regressor: np.ndarray, chosen: list[int]) -> float:
        points = render.project((regressor @ fit.vertices)[chosen], fit.intrinsics)
        return mean_distance(points, limbs, size)

    again = None if cold is None else cold_fit(cold, frame, person, fit)
    return Figures(
        iou=silhouette_iou(silhouette, mask_in_picture(person, (height, width))),
        joints=distance(tracker.body.J_regressor.numpy(), JOINTS_OF_LIMBS),
        landmarks=distance(tracker.body.landmarks.numpy(), list(LIMBS)),
        iterations=fit.iterations,
        from_cold=float("nan") if again is None else gap_in_millimetres(fit, again),
    )


def cold_fit(cold: Tracker, frame: Frame, person: Person, fit: Fit) -> Fit | None:
    """The same frame and crop, from a point."""
    cold.reset()
    return cold.step(frame, person, crop=fit.crop)


def gap_in_millimetres(a: Fit, b: Fit) -> float:
    """Mean distance of two fits in one crop frame, in mm at the person's distance."""
    units = float(np.linalg.norm(a.crop_vertices - b.crop_vertices, axis=1).mean())
    distance = float(a.vertices[:, 2].mean())
    return 1000 * units * a.crop.half * distance / a.intrinsics[0, 0]


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """A thumbnail, (320, 320, 3) uint8, with a line of text."""
    small = render.fit_into(picture, (320, 320), 24)
    cv2.putText(small, text, (4, 314), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1, cv2.LINE_AA)
    return small


def groups(scores: list[Score], tight: str) -> dict[str, list[Score]]:
    """The scores of those in tight clothes, under that title, of clips, of pictures, and all; without empty groups."""
    found = {
        tight: [s for s in scores if s.tight],
        "clips": [s for s in scores if s.frames > 1],
        "pictures": [s for s in scores if s.frames == 1],
        "all": scores,
    }
    return {title: group for title, group in found.items() if group}


def mean_score(name: str, scores: list[Score]) -> Score:
    """The means over files, each counting as much as another."""
    frames, tracked = sum(s.frames for s in scores), sum(s.tracked for s in scores)
    return Score(**asdict(Figures.mean(scores)), name=name, frames=frames, tracked=tracked)


def report(
    paths: list[Path], finder: PersonFinder, tracker: Tracker, cold: Tracker | None, pictures: list[np.ndarray]
) -> list[str]:
    """Every file's figures and the groups' as lines of Markdown. cold, pictures : see `score`."""
    scores = [score(path, finder, tracker, cold, pictures) for path in tqdm(paths, unit="file", leave=False)]
    means = [
        mean_score(f"**{title}** (mean of {len(group)} files)", group)
        for title, group in groups(scores, "tight clothes").items()
    ]
    return [
        "",
        f"## Real pictures, {GIVEN[tracker.conditioning]}",
        "",
        "| file | tracked | IoU | joints, % of height | landmarks, % | iterations | mm from 8 cold |",
        "|---|---|---|---|---|---|---|",
        *map(row, scores + means),
    ]


def row(s: Score) -> str:
    """A line of the table."""
    figures = f"{s.iou:.3f} | {100 * s.joints:.2f} | {100 * s.landmarks:.2f} | {s.iterations:.2f} | {s.from_cold:.1f}"
    return f"| {s.name} | {s.tracked}/{s.frames} | {figures} |"
