"""Crops in, meshes out, with nothing waited for in between: several sequences side by side, each warm from its own last mesh. On CUDA all of it is one graph (not tried on a GPU yet).

`together.Together` fits clips with it (`batch --batch N`), and `bench` times it. A `Tracker` on its own does not use it: it stops as soon as the mesh stands still.
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

    batch: sequences, B. told: landmarks and feature maps come with the crops (see `Runtime.encode`). count: perturbations of a vertex. asked: how many vertices' uncertainty, T.
    """

    def __init__(
        self, runtime: Runtime, batch: int, *, iterations: int = 2, count: int = 8, asked: int = 0, told: bool = True
    ):
        self.runtime, self.iterations, self.told = runtime, iterations, told and runtime.network.preset.landmarks
        self.cuda = runtime.device.type == "cuda"
        B, S, K = batch, runtime.size, len(runtime.network.control)
        shapes = {
            "picture": ((B, S, S, 3), torch.uint8),
            "mask": ((B, S, S), torch.uint8),
            "start": ((B, K, 3), torch.float32),
            "targets": ((asked,), torch.int64),
        }
        if self.told:
            shapes |= {
                "landmarks": ((B, len(LANDMARKS), 4), torch.float32),
                "fine": ((B, FINE_CHANNELS, 32, 32), torch.uint8),
                "coarse": ((B, COARSE_CHANNELS, 8, 8), torch.uint8),
                "region": ((B, 2, 3), torch.float32),
            }
        self._staged = {
            name: torch.zeros(shape, dtype=dtype, pin_memory=self.cuda) for name, (shape, dtype) in shapes.items()
        }
        self._inputs = {
            name: staged.to(runtime.device) if self.cuda else staged for name, staged in self._staged.items()
        }
        self.asked, self._offsets = asked, perturbations(count, K).to(runtime.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._output: torch.Tensor | None = None

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
        """start (B, K, 3) float32, each in its crop's frame; targets (T,) int64; the rest as for `Runtime.encode`. Returns vertices (B, K, 3), the targets' spread (B, T), the mean displacement of each iteration (B, iterations)."""
        given = {"start": start, "targets": targets, "picture": picture, "mask": mask}
        if self.told:
            given |= {"landmarks": landmarks[:, list(LANDMARKS)], "fine": maps[0], "coarse": maps[1], "region": maps[2]}
        for name, value in given.items():
            self._staged[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))
            if self.cuda:
                self._inputs[name].copy_(self._staged[name], non_blocking=True)
        if self.cuda:
            self._replay()
        else:
            self._output = self.forward()
        out = self._output.cpu().numpy()
        ends = start[0].size, start[0].size + self.asked
        return out[:, : ends[0]].reshape(start.shape), out[:, ends[0] : ends[1]], out[:, ends[1] :]

    def forward(self) -> torch.Tensor:
        """From the inputs on the device to (B, 3 K + T + iterations): vertices, spread, steps. Makes no constants and reads nothing back, so that a graph can hold it."""
        x, runtime = self._inputs, self.runtime
        prepared = runtime.encode_tensors(
            x["picture"],
            x["mask"],
            x["landmarks"] if self.told else None,
            AlignedFeatures(x["fine"], x["coarse"], x["region"]) if self.told else None,
        )
        ways, steps = zip(
            *itertools.islice(
                iterate(runtime.field, prepared, x["start"], runtime.network.preset.relaxation), self.iterations
            ),
            strict=True,
        )
        v = ways[-1]
        parts = [
            v.flatten(1),
            *([spread(runtime.field, prepared, v, self._offsets, x["targets"])] if self.asked else []),
            torch.stack(steps, 1),
        ]
        return torch.cat(parts, 1)

    def _replay(self) -> None:
        if self._graph is None:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):  # whatever is made once is made before
                    self.forward()
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(
                self._graph, capture_error_mode="thread_local"
            ):  # other threads may be finding people
                self._output = self.forward()
        self._graph.replay()
