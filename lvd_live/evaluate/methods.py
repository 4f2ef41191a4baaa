"""The methods that the experiments compare: what each makes of a batch of people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from lvd_live.body.model import BodyModel
from lvd_live.evaluate.held_out import EvalBatch
from lvd_live.evaluate.regressor import Regressor, regress
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.person.landmarks import HIPS
from lvd_live.tracking.silhouette_fit import SilhouetteFit

Method = Callable[[EvalBatch], list[torch.Tensor]]
"""Meshes (n, N, 3), crop frame, after each iteration."""

ITERATIONS = 8
CONVERGED = 6  # iterations, as in the paper


def converged(meshes: list[torch.Tensor]) -> torch.Tensor:
    """The mesh after CONVERGED iterations, or the last one where there are fewer."""
    return meshes[min(CONVERGED, len(meshes)) - 1]


def by_descent(runtime: Runtime, iterations: int = ITERATIONS) -> Method:
    """Learned Vertex Descent from the crop's centre."""

    def method(batch: EvalBatch) -> list[torch.Tensor]:
        prepared = runtime.encode(*batch.crops)
        v, meshes = torch.zeros(len(batch.picture), 3, device=runtime.device), []
        for _ in range(iterations):
            v = runtime.descend(prepared, v, iterations=1).vertices
            meshes.append(runtime.network.dense(v).detach())
        return meshes

    return method


def on_the_outline(method: Method, body: BodyModel) -> Method:
    """A method's converged mesh, its limbs brought onto the mask's outline, see `silhouette_fit`."""

    def outlined(batch: EvalBatch) -> list[torch.Tensor]:
        meshes, silhouette_fit, moved = converged(method(batch)).numpy(), SilhouetteFit(body), []
        for mesh, mask in zip(meshes, batch.mask, strict=True):
            silhouette_fit.reset()
            moved.append(silhouette_fit(mesh, mask))
        return [torch.from_numpy(np.stack(moved))]

    return outlined


def with_true_landmarks(method: Method, noise: float = 0.02, depth_noise: float = 0.06) -> Method:
    """A method that is given the true landmarks with white noise instead of the person finder's.

    The rest of its error is what the finder's errors do not explain. noise, depth_noise : standard deviations in x and
    y, and in depth, crop units.
    """
    rng = np.random.default_rng(0)

    def informed(batch: EvalBatch) -> list[torch.Tensor]:
        truth = batch.rows["truth"].astype(np.float32)
        truth[..., 2] -= truth[:, list(HIPS), 2].mean(1, keepdims=True)
        noisy = truth + rng.normal(0, (noise, noise, depth_noise), truth.shape)
        confidence = np.maximum(batch.rows["landmarks"][..., 3:], 0.8)
        return method(replace(batch, landmarks=np.concatenate([noisy, confidence], -1).astype(np.float32)))

    return informed


def by_regression(regressor: Regressor) -> Method:
    """The baseline: one pass."""
    return lambda batch: [regressor.dense(regress(regressor, batch)).detach()]
