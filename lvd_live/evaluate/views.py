"""Real people with 3D truth, seen by several cameras: how far the mesh and the finder's own landmarks are from it.

A folder of views holds `view1.mp4`, `view2.mp4`, … (V clips of F frames, at the same times) and `truth.npz`:
`joints_camera_mm` (V, F, P, 3) float32, the true joints in each camera's frame (OpenCV's axes), mm, NaN where unknown;
`blazepose_index` (P,) int, the landmarks of BlazePose that they are, both hips among them and none without its
counterpart on the other side; `names` (P,) text; `intrinsics` (V, 3, 3), of the clips. The mesh is judged by its own
landmarks (`landmarks` of the body file), as it is placed by the assumed field of view and, beside that, as it would be
by the true camera.

Errors, mm. PA: after the similarity transform (rotation, shift, scale) that brings each frame's points closest to the
truth. Root-aligned: the middle of the hips on the true one, scaled to the least error, not turned: it also shows
leaning and a wrong heading. For that, points and truth are given in frames whose z axis goes from the camera to the
middle of the hips: the finder knows no camera, the mesh is placed by an assumed one, and an error of that is none of
the pose.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from lvd_live.errors import UserError
from lvd_live.evaluate.alignment import jitter, mean_known, root_error, similarity_error, toward
from lvd_live.lift.conditioning import lift_through
from lvd_live.lift.steady import SteadyLifter
from lvd_live.lvd.presets import CONDITIONING
from lvd_live.person.crop import Crop
from lvd_live.person.sides import COUNTERPART, counterparts
from lvd_live.person.types import Person, PersonFinder
from lvd_live.pipeline.reread import reread, with_later
from lvd_live.render import project
from lvd_live.sources.frame import Frame
from lvd_live.sources.video import VideoSource
from lvd_live.tracking.camera import Camera, to_metres
from lvd_live.tracking.fit import Fit
from lvd_live.tracking.tracker import Tracker

HIPS = (23, 24)
FINDER = "finder's world landmarks"
LIFTER = "lifter's landmarks"
KNOWN = ", camera known"  # of a method: the mesh placed by the true camera


@dataclass(frozen=True)
class Views:
    """A folder of V views.

    clips : V paths. joints : (V, F, P, 3) float64 mm, camera frames, NaN where unknown. intrinsics : (V, 3, 3) float64.
    landmarks : (P,) int, BlazePose's numbers. names : of the P joints.
    """

    clips: tuple[Path, ...]
    joints: np.ndarray
    intrinsics: np.ndarray
    landmarks: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """One method on one view.

    tracked, frames : counts.
    pa, root : mm, means over joints and frames. joints : (P,) mm, PA by joint.
    exchanged, crossed, judged : how many frames are nearer to the truth with left and right exchanged, in space (PA;
        also where depth alone is inverted) and in the picture, of how many.
    jitter : mean length of the joints' second difference about the hips, mm/frame², without any alignment.
    """

    tracked: int
    frames: int
    pa: float
    root: float
    joints: np.ndarray
    exchanged: int
    crossed: int
    judged: int
    jitter: float


def open_views(folder: Path) -> Views:
    """Read a folder of views. Raises UserError where it is none."""
    truth = folder / "truth.npz"
    if not truth.is_file():
        raise UserError(f"{folder} is no folder of views: it holds no truth.npz.")
    try:
        with np.load(truth, allow_pickle=False) as file:
            joints, intrinsics = (file[name].astype(np.float64) for name in ("joints_camera_mm", "intrinsics"))
            landmarks, names = file["blazepose_index"].astype(int), tuple(map(str, file["names"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{truth} cannot be read as the truth of a folder of views ({type(error).__name__}: {error})."
        ) from None
    if (
        joints.ndim != 4
        or joints.shape[3] != 3
        or landmarks.shape != (joints.shape[2],)
        or len(names) != len(landmarks)
        or 0 in joints.shape
        or intrinsics.shape != (len(joints), 3, 3)
    ):
        raise UserError(
            f"{truth} contradicts itself: joints of shape {joints.shape}, {landmarks.size} landmarks, {len(names)} "
            f"names, intrinsics of shape {intrinsics.shape}."
        )
    if not set(HIPS) <= set(landmarks.tolist()) <= set(range(len(COUNTERPART))):
        raise UserError(f"{truth} must name BlazePose's landmarks, both hips (23, 24) among them.")
    try:
        counterparts(landmarks)
    except ValueError as error:
        raise UserError(f"{truth} must hold both sides of the body: {error}.") from None
    clips = tuple(folder / f"view{v + 1}.mp4" for v in range(len(joints)))
    for clip in clips:
        if not clip.is_file():
            raise UserError(f"There is no {clip}, though truth.npz has {len(clips)} views.")
    return Views(clips, joints, intrinsics, landmarks, names)


def follow(
    clip: Path,
    frames: int,
    finder: PersonFinder,
    trackers: Mapping[str, Tracker],
    camera: Camera,
    progress: Callable[[], None] = lambda: None,
    *,
    ahead: int = 0,
) -> dict[str, np.ndarray]:
    """Landmarks in a clip's first `frames` frames, by method.

    The methods are FINDER, LIFTER where a tracker has one, the trackers' names, and these with the mesh placed by the
    true camera (KNOWN).

    progress : called after each frame. ahead : how many frames each waits for, as those of files do.
    Returns all 33 landmarks, (F, 33, 5) float64: mm, z axis from the camera to the hips; picture pixels. NaN where
    nobody was found. Raises UserError where the clip is shorter.
    """
    lifter = next((tracker.lifter for tracker in trackers.values() if tracker.lifter is not None), None)
    steady = None if lifter is None else SteadyLifter(lifter)
    judges = (FINDER,) if lifter is None else (FINDER, LIFTER)
    methods = (*judges, *(f"{name}{by}" for by in ("", KNOWN) for name in trackers))
    out = {name: np.full((frames, len(COUNTERPART), 5), np.nan) for name in methods}
    finder.reset()
    for tracker in trackers.values():
        tracker.reset()
    count = 0
    with VideoSource(clip) as source:
        found = ((frame, finder.find(frame.picture)) for frame in islice(source, frames))
        for frame, person, later in with_later(reread(found) if ahead else found, ahead):
            if person is not None:
                out[FINDER][count] = np.column_stack([1000 * person.world, person.landmarks[:, :2]])
                if steady is not None:
                    out[LIFTER][count] = lift(steady, ((frame, person), *later))
            for name, tracker in trackers.items():
                if person is None:
                    tracker.reset()
                    continue
                if (fit := tracker.step(frame, person, later=later)) is None:
                    continue
                for by, row in zip(("", KNOWN), mesh_rows(tracker, fit, camera), strict=True):
                    out[name + by][count] = row
            count += 1
            progress()
    if count < frames:
        raise UserError(f"{clip} has {count} frames, and truth.npz has {frames}.")
    return out


def mesh_rows(tracker: Tracker, fit: Fit, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """A mesh's own landmarks as rows of `follow`, (33, 5): as the tracker has placed it, and as `camera` would."""
    regressor = tracker.body.landmarks.numpy()
    distance = float(np.median(fit.vertices[:, 2])) * camera.focal / fit.intrinsics[0, 0]  # of equal size
    known = to_metres(fit.crop_vertices, fit.crop, camera, distance)
    pixels = project(regressor @ fit.vertices, fit.intrinsics)
    points = (1000 * (regressor @ mesh).astype(np.float64) for mesh in (fit.vertices, known))
    placed, by_camera = (np.column_stack([toward(p, list(HIPS)), pixels]) for p in points)
    return placed, by_camera


