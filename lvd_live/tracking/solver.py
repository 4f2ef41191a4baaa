"""Solvers: a crop and a start in, a settled mesh out. One for a sequence alone, one for several sequences side by side.

`Solver` works on one crop at a time and stops as soon as the mesh stands still. `BatchedSolver` gives warm frames of
several sequences to one `GraphStep`, so that a GPU works on a batch while each sequence stays warm from its own mesh.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from lvd_live.lvd.coarse import Coarse
from lvd_live.lvd.folded_field import PreparedCrop
from lvd_live.lvd.network import COARSE_CHANNELS, FINE_CHANNELS
from lvd_live.lvd.runtime.graph_step import GraphStep
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.tracking.clock import Clock
from lvd_live.tracking.conditioning import CropView

log = logging.getLogger(__name__)

COLD_ITERATIONS, WARM_ITERATIONS = 8, 4  # at most
TOLERANCE = 0.007  # crop units: a mean step below it is the last (under 1 cm on a person that fills the crop)
WARM_TOLERANCE = 0.012  # after a coarse step, which leaves the detail: shorter ones changed nothing on four real views
LOST = 0.12  # crop units: a fit whose last mean step is longer has not found its person


@dataclass(frozen=True)
class Solution:
    """Where the vertices of one crop ended.

    vertices : (1, K, 3) float32 on the runtime's device, crop frame.
    steps : the mean displacement of each iteration of the descent that ended there, crop units.
    iterations : all that were done, also by a warm start that was given up.
    cold : it started at the crop's centre, not from a mesh.
    prepared : what the uncertainty may be asked of; None where `spread` came along.
    spread : (1, T) float32 crop units, U(v) of `Coarse.targets`; None where it has to be asked.
    """

    vertices: torch.Tensor
    steps: tuple[float, ...]
    iterations: int
    cold: bool
    prepared: PreparedCrop | None = None
    spread: torch.Tensor | None = None

    @property
    def settled(self) -> bool:
        """Whether the last step was short enough to believe in (a NaN is not)."""
        return self.steps[-1] < LOST


class Solver:
    """Descends on one crop. coarse : takes a warm frame's first iteration."""

    def __init__(self, runtime: Runtime, coarse: Coarse):
        self.runtime, self.coarse = runtime, coarse

    def prepare(self, view: CropView) -> PreparedCrop | None:
        """A crop encoded, for `solve`; None where that does so itself. May be called in another thread."""
        return self.runtime.encode(*view.batched())

    def solve(
        self,
        view: CropView,
        prepared: PreparedCrop | None,
        start: torch.Tensor | None,
        iterations: int | None,
        clock: Clock,
    ) -> Solution:
        """Descend from `start` (1, K, 3), crop frame, or from the crop's centre where it is None.

        prepared : by `prepare`. iterations : how many, or None: until the mesh stands still, and anew from the centre
        where a warm start runs away. Lap of the clock: descent.
        """
        if prepared is None:
            prepared = self.runtime.encode(*view.batched())
        solution = self._descend(prepared, start, iterations)
        if start is not None and iterations is None and not solution.settled:
            log.info("the fit ran away (step %.2f); starting anew", solution.steps[-1])
            solution = self._descend(prepared, None, None, wasted=solution.iterations)
        clock.lap("descent")
        return solution

    def _descend(
        self, prepared: PreparedCrop, start: torch.Tensor | None, iterations: int | None, wasted: int = 0
    ) -> Solution:
        if iterations is None:
            most, enough = (COLD_ITERATIONS, TOLERANCE) if start is None else (WARM_ITERATIONS, WARM_TOLERANCE)
            descent = self.runtime.descend(prepared, start, iterations=most, tolerance=enough, coarse=self.coarse)
        else:
            descent = self.runtime.descend(prepared, start, iterations=iterations)
        return Solution(descent.vertices, descent.steps, wasted + len(descent.steps), start is None, prepared)


