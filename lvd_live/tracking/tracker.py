"""The tracker: a frame and the person in it become a mesh; the last mesh is where the next one starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from lvd_live.body.correspondence import Correspondence
from lvd_live.body.fingers import FingerRig
from lvd_live.body.model import BodyModel
from lvd_live.lift.lifter import Lifter
from lvd_live.lvd.coarse import Coarse
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.weights import load_network
from lvd_live.paths import MODELS
from lvd_live.person.crop import Crop
from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame
from lvd_live.threads import both
from lvd_live.tracking.camera import between_crops, camera_of, carried_along, skeleton_length, to_metres
from lvd_live.tracking.clock import Clock
from lvd_live.tracking.doubt import agreement, is_doubtful, raised
from lvd_live.tracking.encoder import Encoded, Encoder, Later
from lvd_live.tracking.fit import Fit
from lvd_live.tracking.hand_fit import HandsFit
from lvd_live.tracking.limbs import LimbFit
from lvd_live.tracking.options import TrackerOptions
from lvd_live.tracking.silhouette_fit import SilhouetteFit, drawn_in_crop
from lvd_live.tracking.solver import Solution, Solver
from lvd_live.tracking.spread import dense_mesh, spread_of

log = logging.getLogger(__name__)

BODY = MODELS / "body" / "lvd_body.npz"
JUDGED = 4  # frames of which one is compared with its mask, where the outline is left out to save time


@dataclass(frozen=True)
class _Last:
    """The last frame's mesh, vertices (1, K, 3), and landmarks (33, 4) or None, in the frame of its crop."""

    crop: Crop
    vertices: torch.Tensor
    landmarks: np.ndarray | None


