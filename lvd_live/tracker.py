"""The tracker: a frame and the person in it become a mesh; the last mesh is where the next one starts."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lvd_live.body.correspondence import Correspondence
from lvd_live.body.model import BodyModel
from lvd_live.doubt import agreement, is_doubtful, raised
from lvd_live.lvd.descent import Descent
from lvd_live.lvd.evidence import landmarks_in_crop, pack, region_in_crop
from lvd_live.lvd.field import Folded
from lvd_live.lvd.runtime import Runtime
from lvd_live.lvd.uncertainty import perturbations
from lvd_live.lvd.weights import load_network
from lvd_live.outline import Outline, drawn_in_crop
from lvd_live.paths import MODELS
from lvd_live.person.crop import Crop, choose_crop
from lvd_live.person.types import Person
from lvd_live.placement import DEFAULT_FOV, Camera, between_crops, carried_along, skeleton_length, to_metres
from lvd_live.sources import Frame
from lvd_live.together import Together

log = logging.getLogger(__name__)

COLD_ITERATIONS, WARM_ITERATIONS = 8, 4  # at most
TOLERANCE = 0.007  # half crops: a mean step below it is the last (under 1 cm on a person that fills the crop)
RENEWED = 8  # a warm frame asks every eighth vertex for its uncertainty, in turns: all of them in eight frames
LOST = 0.12  # half crops: a fit whose last mean step is longer has not found its person


@dataclass(frozen=True)
class Fit:
    """A body mesh on one frame.

    vertices (N, 3) float32 metres, OpenCV camera frame (x right, y down, z forward); vertex_std (N,) float32 metres, U(v) of Eq. 3 (zeros: not estimated). intrinsics (3, 3) float64: what projects
    the vertices into the picture. iterations, step: how many, and the mean displacement of the last, half crops. cold: started from a point, not from the last mesh.
    crop, crop_vertices (N, 3) float32: the same mesh in the crop frame. milliseconds: time by stage. steps: the mean displacement of each iteration.
    doubtful: not to be believed, see `doubt`; vertex_std is raised then.
    """

    vertices: np.ndarray
    vertex_std: np.ndarray
    intrinsics: np.ndarray
    iterations: int
    step: float
    cold: bool
    crop: Crop
    crop_vertices: np.ndarray
    milliseconds: Mapping[str, float]
    steps: tuple[float, ...] = ()
    doubtful: bool = False


class Tracker:
    """Fits the body to frame after frame.

    `start` begins anew on a frame, `step` goes on from the last one (and begins anew by itself where there is none, the person is new, or the fit runs away), `reset` forgets.
    fov_degrees: the camera's field of view across the picture's longer side. height: the person's, metres; the default body's if None (a picture alone does not tell it).
    iterations: a fixed number a frame, or None: as many as it takes. warm: start from the last mesh. evidence: what the network is told of the finder's opinion, one of
    `network.EVIDENCE`. uncertainty: perturbations per vertex, 0: not estimated. A cold frame estimates it for all vertices, a warm one for every eighth, in turns. All may be set
    between frames. outline: limbs are brought onto the mask's outline (see `outline.Outline`). carry: what takes the mesh to another body's topology, and that body.
    """

    together: Together | None = None  # fits warm frames with those of other trackers that share this one's runtime, all with its number of iterations

    def __init__(
        self, runtime: Runtime, body: BodyModel, *, fov_degrees: float = DEFAULT_FOV, height: float | None = None, evidence: str = "all", iterations: int | None = None, warm: bool = True,
        uncertainty: int = 0, weights: Mapping[str, str] | None = None, calibration: Mapping[str, list[float]] | None = None, outline: bool = True, carry: tuple[Correspondence, BodyModel] | None = None,
    ):  # fmt: skip
        self.runtime, self.body = runtime, body
        self.fov_degrees, self.iterations, self.warm, self.uncertainty = fov_degrees, iterations, warm, uncertainty
        self.evidence = evidence if runtime.network.preset.landmarks else "picture"
        self.calibration = calibration
        self._carry, self.shown_body = (None, body) if carry is None else carry  # whose topology the fits have
        self.faces, self._faces = (b.faces.numpy().astype(np.int32) for b in (self.shown_body, body))
        template = body.v_template.numpy()
        self._regressor = body.J_regressor.numpy()
        self._stature, self._template_length = float(template[:, 1].max() - template[:, 1].min()), skeleton_length(self._regressor @ template)
        self.height = height
        self.outline, self._align = outline, Outline(body)
        self._weights = dict(weights or {})
        self._offsets: torch.Tensor | None = None
        self.reset()

    @classmethod
    def load(cls, preset: str = "live", *, body: Path | None = None, weights: Path | None = None, device: str = "auto", engine: str = "auto", **options) -> Tracker:
        """A tracker from the files in models/. `options`: see the class. A body of another topology (SMPL's) gets the mesh carried to it. UserError when a file is missing or does not fit."""
        path = weights or MODELS / "weights" / f"{preset}.safetensors"
        network, sha256, about = load_network(path)
        default = BodyModel.load(MODELS / "body" / "lvd_body.npz")
        model = default if body is None else BodyModel.load(body)
        carry = None
        if not torch.equal(model.faces, default.faces):  # the network moves the bundled body's vertices: they are carried to the other mesh
            carry, model = (Correspondence.between(default, model), model), default
        return cls(Runtime(network, device=device, engine=engine), model, weights={"file": path.name, "sha256": sha256}, calibration=about.get("calibration"), carry=carry, **options)

    def describe(self) -> dict:
        """What a file should remember of this tracker: JSON values."""
        return {
            "preset": self.runtime.network.preset.name, "weights": self._weights, "provider": self.runtime.provider, "fov_degrees": self.fov_degrees, "height": self.height,
            "evidence": self.evidence, "iterations": self.iterations or "auto", "warm_start": self.warm, "uncertainty": self.uncertainty, "outline": self.outline,
            "calibration": None if self.calibration is None else {name: list(self.calibration[name]) for name in ("std", "error")},
        }  # fmt: skip

    def reset(self) -> None:
        """Forget the last fit and crop."""
        self._crop: Crop | None = None
        self._vertices: torch.Tensor | None = None  # (1, K, 3), in the frame of self._crop
        self._landmarks: np.ndarray | None = None  # (1, 33, 4), in the same frame
        self._spread: torch.Tensor | None = None  # (1, K), half crops
        self._turn = 0
        self._align.reset()

    def start(self, frame: Frame, person: Person) -> Fit | None:
        """Fit from the crop's centre, whatever was before."""
        self.reset()
        return self.step(frame, person)

    def step(self, frame: Frame, person: Person, *, crop: Crop | None = None) -> Fit | None:
        """Fit, starting from the last mesh if there is one. crop: look there; by default where `choose_crop` says. None where the mesh does not settle."""
        clock = _Clock()
        if person.is_new:
            self.reset()
        crop = choose_crop(person, self._crop) if crop is None else crop
        size = self.runtime.size
        picture, mask = crop.warp(frame.picture, size), crop.warp_mask(person, size)
        landmarks, maps = self._told(person, crop)
        start = self._carried(crop, landmarks)
        clock.lap("crop")
        shared = None
        if self.together is not None and not any(x is None for x in (start, self._spread, landmarks, maps)):
            shared = self.together(start=start, picture=picture[None], mask=mask[None], landmarks=landmarks, maps=maps)
            clock.lap("together")
            shared = shared if shared.steps[-1] < LOST else None  # it then has to look for itself
        folded = None if shared else self.runtime.see(picture[None], mask[None], landmarks, maps)
        clock.lap("features")
        descent, wasted = Descent(shared.vertices, shared.steps) if shared else self._descend(folded, start), 0
        if start is not None and self.iterations is None and not descent.steps[-1] < LOST:
            log.info("frame %d: the fit ran away (step %.2f); starting anew", frame.index, descent.steps[-1])
            wasted = len(descent.steps)
            start, descent = None, self._descend(folded, None)
        clock.lap("descent")
        runs_away = self.iterations is None and not descent.steps[-1] < LOST
        if runs_away or not torch.isfinite(descent.vertices).all():
            log.info("frame %d: the mesh does not settle (step %.2f)", frame.index, descent.steps[-1])
            self.reset()
            return None
        self._crop, self._vertices, self._landmarks = crop, descent.vertices, landmarks
        if start is None:
            self._spread = None
            self._align.reset()
        if shared:
            self._spread[:, shared.targets] = shared.spread
        else:
            self._estimate_spread(folded, descent.vertices)
        clock.lap("uncertainty")
        known = descent.vertices if self._spread is None else torch.cat([descent.vertices, self._spread[..., None]], -1)
        dense = self.runtime.dense(known)[0]
        vertices = np.ascontiguousarray(dense[:, :3])
        (left, top), (right, bottom) = crop.to_unit([[-0.5, -0.5], [frame.picture.shape[1] - 0.5, frame.picture.shape[0] - 0.5]])
        if self.outline:
            vertices = self._align(vertices, mask, (left, bottom, right, top))
            overlap = self._align.overlap
            clock.lap("outline")
        else:
            overlap = agreement(drawn_in_crop(vertices, self._faces, size), mask > 127, (left, bottom), (right, top))
        doubtful = is_doubtful(person, overlap)
        camera = Camera.of_picture(frame.picture.shape[1], frame.picture.shape[0], self.fov_degrees)
        unit = to_metres(vertices, crop, camera)
        length = self._template_length * (1.0 if self.height is None else self.height / self._stature)
        distance = length / max(skeleton_length(self._regressor @ unit), 1e-6)
        metres = unit * np.float32(distance)
        std = np.zeros(len(metres), np.float32)
        if self._spread is not None:
            spread = dense[:, 3].clip(float(self._spread.min()), float(self._spread.max()))  # mixes reach beyond what they mix
            std = spread * np.float32(distance * crop.half / camera.focal)
        if self._carry is not None:
            metres, std = self._carry(metres), self._carry(std[:, None])[:, 0]
        std = raised(std, doubtful)
        clock.lap("placement")
        return Fit(metres, std, camera.intrinsics, wasted + len(descent.steps), descent.steps[-1], start is None, crop, vertices, clock.milliseconds, descent.steps, doubtful)

    def expected_error(self, vertex_std: np.ndarray) -> np.ndarray | None:
        """The error to expect, metres, where U(v) is `vertex_std` metres, same shape: the weights' calibration on held-out synthetic people. None where they have none."""
        if self.calibration is None:
            return None
        return np.interp(vertex_std, self.calibration["std"], self.calibration["error"]).astype(np.float32)

    def _told(self, person: Person, crop: Crop) -> tuple[np.ndarray | None, tuple[np.ndarray, ...] | None]:
        """The finder's opinion of the person, for `Runtime.see`: landmarks (1, 33, 4), feature maps."""
        landmarks = landmarks_in_crop(person.landmarks, person.world, crop)[None] if self.evidence == "all" else None
        if self.evidence == "picture" or person.features is None:
            return landmarks, None
        region = region_in_crop(person.T_mask_from_picture, len(person.mask), crop)
        return landmarks, tuple(m[None] for m in (*pack(person.features), region))

    def _estimate_spread(self, folded: Folded, vertices: torch.Tensor) -> None:
        if not self.uncertainty:
            self._spread = None
            return
        count = vertices.shape[1]
        if self._offsets is None or self._offsets.shape[:2] != (self.uncertainty, count):
            self._offsets = perturbations(self.uncertainty, count).to(vertices.device)
        if self._spread is None:
            self._spread, targets = vertices.new_zeros(1, count), torch.arange(count, device=vertices.device)
        else:
            targets = torch.arange(self._turn % RENEWED, count, RENEWED, device=vertices.device)
            self._turn += 1
        self._spread[:, targets] = self.runtime.uncertainty(folded, vertices, self._offsets, targets)

    def _carried(self, crop: Crop, landmarks: np.ndarray | None) -> torch.Tensor | None:
        """The last mesh in another crop, moved as the landmarks have moved since; None if there is none."""
        if self._vertices is None or self._crop is None or not self.warm:
            return None
        moved = between_crops(self._vertices.cpu().numpy(), self._crop, crop)
        if landmarks is not None and self._landmarks is not None:
            before = self._landmarks[0].copy()
            before[:, :3] = between_crops(before[:, :3], self._crop, crop)
            moved = carried_along(moved, before, landmarks[0])
        return torch.from_numpy(moved.astype(np.float32)).to(self.runtime.device)

    def _descend(self, folded: Folded, start: torch.Tensor | None):
        if self.iterations is not None:
            return self.runtime.descend(folded, start, iterations=self.iterations)
        most = COLD_ITERATIONS if start is None else WARM_ITERATIONS
        return self.runtime.descend(folded, start, iterations=most, tolerance=TOLERANCE)


class _Clock:
    """Milliseconds since the last lap, by name."""

    def __init__(self):
        self.milliseconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.milliseconds[name] = 1000 * (now - self._last)
        self._last = now
