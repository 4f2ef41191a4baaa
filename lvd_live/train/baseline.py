"""Training the paper's baseline, `evaluate.regressor`."""

from __future__ import annotations

import numpy as np
import torch

from lvd_live.body.model import axis_angle_to_matrix
from lvd_live.evaluate.held_out import eval_batches
from lvd_live.evaluate.regressor import Regressor, regress
from lvd_live.evaluate.validation import COUNT, mean_aligned
from lvd_live.lvd.network import network_input
from lvd_live.synth.dataset import Shards
from lvd_live.train.batches import Batch
from lvd_live.train.options import TrainingOptions
from lvd_live.train.task import Task

POSE_WEIGHT, SHAPE_WEIGHT = 0.05, 0.01  # of the loss on parameters, beside that on vertices


def learn_to_regress(
    network: Regressor, batch: Batch, importance: torch.Tensor, options: TrainingOptions
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two mean absolute errors: of the parameters, weighted, and of the vertices, crop units as in `descent_loss`.

    The root's rotation counts through the vertices alone: the crop may have been turned.
    """
    vertices, rotations, betas = network(network_input(batch.picture, batch.mask), batch.landmarks)
    pose = (rotations[:, 1:] - axis_angle_to_matrix(batch.pose)[:, 1:]).abs().mean()
    shape = (betas - batch.betas).abs().mean()
    on_vertices = ((vertices - batch.vertices).abs() * importance[:, None]).mean()
    return POSE_WEIGHT * pose + SHAPE_WEIGHT * shape, on_vertices


@torch.no_grad()
def validate_regression(network: Regressor, held_out: Shards, size: int) -> dict[str, list[float]]:
    """As `validate_descent`, of the one pass there is."""

    def mean_error(conditioning: str) -> float:
        batches = eval_batches(held_out, size, conditioning=conditioning, count=COUNT)
        errors = [mean_aligned(batch, regress(network, batch)) for batch in batches]
        return float(np.concatenate(errors).mean())

    return {conditioning: [mean_error(conditioning)] for conditioning in ("all", "picture")}


REGRESSION = Task(learn_to_regress, validate_regression)
"""Regression of body parameters."""
