"""What MediaPipe's hand network answers on rendered hands, beside the truth: samples for the hand lifter.

Synthetic people with posed fingers are drawn hand by hand, as large as pictures show them; the network looks twice, as
it does in a film: first about where the hand is, then where its own landmarks say. Kept are answers of the kind that
the program uses (`person.hands`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from lvd_live.synth.backdrop import as_by_a_camera, random_backdrop
from lvd_live.synth.base_mesh import BaseMesh
from lvd_live.synth.composition import over
from lvd_live.synth.dressed import dress_person
from lvd_live.synth.fingered import Fingering, random_fingers
from lvd_live.synth.lighting import sample_light
from lvd_live.synth.outfit_sampling import sample_outfit
from lvd_live.synth.people import People, View
from lvd_live.synth.shot import Identity, Shot
from lvd_live.synth.skins import Skins
from lvd_live.synth.surroundings import Surroundings
from lvd_live.synth.wardrobe import Wardrobe
from lvd_live.tracking.camera import skeleton_length

log = logging.getLogger(__name__)

TILE = 256  # pixels along a picture's side
SHORTEST, LONGEST = 28.0, 110.0  # pixels, lengths of the hands
VIEWS = 8  # of each person, both hands in each
KINDS, SHARES = ("closed", "grasp", "idle"), (0.45, 0.35, 0.2)  # how fingers are posed, and how often
WRIST = 0.3  # radians, standard deviation by which wrists turn beside the pose
PLACES, SKINS, CAMERAS = 0.5, 0.6, 0.5  # shares: before panoramas, with a photographed skin, as by a camera
NEAREST = 0.2  # metres: hands are not nearer to the camera
DETAIL = 0.002  # see `dress_person`
OFF = 0.03  # metres, standard deviation of where a picture is aimed, beside the middle finger's knuckle
FOLLOWED = 0.4  # of the first look's deviation, the second one's
_FLIP = np.array([1, -1, -1.0])  # the renderer's camera frame (y up, z toward the viewer) to OpenCV's


@dataclass(frozen=True)
class _Person:
    """Somebody at rest; metres.

    fingers : (30, 3, 3) rotations. joints : (52, 3), flat : (U, 3), the vertices that the hands' points are mixes of,
    with flat hands. bones : (1, 24, 3), SMPL's joints. size : beside the body's template.
    """

    fingers: np.ndarray
    joints: np.ndarray
    flat: np.ndarray
    bones: torch.Tensor
    size: float


@dataclass(frozen=True)
class _Scene:
    """One hand in a picture. points (21, 3), elbow (3,) : metres, OpenCV camera frame. focal : pixels. principal : (2,)
    pixels. length : of the hand, pixels. side : 0 left, 1 right."""

    points: np.ndarray
    elbow: np.ndarray
    focal: float
    principal: np.ndarray
    length: float
    side: int

    def mirrored(self) -> _Scene:
        """What the mirrored picture shows."""
        mirror = np.array([-1.0, 1, 1])
        principal = np.array([TILE - 1 - self.principal[0], self.principal[1]])
        return _Scene(self.points * mirror, self.elbow * mirror, self.focal, principal, self.length, 1 - self.side)

    def drawn(self) -> np.ndarray:
        """Where the picture shows the points, (21, 2) pixels."""
        return self.points[:, :2] / self.points[:, 2:] * self.focal + self.principal

    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        """The `truth` and `forearm` of `HandLooks.draw`."""
        ray = rotation_between(np.array([0.0, 0.0, 1.0]), self.points[0])
        placed = (self.points - self.points[0]) @ ray * (self.focal / self.points[0, 2])
        placed[:, :2] += self.drawn()[0]
        forearm = (self.points[0] - self.elbow) @ ray
        return placed, forearm / np.linalg.norm(forearm)


class HandLooks:
    """Makes samples."""

    def __init__(self, models: Path, *, seed: int = 0):
        """Load the baked material and open a renderer. Raises UserError if there is no OpenGL.

        models : the folder with the baked material, of whose people those are drawn that are not held out.
        """
        from lvd_live.synth.render import Renderer  # here, because it needs OpenGL

        self.rng = np.random.default_rng(seed)
        self.people = People(models)
        self.wardrobe = Wardrobe.load(models / "synth" / "wardrobe.npz")
        with np.load(models / "synth" / "base.npz", allow_pickle=False) as arrays:
            self.fingering = Fingering(self.people.body, BaseMesh.from_arrays(arrays))
        self.skins = Skins.load(models / "synth" / "skins.npz")
        self.surroundings = Surroundings.load(models / "synth" / "surroundings.npz")
        self.renderer = Renderer(TILE, batch=2 * VIEWS, textures=self.wardrobe.textures, skins=self.skins.textures)
        self.finder = HandFinder(models / "hands", providers="cpu")
        points = self.fingering.rig.points()
        self._used = np.flatnonzero(points.any(0))  # the vertices that a hand's points are mixes of
        self._points = points[:, self._used]
        body = self.people.body
        self._height = skeleton_length((body.J_regressor @ body.v_template).numpy())

    def draw(self) -> Iterator[dict[str, np.ndarray]]:
        """The samples of one person: arrays, float32.

        landmarks (21, 3), world (21, 3), presence, right_side, length : as of `person.types.Hand`; the length is the
        true one. side : 0 left, 1 right. drawn (21, 2) : where the picture shows the points, pixels. truth (21, 3) :
        where they are, pixels, x and y as on the optical axis and without perspective, z away from the camera, from the
        wrist. forearm (3,) : its direction in the same axes.
        """
        rng, body, rig = self.rng, self.people.body, self.fingering.rig
        betas = self.people.shape(rng)
        rest = self.fingering.rest(betas)
        T_flat, joints = rig.flattening(rest)
        fingers = self._fingers(rig.flattened(rest))
        skins = self.skins if rng.random() < SKINS else None
        outfit = sample_outfit(self.wardrobe, rng, skins=skins)
        person = dress_person(self.fingering.base_of(betas, rest, fingers), betas, outfit, DETAIL, skins)
        flat = blend(rig.weights[self._used], T_flat, rest[self._used])
        bones_at_rest = (body.J_regressor @ torch.from_numpy(rest).float())[None]
        own = _Person(fingers, joints, flat, bones_at_rest, skeleton_length(bones_at_rest[0].numpy()) / self._height)
        with self.renderer.upload(person) as identity:
            drawn = [hand for view in self.people.views(betas, rng, VIEWS) for hand in self._hands(identity, own, view)]
            pictures = self.renderer.render([shot for shot, _, _ in drawn])
        for rgba, (_, scene, backdrop) in zip(pictures, drawn, strict=True):
            picture, _ = over(backdrop, rgba)
            if rng.random() < CAMERAS:
                picture = as_by_a_camera(picture, rng)
            yield from self._looks(picture, scene)
            yield from self._looks(np.ascontiguousarray(picture[:, ::-1]), scene.mirrored())

    def _hands(self, identity: Identity, own: _Person, view: View) -> Iterator[tuple[Shot, _Scene, np.ndarray]]:
        """A view's hands: how to draw each, what is seen then, and what is behind, (TILE, TILE, 3) uint8 RGB."""
        rng, body, rig = self.rng, self.people.body, self.fingering.rig
        pose = view.pose.copy()
        pose[22:] = 0
        pose[20:22] += rng.normal(0, WRIST, (2, 3)).astype(np.float32)
        rotations = axis_angle_to_matrix(torch.from_numpy(pose)[None])
        bones = body.transforms(rotations, own.bones)[0].numpy().astype(float)
        bones[:, :, 3] -= own.joints[0]
        in_camera = view.R @ bones
        in_camera[..., 3] += view.t
        local = np.concatenate([rotations[0, :BODY_JOINTS].numpy().astype(float), own.fingers])
        T = finger_transforms(chained(local), own.joints)
        posed = np.einsum("jab,jb->ja", T[..., :3], own.joints) + T[..., 3]
        points = self._points @ blend(rig.weights[self._used], T, own.flat)
        points, posed = (((p - own.joints[0]) @ view.R.T + view.t) * _FLIP for p in (points, posed))
        place = self.surroundings.place(rng) if rng.random() < PLACES else None
        light = place.light(view.R, rng) if place else sample_light(rng)
        for side in (0, 1):
            hand, elbow = points[21 * side : 21 * side + 21], posed[JOINT[f"{SIDES[side]}_elbow"]]
            if hand[:, 2].min() < NEAREST:
                continue
            length = math.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST)))
            focal = length * hand[0, 2] / (HAND_LENGTH * own.size)  # pixels
            unit = focal / (TILE / 2)
            aim = hand[9] + np.array([*rng.normal(0, OFF, 2), 0])
            offset = -unit * aim[:2] / aim[2] * [1, -1]
            principal = np.array([offset[0] + 1, 1 - offset[1]]) * TILE / 2 - 0.5
            behind = place.backdrop(TILE, view.R, unit, offset, rng) if place else random_backdrop(TILE, rng)
            shot = Shot(identity, in_camera, unit, (offset[0], offset[1]), light)
            yield shot, _Scene(hand, elbow, focal, principal, length, side), behind

    def _looks(self, picture: np.ndarray, scene: _Scene) -> Iterator[dict[str, np.ndarray]]:
        """What the network answers at two looks, the second where the first one found the hand."""
        truth, forearm = scene.truth()
        told, much = scene.drawn(), 1.0
        for _ in range(2):
            roi = _shaken(region_of(told), self.rng, much)
            hand = self.finder.hand_in(picture, roi, scene.side, scene.length, told[0])
            if hand is None:
                return
            arrays = {
                "landmarks": hand.landmarks,
                "world": hand.world,
                "presence": hand.presence,
                "right_side": hand.right_side,
                "length": hand.length,
                "side": scene.side,
                "drawn": scene.drawn(),
                "truth": truth,
                "forearm": forearm,
            }
            yield {name: np.asarray(value, np.float32) for name, value in arrays.items()}
            told, much = hand.landmarks[:, :2], FOLLOWED

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


def make_hand_looks(models: Path, people: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """The samples of so many people one below the other, see `HandLooks.draw`, and `person` (S,), whose they are."""
    looks, rows = HandLooks(models, seed=seed), []
    for index in range(people):
        rows += [row | {"person": np.asarray(index)} for row in looks.draw()]
        if index % 20 == 19:
            log.info("%d of %d people, %d looks at their hands", index + 1, people, len(rows))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
