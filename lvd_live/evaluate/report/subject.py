"""What a report measures, and the methods that it compares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lvd_live.evaluate.held_out import EvalBatch, eval_batches
from lvd_live.evaluate.methods import Method, by_descent, by_regression, on_the_outline, with_true_landmarks
from lvd_live.evaluate.regressor import Regressor
from lvd_live.lvd.presets import CONDITIONING
from lvd_live.synth.dataset import Shards
from lvd_live.tracking.tracker import Tracker


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    tracker : its network and body are measured.
    shards : held-out people, opened with `upsample`. count : how many of them.
    regressor : a trained baseline to compare with, or None.
    models : the folder with the baked material.
    """

    tracker: Tracker
    shards: Shards
    count: int
    regressor: Regressor | None
    models: Path


@dataclass(frozen=True)
class Contender:
    """A method with its name, and what it is given: crops of `size` pixels and conditioning, see `eval_batches`.

    variant : not a way to fit people, but what shows where the error comes from.
    """

    name: str
    method: Method
    size: int
    conditioning: str
    variant: bool = False

    def people(self, shards: Shards, count: int) -> Iterator[EvalBatch]:
        """`count` people as the method is given them."""
        return eval_batches(shards, self.size, conditioning=self.conditioning, count=count)


def contenders(subject: Subject) -> list[Contender]:
    """Everything that is compared, the network with all of its conditioning first."""
    runtime, body, regressor = subject.tracker.runtime, subject.tracker.body, subject.regressor
    kinds = CONDITIONING if runtime.network.preset.landmarks else ("picture",)
    descent, size, most = by_descent(runtime), runtime.size, kinds[0]
    found = [Contender(f"LVD, told {kind}", descent, size, kind) for kind in kinds]
    found.append(Contender(f"LVD, told {most}, on the outline", on_the_outline(descent, body), size, most))
    if most == "all":
        informed = with_true_landmarks(descent)
        found.append(Contender("LVD, told true landmarks, 2 % and 6 % noise", informed, size, most, variant=True))
    found.append(Contender("LVD, first iteration alone", by_descent(runtime, 1), size, most, variant=True))
    if regressor is not None:
        method = by_regression(regressor)
        for kind in ("all", "picture"):
            found.append(Contender(f"ResNet-18 to parameters, told {kind}", method, regressor.size, kind))
    return found
