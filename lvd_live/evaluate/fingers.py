"""Hands of held-out synthetic people whose fingers are posed: seen, fitted, and measured against the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from lvd_live.body.fingers import BODY_JOINTS, FingerRig, blend, chained, finger_transforms
from lvd_live.body.model import axis_angle_to_matrix
from lvd_live.evaluate.alignment import similarity_error
from lvd_live.lift.finder import make_finder
from lvd_live.person import Crop
from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame
from lvd_live.synth.backdrop import random_backdrop
from lvd_live.synth.base_mesh import BaseMesh
from lvd_live.synth.dressed import dress_person
from lvd_live.synth.fingered import Fingering, random_fingers
from lvd_live.synth.lighting import sample_light
from lvd_live.synth.outfit_sampling import sample_outfit
from lvd_live.synth.people import People, View, to_camera_frame
from lvd_live.synth.shot import Shot
from lvd_live.synth.wardrobe import Wardrobe
from lvd_live.tracking.camera import skeleton_length
from lvd_live.tracking.hand_fit import HandsFit
from lvd_live.tracking.tracker import Tracker

SIZE = 640  # pixels along a picture's side
LARGE = 48.0  # pixels: hands that are judged for their fingers
_FLIP = np.array([1, -1, -1.0])  # the renderer's camera frame (y up, z toward the viewer) to OpenCV's


@dataclass(frozen=True)
class Sample:
    """One person. picture : (S, S, 3) uint8 RGB. truth : (N, 3) mm, OpenCV camera frame. intrinsics : (3, 3).

    depth : metres, the pelvis's. view : the camera's.
    """

    picture: np.ndarray
    truth: np.ndarray
    intrinsics: np.ndarray
    view: View


class PosedHands:
    """Makes the samples."""

    def __init__(self, models: Path, seed: int = 0):
        from lvd_live.synth.render import Renderer  # here, because it needs OpenGL

        self.people = People(models, held_out=True)
        self.wardrobe = Wardrobe.load(models / "synth" / "wardrobe.npz")
        with np.load(models / "synth" / "base.npz", allow_pickle=False) as arrays:
            self.fingering = Fingering(self.people.body, BaseMesh.from_arrays(arrays))
        self.rig = self.fingering.rig
        self.renderer = Renderer(SIZE, batch=1, textures=self.wardrobe.textures)
        self.rng = np.random.default_rng(seed)

    def samples(self, count: int) -> Iterator[Sample]:
        """`count` people."""
        for _ in range(count):
            yield self._sample()

    def _sample(self) -> Sample:
        rng, body = self.rng, self.people.body
        betas = self.people.shape(rng)
        view = self.people.views(betas, rng, 1)[0]
        pose = view.pose.copy()
        pose[22:] = 0
        pose[20:22] += rng.normal(0, 0.3, (2, 3)).astype(np.float32)
        rest = self.fingering.rest(betas)
        T_flat, joints = self.rig.flattening(rest)
        local = np.tile(np.eye(3), (52, 1, 1))
        local[BODY_JOINTS:] = random_fingers(self.rig.flattened(rest), rng)
        base = self.fingering.base_of(betas, rest, local[BODY_JOINTS:])
        person = dress_person(base, betas, sample_outfit(self.wardrobe, rng), detail=0.002)
        at = torch.from_numpy(rest).float()[None]
        rotations = axis_angle_to_matrix(torch.from_numpy(pose)[None])
        bones = body.transforms(rotations, (body.J_regressor @ at))[0].numpy().astype(float)
        bones[:, :, 3] -= joints[0]
        in_camera = view.R @ bones
        in_camera[..., 3] += view.t
        with self.renderer.upload(person) as identity:
            shot = Shot(identity, in_camera, view.focal, (view.offset[0], view.offset[1]), sample_light(rng))
            rgba = self.renderer.render([shot])[0]
        local[:BODY_JOINTS] = rotations[0, :BODY_JOINTS].numpy()
        flat = blend(self.rig.weights, T_flat, rest)
        truth = blend(self.rig.weights, finger_transforms(chained(local), joints), flat) - joints[0]
        truth = (truth @ view.R.T + view.t) * _FLIP
        backdrop = random_backdrop(SIZE, rng).astype(np.uint16)
        behind = backdrop * (255 - rgba[..., 3:].astype(np.uint16)) // 255
        picture = (rgba[..., :3] + behind).clip(0, 255).astype(np.uint8)
        focal, half = view.focal * SIZE / 2, SIZE / 2
        K = np.array(
            [
                [focal, 0, (view.offset[0] + 1) * half - 0.5],
                [0, focal, (1 - view.offset[1]) * half - 0.5],
                [0, 0, 1.0],
            ]
        )
        return Sample(picture, truth * 1000, K, view)


def true_metres(crop_vertices: np.ndarray, crop: Crop, sample: Sample) -> np.ndarray:
    """A mesh (N, 3) of a crop's frame in the sample's camera frame, metres, at the true distance."""
    half = SIZE / 2
    centre = ((crop.centre + 0.5) / half - 1) * [1, -1]
    scale = crop.half / half
    whole = crop_vertices * scale + np.array([*centre, 0.0])
    view = sample.view
    return to_camera_frame(whole, view.focal, view.offset, -float(view.t[2])) * _FLIP


@dataclass(frozen=True)
class HandRow:
    """One hand.

    length : pixels. seen : by the finder. v2v, before : mm, the hand's vertices with and without the fit, the pelves
    together. joints, tips : mm, 21 points and 5 fingertips after a similarity alignment of the 21; joints_before,
    tips_before : those of the hand as descended.
    """

    length: float
    seen: bool
    v2v: float
    before: float
    joints: float
    tips: float
    joints_before: float
    tips_before: float


def measure_fingers(models: Path, count: int, tracker: Tracker, seed: int = 0) -> list[HandRow]:
    """Rows of the hands of `count` people in whom the finder found somebody."""
    made = PosedHands(models, seed)
    finder = make_finder(quality="live", hands=True)
    rows: list[HandRow] = []
    for index, sample in enumerate(made.samples(count)):
        finder.reset()
        person = finder.find(sample.picture)
        if person is not None:
            person = finder.find(sample.picture) or person  # both hands, in turns
            rows += _rows(made.rig, sample, replace(person, is_new=True), tracker, index)
    return rows


def _rows(rig: FingerRig, sample: Sample, person: Person, tracker: Tracker, index: int) -> list[HandRow]:
    fit = tracker.start(Frame(sample.picture, index, index), replace(person, is_new=False, hands=None))
    if fit is None or person.hands is None:
        return []
    body = tracker.body
    before = true_metres(fit.crop_vertices, fit.crop, sample)
    regressor = body.J_regressor.numpy()
    size = skeleton_length(regressor @ before) / skeleton_length(regressor @ body.v_template.numpy())
    hands = HandsFit(rig, body)(
        before.astype(np.float32), np.zeros(len(before), np.float32), person, sample.intrinsics, size, 0
    )
    assert hands is not None
    points, pelvis = rig.points(), regressor[0]
    meshes = [1000 * before, 1000 * hands.vertices.astype(float)]
    moved = [m + pelvis @ (sample.truth - m) for m in meshes]
    out = []
    for side, hand in enumerate(person.hands):
        own = rig.weights[:, [20 + side, *range(22 + 15 * side, 37 + 15 * side)]].sum(1) > 0.5
        v2v = [float(np.linalg.norm((m - sample.truth)[own], axis=1).mean()) for m in moved]
        p = points[21 * side : 21 * side + 21]
        error = similarity_error(np.stack([p @ m for m in meshes]), np.stack([p @ sample.truth] * 2))
        pa, tips = error.mean(1), error[:, 4::4].mean(1)
        length = 0.19 * sample.intrinsics[0, 0] / (sample.truth[own, 2].mean() / 1000)
        numbers = (v2v[1], v2v[0], float(pa[1]), float(tips[1]), float(pa[0]), float(tips[0]))
        out.append(HandRow(float(length), hand is not None, *numbers))
    return out


def table(rows: list[HandRow]) -> list[str]:
    """The figures as lines of Markdown."""
    groups = {
        "all": rows,
        "seen": [r for r in rows if r.seen],
        f"seen, from {LARGE:.0f} px": [r for r in rows if r.seen and r.length >= LARGE],
        "not seen": [r for r in rows if not r.seen],
    }
    lines = [
        "| hands | number | V2V mm (as descended) | 21 points PA mm (as descended) | fingertips PA mm (as descended) |",
        "|---|---|---|---|---|",
    ]
    for name, some in groups.items():
        if some:
            v, b, j, t, jb, tb = (
                np.mean([getattr(r, f) for r in some])
                for f in ("v2v", "before", "joints", "tips", "joints_before", "tips_before")
            )
            lines.append(f"| {name} | {len(some)} | {v:.0f} ({b:.0f}) | {j:.1f} ({jb:.1f}) | {t:.1f} ({tb:.1f}) |")
    return lines
