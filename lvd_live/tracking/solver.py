"""Several sequences side by side: one `GraphStep` fits a frame of each, so that a GPU works on a batch while every sequence stays warm from its own last mesh."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from lvd_live.lvd.network import COARSE_CHANNELS, FINE_CHANNELS
from lvd_live.lvd.runtime.graph_step import GraphStep
from lvd_live.lvd.runtime.runtime import Runtime


@dataclass(frozen=True)
class Solution:
    """What became of one sequence's frame. vertices (1, K, 3) and spread (1, T) of vertices `targets` (T,), on the runtime's device, half crops; steps: the mean displacement of each iteration."""

    vertices: torch.Tensor
    spread: torch.Tensor
    targets: torch.Tensor
    steps: tuple[float, ...]


@dataclass
class _Asked:
    given: dict[str, np.ndarray]
    answer: Solution | Exception | None = None


class BatchedSolver:
    """Called by trackers in threads of their own, each a `member`: answers once all members that are there have asked.

    size: the most members. iterations: of every frame. perturbations, renewed: of the uncertainty, asked of every `renewed`-th vertex, in turns (see `Tracker`).
    """

    def __init__(self, runtime: Runtime, size: int, *, iterations: int = 2, perturbations: int = 8, renewed: int = 8):
        self.runtime, self.size, self._renewed = runtime, size, renewed
        self._vertices, S = len(runtime.network.control), runtime.size
        self._step = GraphStep(
            runtime, size, iterations=iterations, count=perturbations, asked=-(-self._vertices // renewed)
        )
        self._blank = {
            "start": np.zeros((self._vertices, 3), np.float32),
            "picture": np.zeros((S, S, 3), np.uint8),
            "mask": np.zeros((S, S), np.uint8),
            "landmarks": np.zeros((33, 4), np.float32),
            "fine": np.zeros((FINE_CHANNELS, 32, 32), np.uint8),
            "coarse": np.zeros((COARSE_CHANNELS, 8, 8), np.uint8),
            "region": np.zeros((2, 3), np.float32),
        }
        self._changed = threading.Condition()
        self._members, self._turn, self._waiting = 0, 0, []
        self._run()  # whatever is made once, a CUDA graph above all, while no other thread works

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

    def __call__(
        self,
        *,
        start: torch.Tensor,
        picture: np.ndarray,
        mask: np.ndarray,
        landmarks: np.ndarray,
        maps: tuple[np.ndarray, ...],
    ) -> Solution:
        """One sequence's frame: start (1, K, 3), the rest as for `Runtime.encode`, of one picture. Waits for the other members'."""
        given = {"start": start.cpu().numpy(), "picture": picture, "mask": mask, "landmarks": landmarks} | dict(
            zip(("fine", "coarse", "region"), maps, strict=True)
        )
        asked = _Asked({name: value[0] for name, value in given.items()})
        with self._changed:
            self._waiting.append(asked)
            self._run_if_complete()
            self._changed.wait_for(lambda: asked.answer is not None)
        if isinstance(asked.answer, Exception):
            raise asked.answer
        return asked.answer

    def _run_if_complete(self) -> None:
        if self._waiting and len(self._waiting) >= self._members:
            try:
                self._run()
            except Exception as error:  # it is everybody's
                for asked in self._waiting:
                    asked.answer = error
            self._waiting = []
            self._changed.notify_all()

    def _run(self) -> None:
        """One step for all that wait."""
        rows = [asked.given for asked in self._waiting] + [self._blank] * (self.size - len(self._waiting))
        given = {name: np.stack([row[name] for row in rows]) for name in self._blank}
        targets = self._turn % self._renewed + self._renewed * np.arange(self._step.asked)
        targets = np.where(
            targets < self._vertices, targets, targets - self._renewed
        )  # in some turns the last one twice
        maps = tuple(given.pop(name) for name in ("fine", "coarse", "region"))
        vertices, spread, steps = self._step(targets=targets, maps=maps, **given)
        device, self._turn = self.runtime.device, self._turn + bool(self._waiting)
        for i, asked in enumerate(self._waiting):
            asked.answer = Solution(
                *(torch.from_numpy(np.array(x)).to(device) for x in (vertices[i : i + 1], spread[i : i + 1], targets)),
                tuple(map(float, steps[i])),
            )
