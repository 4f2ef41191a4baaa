"""Real people with 3D truth, seen by several cameras: how far the mesh and the finder's own landmarks are from it.

A folder of views holds `view1.mp4`, `view2.mp4`, … (V clips of F frames, at the same times) and `truth.npz`:
`joints_camera_mm` (V, F, P, 3) float32, the true joints in each camera's frame (OpenCV's axes), mm, NaN where unknown;
`blazepose_index` (P,) int, the landmarks of BlazePose that they are, both hips
among them and none without its counterpart on the other side; `names` (P,) text; `intrinsics` (V, 3, 3), of the clips.
The mesh is judged by its own landmarks (`landmarks` of the body file), as it is
placed by the assumed field of view and, beside that, as it would be by the true camera.

Errors, mm. PA: after the similarity transform (rotation, shift, scale) that brings each frame's points closest to the
truth. Root-aligned: the middle of the hips on the true one, scaled to the least
error, not turned: it also shows leaning and a wrong heading. For that, points and truth are given in frames whose z
axis goes from the camera to the middle of the hips: the finder knows no camera, the
mesh is placed by an assumed one, and an error of that is none of the pose.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvd_live.errors import UserError
from lvd_live.lvd.network import EVIDENCE
from lvd_live.person.sides import COUNTERPART, counterparts
from lvd_live.person.types import PersonFinder
from lvd_live.placement import Camera, to_metres
from lvd_live.sources import VideoSource
from lvd_live.tracker import Tracker

HIPS = (23, 24)
FINDER = "finder's world landmarks"
KNOWN = ", camera known"  # of a method: the mesh placed by the true camera
FEWEST = 4  # true joints of a frame that is judged


@dataclass(frozen=True)
class Views:
    """A folder of views. clips: V paths. joints (V, F, P, 3) float64 mm, camera frames, NaN unknown. intrinsics (V, 3,
    3) float64. landmarks (P,) int, BlazePose's numbers. names: of the P joints.
    """

    clips: tuple[Path, ...]
    joints: np.ndarray
    intrinsics: np.ndarray
    landmarks: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """Of one method on one view. tracked, frames: counts. pa, root: mm, means over joints and frames; joints (P,): PA
    by joint. exchanged, judged: how many frames are nearer (PA) to the truth with left and right
    exchanged, of how many. jitter: mean length of the joints' second difference about the hips, mm/frame², of the
    metres as they are."""

    tracked: int
    frames: int
    pa: float
    root: float
    joints: np.ndarray
    exchanged: int
    judged: int
    jitter: float


def open_views(folder: Path) -> Views:
    """Read a folder of views. UserError where it is none."""
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
            f"{truth} contradicts itself: joints of shape {joints.shape}, {landmarks.size} landmarks, {len(names)} names, intrinsics of shape {intrinsics.shape}."
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
) -> dict[str, np.ndarray]:
    """A clip's first `frames` frames, by method: FINDER, the trackers' names, and these with the mesh placed by the
    true camera (KNOWN).

    All 33 landmarks (F, 33, 3) float64 mm, NaN where nobody was found, z axis from the camera to the hips. UserError
    where the clip is shorter.
    """
    out = {
        name: np.full((frames, len(COUNTERPART), 3), np.nan)
        for name in (FINDER, *(f"{name}{by}" for by in ("", KNOWN) for name in trackers))
    }
    finder.reset()
    for tracker in trackers.values():
        tracker.reset()
    count = 0
    with VideoSource(clip) as source:
        for frame in source:
            if count == frames:
                break
            person = finder.find(frame.picture)
            if person is not None:
                out[FINDER][count] = 1000 * person.world
            for name, tracker in trackers.items():
                fit = None if person is None else tracker.step(frame, person)
                if fit is None:
                    tracker.reset()
                    continue
                for by, mesh in (
                    ("", fit.vertices),
                    (KNOWN, to_metres(fit.crop_vertices, fit.crop, camera, float(np.median(fit.vertices[:, 2])))),
                ):
                    out[name + by][count] = toward(
                        1000 * (tracker.body.landmarks.numpy() @ mesh).astype(np.float64), list(HIPS)
                    )
            count += 1
            progress()
    if count < frames:
        raise UserError(f"{clip} has {count} frames, and truth.npz has {frames}.")
    return out


def toward(points: np.ndarray, hips: list[int]) -> np.ndarray:
    """Points (..., P, 3), camera frame, in the frame that is turned by the smallest rotation so that its z axis goes through the middle of the hips. NaN where the hips are unknown."""
    z = points[..., hips, :].mean(-2)
    z = z / np.linalg.norm(z, axis=-1, keepdims=True)
    x, y, c = z[..., 0], z[..., 1], z[..., 2]
    k = 1 / (1 + c)  # a person is before the camera: c > 0
    rows = [[1 - x * x * k, -x * y * k, -x], [-x * y * k, 1 - y * y * k, -y], [x, y, c]]
    turn = np.stack([np.stack(row, -1) for row in rows], -2)
    return np.einsum("...ab,...pb->...pa", turn, points)


def similarity_error(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """PA: distance (F, P), mm, of points (F, P, 3) from truth (F, P, 3), each frame aligned by a similarity transform.
    NaN where either is NaN, and in frames of fewer than FEWEST known joints.
    """
    known = np.isfinite(points).all(-1) & np.isfinite(truth).all(-1)
    known &= known.sum(1, keepdims=True) >= FEWEST
    w = known[..., None] / np.maximum(known.sum(1), 1)[:, None, None]
    p, t = np.where(known[..., None], points, 0.0), np.where(known[..., None], truth, 0.0)
    p, t = (np.where(known[..., None], a - (a * w).sum(1, keepdims=True), 0.0) for a in (p, t))
    U, S, Vt = np.linalg.svd(np.einsum("fpa,fpb->fab", p * w, t))
    sign = np.sign(np.linalg.det(U @ Vt))
    signs = np.stack([np.ones_like(sign), np.ones_like(sign), sign], -1)
    scale = (S * signs).sum(1) / np.maximum((p * p * w).sum((1, 2)), 1e-9)
    aligned = scale[:, None, None] * (p @ (U * signs[:, None]) @ Vt)
    return np.where(known, np.linalg.norm(aligned - t, axis=-1), np.nan)


def root_error(points: np.ndarray, truth: np.ndarray, hips: list[int]) -> np.ndarray:
    """Distance (F, P), mm, of points (F, P, 3) from truth (F, P, 3), each frame moved hips to hips and scaled, not
    turned. NaN where unknown.
    """
    p, t = (a - a[:, hips].mean(1, keepdims=True) for a in (points, truth))
    scale = np.nansum(p * t, (1, 2)) / np.maximum(np.nansum(np.where(np.isfinite(t), p * p, np.nan), (1, 2)), 1e-9)
    return np.linalg.norm(scale[:, None, None] * p - t, axis=-1)


def score(points: np.ndarray, truth: np.ndarray, landmarks: np.ndarray) -> Score:
    """points (F, 33, 3) mm, see `follow`; truth (F, P, 3) mm, camera frame, of the landmarks (P,)."""
    hips = [int(np.flatnonzero(landmarks == hip)[0]) for hip in HIPS]
    found, true = points[:, landmarks], toward(truth, hips)
    pa = similarity_error(found, truth)
    other = similarity_error(found[:, counterparts(landmarks)], truth)
    both = np.isfinite(pa) & np.isfinite(other)
    mine, theirs = (np.where(both, e, 0).sum(1) for e in (pa, other))
    tracked = np.isfinite(found).all((1, 2))
    return Score(
        int(tracked.sum()),
        len(points),
        mean_known(pa),
        mean_known(root_error(found, true, hips)),
        np.array([mean_known(e) for e in pa.T]),
        int((theirs < mine).sum()),
        int(both.any(1).sum()),
        jitter(found, hips),
    )


def mean_known(errors: np.ndarray) -> float:
    """The mean of what is a number; NaN where nothing is."""
    known = errors[np.isfinite(errors)]
    return float(known.mean()) if known.size else float("nan")


def jitter(points: np.ndarray, hips: list[int]) -> float:
    """Mean length of the second difference of points (F, P, 3) about the middle of the hips, over stretches of three
    frames and more without a gap; NaN where there is none.
    """
    centred = points - points[:, hips].mean(1, keepdims=True)
    return mean_known(np.linalg.norm(centred[2:] - 2 * centred[1:-1] + centred[:-2], axis=-1))


def measure(
    views: Views, finder: PersonFinder, trackers: Mapping[str, Tracker], progress: Callable[[], None] = lambda: None
) -> dict[str, list[Score]]:
    """By method, a Score for each view. progress: called after each frame."""
    scores: dict[str, list[Score]] = {}
    for clip, truth, K in zip(views.clips, views.joints, views.intrinsics, strict=True):
        camera = Camera(float(K[0, 0]), K[:2, 2])
        for name, points in follow(clip, len(truth), finder, trackers, camera, progress).items():
            scores.setdefault(name, []).append(score(points, truth, views.landmarks))
    return scores


def tables(views: Views, scores: Mapping[str, list[Score]]) -> dict[str, tuple[tuple[str, ...], list[tuple]]]:
    """{"views", "views_joints": (header, rows)}: PA by view, root-aligned error, frames exchanged, jitter; PA by joint.
    Means are over the views.
    """
    header = (
        "told",
        *(f"view {v + 1}" for v in range(len(views.clips))),
        "PA, mm",
        "root-aligned, mm",
        "left and right exchanged",
        "jitter, mm/frame²",
        "tracked",
    )
    whole, parts = [], []
    for name, each in scores.items():
        counts = (
            f"{sum(s.exchanged for s in each)}/{sum(s.judged for s in each)}",
            f"{sum(s.tracked for s in each)}/{sum(s.frames for s in each)}",
        )
        pa, root, steady = (np.array([getattr(s, key) for s in each]) for key in ("pa", "root", "jitter"))
        whole.append(
            (name, *map(float, pa), float(pa.mean()), float(root.mean()), counts[0], float(steady.mean()), counts[1])
        )
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
    evidence: Sequence[str] = EVIDENCE,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, tuple[tuple[str, ...], list[tuple]]]:
    """`tables` of the preset's network, told each of `evidence`, on a folder of views. UserError where that is none."""
    views, first = open_views(folder), Tracker.load(preset, weights=weights)
    told = evidence if first.runtime.network.preset.landmarks else ("picture",)
    return tables(
        views, measure(views, finder, {e: Tracker(first.runtime, first.body, evidence=e) for e in told}, progress)
    )
