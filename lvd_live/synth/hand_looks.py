"""What MediaPipe's hand network answers on rendered hands, beside the truth: samples for the hand lifter.

Synthetic people with posed fingers are drawn hand by hand, as large as pictures show them; the network looks twice, as
it does in a film: first about where the hand is, then where its own landmarks say. Kept are answers of the kind that the
program uses (`person.hands`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from lvd_live.body.fingers import BODY_JOINTS, WRISTS, FlatBody, blend, chained, finger_transforms
from lvd_live.body.hand_anatomy import Angles, HandAnatomy
from lvd_live.body.hand_pose import sample_poses
from lvd_live.body.hand_rig import SIDES, palm_frame
from lvd_live.body.model import axis_angle_to_matrix
from lvd_live.body.skeleton import JOINT, rotation_between
from lvd_live.person.hands import HAND_LENGTH, HandFinder, region_of
from lvd_live.person.roi import Roi
from lvd_live.person.types import Hand
from lvd_live.synth.backdrop import as_by_a_camera, random_backdrop
from lvd_live.synth.base_mesh import BaseMesh
from lvd_live.synth.composition import over
from lvd_live.synth.dressed import dress_person
from lvd_live.synth.fingered import Fingering, random_fingers
from lvd_live.synth.lighting import sample_light
from lvd_live.synth.outfit_sampling import sample_outfit
from lvd_live.synth.people import People, View
from lvd_live.synth.shot import Shot
from lvd_live.synth.skins import Skins
from lvd_live.synth.surroundings import Surroundings
from lvd_live.synth.wardrobe import Wardrobe

TILE = 256  # pixels along a picture's side
SHORTEST, LONGEST = 28.0, 110.0  # pixels, lengths of the hands
VIEWS = 8  # of each person, both hands in each
KINDS, SHARES = ("closed", "grasp", "idle"), (0.45, 0.35, 0.2)  # how fingers are posed, and how often
WRIST = 0.3  # radians, standard deviation by which wrists turn beside the pose
PLACES, SKINS, CAMERAS = 0.5, 0.6, 0.5  # shares: before panoramas, with a photographed skin, as by a camera
_FLIP = np.array([1, -1, -1.0])  # the renderer's camera frame (y up, z toward the viewer) to OpenCV's


class HandLooks:
    """Makes samples: see `make`."""

    def __init__(self, models: Path, *, seed: int = 0, held_out: bool = False):
        """Load the baked material and open a renderer. Raises UserError if there is no OpenGL.

        models : the folder with the baked material. held_out : people that training never gets.
        """
        from lvd_live.synth.render import Renderer  # here, because it needs OpenGL

        self.rng = np.random.default_rng((seed, held_out))
        self.people = People(models, held_out=held_out, plain=False)
        self.wardrobe = Wardrobe.load(models / "synth" / "wardrobe.npz")
        with np.load(models / "synth" / "base.npz", allow_pickle=False) as arrays:
            self.fingering = Fingering(self.people.body, BaseMesh.from_arrays(arrays))
        self.skins = Skins.load(models / "synth" / "skins.npz")
        self.surroundings = Surroundings.load(models / "synth" / "surroundings.npz")
        self.renderer = Renderer(TILE, batch=2 * VIEWS, textures=self.wardrobe.textures, skins=self.skins.textures)
        self.finder = HandFinder(models / "hands", providers="cpu", both=True)
        points = self.fingering.rig.points()
        self._used = np.flatnonzero(points.any(0))
        self._points = points[:, self._used]
        template = self.people.body.J_regressor.numpy() @ self.people.body.v_template.numpy()
        self._template = _bones_length(template)

    def make(self) -> Iterator[dict[str, np.ndarray]]:
        """The samples of one person, float32: hands as the network sees them, right hands or left ones mirrored.

        landmarks (21, 3), world (21, 3), presence, right_side, length : as of `person.types.Hand`, the length by the
        true distance. truth (21, 3) : where the points are, pixels, x and y as on the optical axis and without
        perspective, z away from the camera, from the wrist. forearm (3,) : its direction in the same axes.
        """
        rng, body, rig = self.rng, self.people.body, self.fingering.rig
        betas = self.people.shape(rng)
        rest = self.fingering.rest(betas)
        T_flat, joints = rig.flattening(rest)
        flat = rig.flattened(rest)
        fingers = self._fingers(flat)
        skins = self.skins if rng.random() < SKINS else None
        outfit = sample_outfit(self.wardrobe, rng, skins=skins)
        person = dress_person(self.fingering.base_of(betas, rest, fingers), betas, outfit, 0.002, skins)
        own = blend(rig.weights[self._used], T_flat, rest[self._used])
        bones_at_rest = (body.J_regressor @ torch.from_numpy(rest).float())[None]
        size = _bones_length(bones_at_rest[0].numpy()) / self._template
        shots, truths, behind = [], [], []
        with self.renderer.upload(person) as identity:
            for view in self.people.views(betas, rng, VIEWS):
                pose = view.pose.copy()
                pose[22:] = 0
                pose[20:22] += rng.normal(0, WRIST, (2, 3)).astype(np.float32)
                rotations = axis_angle_to_matrix(torch.from_numpy(pose)[None])
                bones = body.transforms(rotations, bones_at_rest)[0].numpy().astype(float)
                bones[:, :, 3] -= joints[0]
                in_camera = view.R @ bones
                in_camera[..., 3] += view.t
                local = np.concatenate([rotations[0, :BODY_JOINTS].numpy().astype(float), fingers])
                T = finger_transforms(chained(local), joints)
                arms = np.einsum("jab,jb->ja", T[..., :3], joints) + T[..., 3]
                points, arms = (
                    ((p - joints[0]) @ view.R.T + view.t) * _FLIP
                    for p in (self._points @ blend(rig.weights[self._used], T, own), arms)
                )
                place = self.surroundings.place(rng) if rng.random() < PLACES else None
                light = place.light(view.R, rng) if place else sample_light(rng)
                for side in (0, 1):
                    hand, elbow = points[21 * side : 21 * side + 21], arms[JOINT[f"{SIDES[side]}_elbow"]]
                    if hand[:, 2].min() < 0.2:
                        continue
                    pixels = math.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST)))
                    focal = pixels * hand[0, 2] / (HAND_LENGTH * size) / (TILE / 2)  # crop units
                    middle = hand[9] + 0.15 * rng.normal(0, 0.19, 3) * [1, 1, 0]
                    offset = -focal * middle[:2] / middle[2] * [1, -1]
                    shots.append(Shot(identity, in_camera, focal, (offset[0], offset[1]), light))
                    truths.append((side, hand, elbow, focal * TILE / 2, offset, pixels))
                    behind.append(place.backdrop(TILE, view.R, focal, offset, rng) if place else random_backdrop(TILE, rng))
            pictures = self.renderer.render(shots)
        for rgba, truth, backdrop in zip(pictures, truths, behind, strict=True):
            picture, _ = over(backdrop, rgba)
            if rng.random() < CAMERAS:
                picture = as_by_a_camera(picture, rng)
            yield from self._looks(picture, truth)

    def _looks(self, picture, truth) -> Iterator[dict[str, np.ndarray]]:
        side, points, elbow, focal, offset, pixels = truth
        principal = np.array([offset[0] + 1, 1 - offset[1]]) * TILE / 2 - 0.5
        for mirrored in (False, True):
            if mirrored:
                picture, side = np.ascontiguousarray(picture[:, ::-1]), 1 - side
                points, elbow, principal = points * [-1, 1, 1], elbow * [-1, 1, 1], [TILE - 1 - principal[0], principal[1]]
            ray = rotation_between(np.array([0.0, 0.0, 1.0]), points[0])
            placed = (points - points[0]) @ ray * (focal / points[0, 2])
            placed[:, :2] += points[0, :2] / points[0, 2] * focal + principal
            forearm = (points[0] - elbow) @ ray
            forearm /= np.linalg.norm(forearm)
            drawn = points[:, :2] / points[:, 2:] * focal + principal
            landmarks, much = drawn, 1.0
            for _ in range(2):
                roi = _shaken(region_of(landmarks), self.rng, much)
                hand = self._seen(picture, roi, side, pixels)
                if hand is None:
                    break
                yield {
                    "landmarks": hand.landmarks.astype(np.float32),
                    "world": hand.world.astype(np.float32),
                    "about": np.array([hand.presence, hand.right_side, hand.length, side, roi.size], np.float32),
                    "truth": placed.astype(np.float32),
                    "drawn": drawn.astype(np.float32),
                    "forearm": forearm.astype(np.float32),
                }
                landmarks, much = hand.landmarks[:, :2], 0.4

    def _seen(self, picture: np.ndarray, roi: Roi, side: int, length: float) -> Hand | None:
        from lvd_live.person import affine
        from lvd_live.person.hands import _SEEN, _DEPTH, MIN_PRESENCE, SURE_OF_SIDE, _turned

        raw = self.finder.look(affine.resample(picture, roi.T_grid_from_picture(_SEEN), _SEEN))
        right = raw.right if side else 1 - raw.right
        if raw.presence < MIN_PRESENCE or right < 0.1:
            return None
        points = raw.points.copy()
        points[:, :2] = affine.apply(roi.T_picture_from_grid(_SEEN), points[:, :2] - 0.5)
        points[:, 2] *= roi.size / _SEEN / _DEPTH
        return Hand(points, _turned(raw.world, roi.rotation), raw.presence, right, length, points[0, :2])

    def _fingers(self, flat: FlatBody) -> np.ndarray:
        """Finger rotations (30, 3, 3) of one of KINDS, for each hand."""
        rng = self.rng
        closed, out = random_fingers(flat, rng), []
        for side in (0, 1):
            kind = rng.choice(KINDS, p=SHARES)
            anatomy = HandAnatomy.of(flat, side)
            if kind == "closed":
                out.append(closed[15 * side : 15 * side + 15])
            elif kind == "idle":
                idle = anatomy.neutral().packed()
                spread = np.concatenate([np.full(12, 0.2), np.full(4, 0.08), np.full(5, 0.15)])
                idle = idle + rng.normal(0, 0.15) * np.r_[np.ones(12), np.zeros(9)] + spread * rng.normal(0, 1, 21)
                out.append(anatomy.rotations(Angles.unpacked(idle).limited()))
            else:
                first = BODY_JOINTS + 15 * side
                own = np.concatenate([flat.joints[[WRISTS[side]]], flat.joints[first : first + 15]])
                P = palm_frame(own, SIDES[side])
                pose = sample_poses(rng, (own - own[0]) @ P.T, 1)[0] @ P
                out.append(Rotation.from_rotvec(pose).as_matrix())
        return np.concatenate(out)


def _shaken(roi: Roi, rng: np.random.Generator, much: float) -> Roi:
    """A region that lies not quite where it should."""
    shift = 0.08 * much * roi.size * rng.normal(0, 1, 2)
    size = roi.size * math.exp(0.12 * much * rng.normal())
    turn = math.remainder(roi.rotation + 0.25 * much * rng.normal(), math.tau)
    return replace(roi, centre_x=roi.centre_x + shift[0], centre_y=roi.centre_y + shift[1], size=size, rotation=turn)


def _bones_length(joints: np.ndarray) -> float:
    from lvd_live.tracking.camera import skeleton_length

    return float(skeleton_length(joints))
