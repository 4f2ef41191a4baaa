"""What is learned: a loss and how it is validated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import nn

from lvd_live.evaluate.validation import validate_descent
from lvd_live.lvd.network import LVD, network_input
from lvd_live.synth.dataset import Shards
from lvd_live.train.batches import Batch
from lvd_live.train.loss import descent_loss
from lvd_live.train.options import TrainingOptions

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Task(Generic[N]):
    """What a network of one class learns.

    loss(network, batch, importance, options) : two terms, which are added. importance : (K,), see `loss.descent_loss`.
    validate(network, held_out, size) : V2V in mm per iteration, by conditioning. size : of the crops, pixels.
    draw(shards, rng, count, size) : a batch, which has a length and `to(device)`; None: `batches.draw_batch` draws.
    """

    loss: Callable[[N, Any, torch.Tensor, TrainingOptions], tuple[torch.Tensor, torch.Tensor]]
    validate: Callable[[N, Shards, int], dict[str, list[float]]]
    draw: Callable[[Shards, np.random.Generator, int, int], Any] | None = None


def learn_to_descend(
    network: LVD, batch: Batch, importance: torch.Tensor, options: TrainingOptions
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two terms of `descent_loss`, weighted."""
    crop = network.encode(network_input(batch.picture, batch.mask), batch.landmarks, batch.maps)
    field_loss, own = descent_loss(network.field, crop, batch.vertices, importance, options.clip, options.loss)
    return field_loss, options.loss.own_weight * own


DESCENT = Task(learn_to_descend, validate_descent)
"""Learned Vertex Descent."""
