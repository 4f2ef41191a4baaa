"""Several sequences side by side, a fixed number of iterations each: crops in, meshes out, without a wait in between.

On CUDA all of it is one graph. `tracking.solver.BatchedSolver` fits clips with it (`batch --batch N`), and `bench`
times it. A `Tracker` of its own does not use it: it stops as soon as the mesh stands still.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch

from lvd_live.lvd.descent import iterate
from lvd_live.lvd.network import COARSE_CHANNELS, FINE_CHANNELS, LANDMARKS, AlignedFeatures
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.uncertainty import perturbations, spread


class GraphStep:
    """A fixed number of iterations on a fixed number of crops, and the uncertainty of a fixed number of vertices.

    batch : B, how many sequences.
    count : perturbations of each vertex whose uncertainty is asked for.
    asked : T, how many those are.
    conditioned : landmarks and detector features come with the crops, where the preset takes them.
    """

    def __init__(
        self,
        runtime: Runtime,
        batch: int,
        *,
        iterations: int = 2,
        count: int = 8,
        asked: int = 0,
        conditioned: bool = True,
    ):
        self.runtime, self.iterations, self.asked = runtime, iterations, asked
        self.conditioned = conditioned and runtime.network.preset.landmarks
        self.cuda = runtime.device.type == "cuda"
        self._offsets = perturbations(count, len(runtime.network.control)).to(runtime.device)
        self._staged = {
            name: torch.zeros(shape, dtype=dtype, pin_memory=self.cuda)
            for name, (shape, dtype) in self._shapes(batch).items()
        }
        self._inputs = {
            name: staged.to(runtime.device) if self.cuda else staged for name, staged in self._staged.items()
        }
        self._graph: torch.cuda.CUDAGraph | None = None
        self._output: torch.Tensor | None = None  # of the graph

    def _shapes(self, B: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Shape and dtype of each input by its name."""
        S, K = self.runtime.size, len(self.runtime.network.control)
        shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
            "picture": ((B, S, S, 3), torch.uint8),
            "mask": ((B, S, S), torch.uint8),
            "start": ((B, K, 3), torch.float32),
            "targets": ((self.asked,), torch.int64),
        }
        if self.conditioned:
            shapes |= {
                "landmarks": ((B, len(LANDMARKS), 4), torch.float32),
                "fine": ((B, FINE_CHANNELS, 32, 32), torch.uint8),
                "coarse": ((B, COARSE_CHANNELS, 8, 8), torch.uint8),
                "region": ((B, 2, 3), torch.float32),
            }
        return shapes

    @torch.inference_mode()
    def __call__(
        self,
        *,
        start: np.ndarray,
        targets: np.ndarray,
        picture: np.ndarray,
        mask: np.ndarray,
        landmarks: np.ndarray | None = None,
        maps: tuple[np.ndarray, ...] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Descend from `start` (B, K, 3) float32, each in its crop's frame.

        targets : (T,) int64, the vertices whose uncertainty is asked for. The rest as for `Runtime.encode`.
        Returns vertices (B, K, 3), the targets' spread (B, T) and each iteration's mean displacement (B, iterations).
        """
        self._load({"start": start, "targets": targets, "picture": picture, "mask": mask})
        if self.conditioned:
            if landmarks is None or maps is None:
                raise ValueError("a step with conditioning needs landmarks and maps")
            fine, coarse, region = maps
            chosen = landmarks[:, list(LANDMARKS)]
            self._load({"landmarks": chosen, "fine": fine, "coarse": coarse, "region": region})
        out = (self._replay() if self.cuda else self.forward()).cpu().numpy()
        vertices, spreads, steps = np.split(out, [start[0].size, start[0].size + self.asked], axis=1)
        return vertices.reshape(start.shape), spreads, steps

    def _load(self, given: dict[str, np.ndarray]) -> None:
        """Copy arrays to the inputs of their names."""
        for name, value in given.items():
            self._staged[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))
            if self.cuda:
                self._inputs[name].copy_(self._staged[name], non_blocking=True)

    def forward(self) -> torch.Tensor:
        """From the inputs on the device to (B, 3 K + T + iterations): vertices, spread, steps.

        Makes no constants and reads nothing back, so that a CUDA graph can hold it.
        """
        x, runtime = self._inputs, self.runtime
        landmarks = x["landmarks"] if self.conditioned else None
        maps = AlignedFeatures(x["fine"], x["coarse"], x["region"]) if self.conditioned else None
        prepared = runtime.encode_tensors(x["picture"], x["mask"], landmarks, maps)
        descent = iterate(runtime.field, prepared, x["start"], runtime.network.preset.relaxation)
        meshes, steps = zip(*itertools.islice(descent, self.iterations), strict=True)
        parts = [meshes[-1].flatten(1)]
        if self.asked:
            parts.append(spread(runtime.field, prepared, meshes[-1], self._offsets, x["targets"]))
        return torch.cat([*parts, torch.stack(steps, 1)], 1)

    def _replay(self) -> torch.Tensor:
        """`forward` as a CUDA graph, captured at the first call."""
        if self._graph is None or self._output is None:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):  # what is made once must be made before the capture
                    self.forward()
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):  # other threads may find people
                self._output = self.forward()
        self._graph.replay()
        return self._output