def lift(steady: SteadyLifter, found: Sequence[tuple[Frame, Person]]) -> np.ndarray:
    """What the lifter says of the first of people in frames, as a row of `follow`, (33, 5); the field of view is not
    known."""
    height, width = found[0][0].picture.shape[:2]
    camera = Camera.of_picture(width, height)
    whole = Crop(camera.centre, max(width, height) / 2)
    lifted = lift_through(steady, found, whole, camera.focal, known=False)
    points = 1000 * to_metres(lifted[:, :3].astype(np.float64), whole, camera)
    return np.column_stack([toward(points, list(HIPS)), whole.to_picture(lifted[:, :2])])


def score(points: np.ndarray, truth: np.ndarray, landmarks: np.ndarray, intrinsics: np.ndarray) -> Score:
    """How one method does on one view.

    points : (F, 33, 5), see `follow`. truth : (F, P, 3) mm, camera frame, of the landmarks (P,). intrinsics : (3, 3).
    """
    hips = [int(np.flatnonzero(landmarks == hip)[0]) for hip in HIPS]
    found, pixels, other = points[:, landmarks, :3], points[:, landmarks, 3:], counterparts(landmarks)
    pa = similarity_error(found, truth)
    exchanged, judged = nearer(similarity_error(found[:, other], truth), pa)
    true_pixels = truth[..., :2] / truth[..., 2:] * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2]
    crossed, _ = nearer(*(np.linalg.norm(p - true_pixels, axis=-1) for p in (pixels[:, other], pixels)))
    tracked = int(np.isfinite(found).all((1, 2)).sum())
    root = mean_known(root_error(found, toward(truth, hips), hips))
    parts = np.array([mean_known(e) for e in pa.T])
    return Score(tracked, len(points), mean_known(pa), root, parts, exchanged, crossed, judged, jitter(found, hips))


