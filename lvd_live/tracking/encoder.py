"""The first half of tracking, which needs no mesh: where to look, how deep the landmarks lie, what the network sees.

So a frame may be encoded while the mesh still moves on the one before it; see `Tracker`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lvd_live.lift.conditioning import lift_through
from lvd_live.lift.lifter import Lifter
from lvd_live.lift.steady import SteadyLifter
from lvd_live.lvd.folded_field import PreparedCrop
from lvd_live.person.crop import Crop, choose_crop
from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame
from lvd_live.tracking.camera import camera_of
from lvd_live.tracking.clock import Clock
from lvd_live.tracking.conditioning import CropView, view_crop
from lvd_live.tracking.jump import JumpFinder
from lvd_live.tracking.options import TrackerOptions
from lvd_live.tracking.solver import Solver

Later = Sequence[tuple[Frame, Person]]


@dataclass(frozen=True)
class Encoded:
    """A frame ready for descent.

    frame, person : what it was made of. crop : where the network looks. view : what it is given.
    prepared : what it makes of that; None where the solver encodes by itself.
    anew : nothing that was before counts: the mesh starts at the crop's centre.
    jumped : further than bodies move, see `jump`.
    milliseconds : by stage.
    """

    frame: Frame
    person: Person
    crop: Crop
    view: CropView
    prepared: PreparedCrop | None
    anew: bool
    jumped: bool
    milliseconds: dict[str, float]


class Encoder:
    """Encodes one person's frames, in order; remembers where it looked and how deep the landmarks lay, until `reset`.

    solver : its network's. lifter : see `Tracker`.
    """

    def __init__(self, solver: Solver, lifter: Lifter | None):
        self._solver, self._lifter, self._jumps = solver, lifter, JumpFinder()
        self.reset()

    def reset(self) -> None:
        """Forget the person: the next frame is encoded `anew`."""
        self._jumps.reset()
        self._forget()

    def _forget(self) -> None:
        self._crop: Crop | None = None
        self._steady = None if self._lifter is None else SteadyLifter(self._lifter)

    def __call__(
        self,
        frame: Frame,
        person: Person,
        options: TrackerOptions,
        conditioning: str,
        *,
        crop: Crop | None = None,
        later: Later = (),
    ) -> Encoded:
        """crop, later : see `Tracker.encode`. conditioning : see `view_crop`."""
        clock = Clock()
        jumped = self._jumps.is_jump(person.landmarks, frame.timestamp_ns)
        if jumped or person.is_new:
            self._forget()
        last, self._crop = self._crop, crop or choose_crop(person, self._crop)
        lifted = None
        if self._steady is not None and conditioning == "all":
            camera, known = camera_of(frame, options.fov_degrees)
            lifted = lift_through(self._steady, [(frame, person), *later], self._crop, camera.focal, known)
        view = view_crop(frame.picture, person, self._crop, self._solver.runtime.size, conditioning, lifted)
        clock.lap("crop")
        prepared = self._solver.prepare(view)
        clock.lap("features")
        return Encoded(frame, person, self._crop, view, prepared, last is None, jumped, clock.milliseconds)