class Tracker:
    """Fits the body to frame after frame.

    `start` begins anew on a frame, `step` goes on from the last one (and begins anew by itself where there is none, the
    person is new or jumped, or the fit runs away), `reset` forgets.

    runtime, body : what descends, and the body that it moves. options : see there; `change` sets them between frames.
    weights : of the network, for `describe`. calibration : {"std", "error"}, see `expected_error`.
    carry : what takes the mesh to another body's topology, and that body. lifter : says how deep landmarks lie, instead
    of the finder. solver : by default one of its own.

    coarse : the vertices that the first iteration and the uncertainty ask.
    left_out : what frames go without, to save time, whatever the options say: "uncertainty", "outline".
    """

    def __init__(
        self,
        runtime: Runtime,
        body: BodyModel,
        options: TrackerOptions | None = None,
        *,
        weights: Mapping[str, str] | None = None,
        calibration: Mapping[str, list[float]] | None = None,
        carry: tuple[Correspondence, BodyModel] | None = None,
        lifter: Lifter | None = None,
        solver: Solver | None = None,
    ):
        self.runtime, self.body, self.options = runtime, body, options or TrackerOptions()
        self.calibration, self.carry, self.lifter = calibration, carry, lifter
        self.shown_body = body if carry is None else carry[1]  # whose topology the fits have
        self.faces, self._faces = (b.faces.numpy().astype(np.int32) for b in (self.shown_body, body))
        self.joint_regressor = self.shown_body.J_regressor.numpy()  # (24, N)
        self._weights = dict(weights or {})
        self.left_out: tuple[str, ...] = ()
        self._overlap, self._unjudged = 1.0, JUDGED  # of mesh and mask; frames since that was looked at
        self.coarse = Coarse.of(body.v_template[runtime.network.control.cpu()].numpy(), runtime.device)
        self._solver = solver or Solver(runtime, self.coarse)
        self._encoder = Encoder(self._solver, lifter)
        self._limb_fit, self._silhouette_fit = LimbFit(body), SilhouetteFit(body)
        rig = FingerRig.of(body)
        self._hands = None if rig is None else HandsFit(rig, body)
        template = body.v_template.numpy()
        self._regressor, self._to_landmarks = body.J_regressor.numpy(), body.landmarks.numpy()
        self._stature = float(template[:, 1].max() - template[:, 1].min())
        self._template_length = skeleton_length(self._regressor @ template)
        self.reset()

    @classmethod
    def load(cls, options: TrackerOptions | None = None, **changes: Any) -> Tracker:
        """A tracker from the files in models/, with `options`, some of them changed by name.

        A body of another topology than the bundled one's, such as SMPL's, gets the mesh carried to it.
        Raises UserError where a file is missing or does not fit, ValueError for an option that cannot be.
        """
        options = replace(options or TrackerOptions(), **changes)
        path = options.weights or MODELS / "weights" / f"{options.preset}.safetensors"
        body, (network, sha256, about) = both(partial(BodyModel.load, BODY), partial(load_network, path))
        carry = None
        if options.body is not None:
            other = BodyModel.load(options.body)
            same = torch.equal(other.faces, body.faces)
            body, carry = (other, None) if same else (body, (Correspondence.between(body, other), other))
        runtime = Runtime(network, device=options.device, engine=options.engine, weights=sha256)
        return cls(
            runtime,
            body,
            options,
            weights={"file": path.name, "sha256": sha256},
            calibration=about.get("calibration"),
            carry=carry,
            lifter=Lifter.shipped() if network.preset.landmarks else None,
        )

    def clone(self, *, runtime: Runtime | None = None, solver: Solver | None = None) -> Tracker:
        """Another tracker with the same network, body and options, or another runtime; it remembers nothing yet."""
        return Tracker(
            runtime or self.runtime,
            self.body,
            self.options,
            weights=self._weights,
            calibration=self.calibration,
            carry=self.carry,
            lifter=self.lifter,
            solver=solver,
        )

    def change(self, **options: Any) -> None:
        """Set options of fitting by name, from the next frame on. Raises ValueError for a value that cannot be."""
        self.options = replace(self.options, **options)

    @property
    def conditioning(self) -> str:
        """What the network is given of the finder's opinion: "picture" where it takes none."""
        return self.options.conditioning if self.runtime.network.preset.landmarks else "picture"

    def describe(self) -> dict[str, Any]:
        """What a file should remember of this tracker: JSON values, its options among them (`from_json` reads them)."""
        calibration = self.calibration
        return self.options.to_json() | {
            "preset": self.runtime.network.preset.name,
            "weights": self._weights,
            "provider": self.runtime.provider,
            "conditioning": self.conditioning,
            "calibration": None
            if calibration is None
            else {name: list(calibration[name]) for name in ("std", "error")},
        }

    def reset(self) -> None:
        """Forget the person and the mesh."""
        self._encoder.reset()
        self.forget_mesh()

    def forget_mesh(self) -> None:
        """Let the next mesh start at its crop's centre."""
        self._last: _Last | None = None
        self._silhouette_fit.reset()
        if self._hands is not None:
            self._hands.reset()

    def start(self, frame: Frame, person: Person) -> Fit | None:
        """Fit from the crop's centre, whatever was before."""
        self.reset()
        return self.step(frame, person)

    def step(self, frame: Frame, person: Person, *, crop: Crop | None = None, later: Later = ()) -> Fit | None:
        """Fit, from the last mesh if there is one. None where the mesh does not settle. See `encode` and `fit`."""
        return self.fit(self.encode(frame, person, crop=crop, later=later))

    def encode(
        self, frame: Frame, person: Person, *, crop: Crop | None = None, later: Later = (), anew: bool = False
    ) -> Encoded:
        """The first half of a step. A thread may encode the next frames while another one fits this one.

        crop : where to look; by default where `choose_crop` says. later : the next frames and the same person in them,
        where they are known already: the landmarks are steadier then. anew : forget the person and the mesh before.
        """
        if anew:
            self._encoder.reset()
        return self._encoder(frame, person, self.options, self.conditioning, crop=crop, later=later)

    def fit(self, encoded: Encoded) -> Fit | None:
        """The other half, frame after frame as they were encoded. None where the mesh does not settle."""
        if encoded.anew:
            self.forget_mesh()
        frame, crop, view = encoded.frame, encoded.crop, encoded.view
        clock, start = Clock(encoded.milliseconds), self._carried(crop, view.landmarks)
        solution = self._solver.solve(view, encoded.prepared, start, self.options.iterations, clock)
        if not self._is_credible(solution):
            log.info("frame %d: the mesh does not settle (step %.2f)", frame.index, solution.steps[-1])
            self.forget_mesh()
            return None
        self._last = _Last(crop, solution.vertices, view.landmarks)
        perturbations = 0 if "uncertainty" in self.left_out else self.options.uncertainty
        uncertainty = spread_of(self.runtime, self.coarse, solution, perturbations)
        clock.lap("uncertainty")
        vertices, spread = dense_mesh(self.runtime, solution.vertices, uncertainty)
        if view.landmarks is not None:
            vertices = self._limb_fit(vertices, view.landmarks)
        vertices = self._on_silhouette(vertices, encoded, solution.cold)
        clock.lap("outline")
        fit = self._place(encoded, solution, vertices, spread, clock)
        doubtful = is_doubtful(encoded.person, self._overlap)
        return replace(fit, doubtful=doubtful, vertex_std=raised(fit.vertex_std, doubtful), jumped=encoded.jumped)

    def expected_error(self, vertex_std: np.ndarray) -> np.ndarray | None:
        """The error to expect where U(v) is `vertex_std`, both metres, same shape, float32: the weights' calibration on
        held-out synthetic people. None where they have none."""
        if self.calibration is None:
            return None
        return np.interp(vertex_std, self.calibration["std"], self.calibration["error"]).astype(np.float32)

    def _carried(self, crop: Crop, landmarks: np.ndarray | None) -> torch.Tensor | None:
        """The last mesh (1, K, 3) in another crop, moved as the landmarks have moved since; None if there is none."""
        last = self._last
        if last is None or not self.options.warm:
            return None
        moved = between_crops(last.vertices.cpu().numpy(), last.crop, crop)
        if landmarks is not None and last.landmarks is not None:
            before = last.landmarks.copy()
            before[:, :3] = between_crops(before[:, :3], last.crop, crop)
            moved = carried_along(moved, before, landmarks)
        return torch.from_numpy(moved.astype(np.float32)).to(self.runtime.device)

    def _is_credible(self, solution: Solution) -> bool:
        settled = solution.settled or self.options.iterations is not None
        return settled and bool(torch.isfinite(solution.vertices).all())

    def _on_silhouette(self, vertices: np.ndarray, encoded: Encoded, cold: bool) -> np.ndarray:
        """The limbs brought onto the mask's outline, if wanted, but for where the picture's edge cuts it. Notes how far
        mesh and mask overlap, see `doubt.agreement`."""
        if cold:
            self._silhouette_fit.reset()
        mask, (height, width) = encoded.view.mask, encoded.frame.picture.shape[:2]
        (left, top), (right, bottom) = encoded.crop.to_unit(np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]]))
        if self.options.silhouette_fit and "outline" not in self.left_out:
            vertices = self._silhouette_fit(vertices, mask, (left, bottom, right, top))
            self._overlap = self._silhouette_fit.overlap
            return vertices
        self._silhouette_fit.reset()  # what it remembers is too old once it comes back
        if cold or not self.left_out or self._unjudged == JUDGED:
            drawn = drawn_in_crop(vertices, self._faces, len(mask))
            self._overlap = agreement(drawn, mask > 127, np.array([left, bottom]), np.array([right, top]))
            self._unjudged = 0
        self._unjudged += 1
        return vertices

    def _place(
        self, encoded: Encoded, solution: Solution, vertices: np.ndarray, spread: np.ndarray | None, clock: Clock
    ) -> Fit:
        """From the crop frame to metres: as large as the height says, as far away as that size is seen."""
        frame, person, crop = encoded.frame, encoded.person, encoded.crop
        camera, _ = camera_of(frame, self.options.fov_degrees)
        unit = to_metres(vertices, crop, camera)
        taller = 1.0 if self.options.height is None else self.options.height / self._stature
        taller *= self.options.scale
        distance = self._template_length * taller / max(skeleton_length(self._regressor @ unit), 1e-6)
        metres = unit * np.float32(distance)
        std = np.zeros(len(metres), np.float32)
        if spread is not None:
            std = spread * np.float32(distance * crop.half / camera.focal)
        hands = None
        if self._hands is not None and self.options.hands:
            hands = self._hands(metres, std, person, camera.intrinsics, taller, frame.timestamp_ns)
        if hands is not None:
            metres, std = hands.vertices, hands.std
        landmarks = self._to_landmarks @ metres
        if self.carry is not None:
            metres, std = self.carry[0](metres), self.carry[0](std[:, None])[:, 0]
        clock.lap("placement")
        return Fit(
            vertices=metres,
            vertex_std=std,
            landmarks_3d=landmarks,
            intrinsics=camera.intrinsics,
            iterations=solution.iterations,
            step=solution.steps[-1],
            cold=solution.cold,
            crop=crop,
            crop_vertices=vertices,
            milliseconds=clock.milliseconds,
            steps=solution.steps,
            frame_index=frame.index,
            timestamp_ns=frame.timestamp_ns,
            hand_pose=None if hands is None else hands.pose,
            hand_states=(0, 0) if hands is None else hands.states,
        )