def nearer(errors: np.ndarray, others: np.ndarray) -> tuple[int, int]:
    """In how many frames `errors` (F, P) are smaller in the mean than `others` (F, P), of how many.

    Over the joints that both know; frames without any do not count.
    """
    both = np.isfinite(errors) & np.isfinite(others)
    mine, theirs = (np.where(both, e, 0).sum(1) for e in (errors, others))
    return int((mine < theirs).sum()), int(both.any(1).sum())


def measure(
    views: Views,
    finder: PersonFinder,
    trackers: Mapping[str, Tracker],
    progress: Callable[[], None] = lambda: None,
    *,
    ahead: int = 0,
) -> dict[str, list[Score]]:
    """A Score for each view, by method. progress, ahead : see `follow`."""
    scores: dict[str, list[Score]] = {}
    for clip, truth, K in zip(views.clips, views.joints, views.intrinsics, strict=True):
        camera = Camera(float(K[0, 0]), K[:2, 2])
        for name, points in follow(clip, len(truth), finder, trackers, camera, progress, ahead=ahead).items():
            scores.setdefault(name, []).append(score(points, truth, views.landmarks, K))
    return scores


def tables(views: Views, scores: Mapping[str, list[Score]]) -> dict[str, tuple[tuple[str, ...], list[tuple]]]:
    """Header and rows of the tables "views" (errors, frames exchanged, jitter) and "views_joints" (PA by joint).

    Means are over the views.
    """
    header = (
        "told",
        *(f"view {v + 1}" for v in range(len(views.clips))),
        "PA, mm",
        "root-aligned, mm",
        "left and right exchanged",
        "exchanged in the picture",
        "jitter, mm/frame²",
        "tracked",
    )
    whole, parts = [], []
    for name, each in scores.items():
        total = {
            key: sum(getattr(s, key) for s in each) for key in ("exchanged", "crossed", "judged", "tracked", "frames")
        }
        sides = [f"{total[key]}/{total['judged']}" for key in ("exchanged", "crossed")]
        pa, root, steady = (np.array([getattr(s, key) for s in each]) for key in ("pa", "root", "jitter"))
        means = (float(pa.mean()), float(root.mean()), *sides, float(steady.mean()))
        whole.append((name, *map(float, pa), *means, f"{total['tracked']}/{total['frames']}"))
        parts.append((name, *map(float, np.mean([s.joints for s in each], 0))))
    return {
        "views": (header, whole),
        "views_joints": (("told; PA, mm", *(n.replace("_", " ") for n in views.names)), parts),
    }


def compare(
    folder: Path,
    preset: str,
    *,
    weights: Path | None,
    finder: PersonFinder,
    conditioning: Sequence[str] = CONDITIONING,
    progress: Callable[[], None] = lambda: None,
    ahead: int = 0,
) -> dict[str, tuple[tuple[str, ...], list[tuple]]]:
    """`tables` of the preset's network by conditioning, on a folder of views. ahead : see `follow`. Raises UserError
    where that is none."""
    views, first = open_views(folder), Tracker.load(preset=preset, weights=weights, uncertainty=0)
    kinds = conditioning if first.runtime.network.preset.landmarks else ("picture",)
    trackers = {kind: first.clone() for kind in kinds}
    for kind, tracker in trackers.items():
        tracker.change(conditioning=kind)
    return tables(views, measure(views, finder, trackers, progress, ahead=ahead))