@dataclass
class _Request:
    view: CropView
    start: np.ndarray  # (K, 3)
    answer: Solution | Exception | None = None


class BatchedSolver(Solver):
    """Called by trackers in threads of their own, each a `member`: answers once all members have asked.

    A cold frame, one without landmarks or detector features, and one whose batched step does not settle, is solved as
    by `Solver`.

    size : the most members. iterations : of every batched frame, each of all vertices. perturbations : of the
    uncertainty.
    """

    def __init__(self, runtime: Runtime, coarse: Coarse, size: int, *, iterations: int = 2, perturbations: int = 8):
        super().__init__(runtime, coarse)
        self.size, self._targets = size, coarse.targets.cpu().numpy()
        vertices, S = len(runtime.network.control), runtime.size
        self.step = GraphStep(runtime, size, iterations=iterations, count=perturbations, asked=len(self._targets))
        features = (
            np.zeros((FINE_CHANNELS, 32, 32), np.uint8),
            np.zeros((COARSE_CHANNELS, 8, 8), np.uint8),
            np.zeros((2, 3), np.float32),
        )
        blank = CropView(
            np.zeros((S, S, 3), np.uint8), np.zeros((S, S), np.uint8), np.zeros((33, 4), np.float32), features
        )
        self._blank = _Request(blank, np.zeros((vertices, 3), np.float32))
        self._changed = threading.Condition()
        self._members = 0
        self._waiting: list[_Request] = []
        self._run()  # what is made once, a CUDA graph above all, while no other thread works

    @contextlib.contextmanager
    def member(self) -> Iterator[None]:
        """While it lasts, the others wait for this thread's frames."""
        with self._changed:
            self._members += 1
        try:
            yield
        finally:
            with self._changed:
                self._members -= 1
                self._run_if_complete()

    def prepare(self, view: CropView) -> None:
        """Nothing: the common step encodes."""

    def solve(
        self,
        view: CropView,
        prepared: PreparedCrop | None,
        start: torch.Tensor | None,
        iterations: int | None,
        clock: Clock,
    ) -> Solution:
        """See `Solver.solve`. Waits for the other members; raises what the common step raised. Lap: batched."""
        if start is not None and view.landmarks is not None and view.features is not None:
            solution = self._ask(view, start)
            clock.lap("batched")
            if solution.settled:
                return solution
        return super().solve(view, prepared, start, iterations, clock)

    def _ask(self, view: CropView, start: torch.Tensor) -> Solution:
        request = _Request(view, start[0].cpu().numpy())
        with self._changed:
            self._waiting.append(request)
            self._run_if_complete()
            self._changed.wait_for(lambda: request.answer is not None)
        if isinstance(request.answer, Exception):
            raise request.answer
        assert request.answer is not None
        return request.answer

    def _run_if_complete(self) -> None:
        if self._waiting and len(self._waiting) >= self._members:
            try:
                self._run()
            except Exception as error:  # it is every member's
                for request in self._waiting:
                    request.answer = error
            self._waiting = []
            self._changed.notify_all()

    def _run(self) -> None:
        """One step for all that wait; empty places are filled with a blank crop."""
        requests = self._waiting + [self._blank] * (self.size - len(self._waiting))
        views = [request.view for request in requests]
        vertices, spread, steps = self.step(
            start=np.stack([request.start for request in requests]),
            targets=self._targets,
            picture=np.stack([view.picture for view in views]),
            mask=np.stack([view.mask for view in views]),
            landmarks=np.stack([view.landmarks for view in views if view.landmarks is not None]),
            maps=tuple(
                np.stack(parts) for parts in zip(*(view.features for view in views if view.features), strict=True)
            ),
        )
        for i, request in enumerate(self._waiting):
            here = slice(i, i + 1)
            taken = tuple(map(float, steps[i]))
            mesh, spread_here = (self._to_device(x[here]) for x in (vertices, spread))
            request.answer = Solution(mesh, taken, len(taken), cold=False, spread=spread_here)

    def _to_device(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(array)).to(self.runtime.device)
