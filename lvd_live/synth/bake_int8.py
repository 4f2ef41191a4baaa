"""The ranges of a network's activations, for eight bits (`lvd.runtime.int8`): measured on rendered people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lvd_live.errors import UserError
from lvd_live.lift.lifter import Lifter
from lvd_live.lvd.network import LVD
from lvd_live.lvd.runtime import int8
from lvd_live.lvd.runtime.onnx import OnnxBackbone, export
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.weights import load_network
from lvd_live.person.crop import warp_crop
from lvd_live.synth.dataset import Shards
from lvd_live.synth.lifted import lift_rows

PEOPLE = 64


def bake_ranges(weights: Path, data: Path) -> Path:
    """Write the ranges of a weight file's network on people from the shards in `data`; the file's path.

    Raises UserError where there are no shards, or no such weights.
    """
    shards = Shards.open(data)
    if not shards.maps:
        raise UserError(f"There are no shards in {data}; make some with `python -m lvd_live synth --out {data}`.")
    network = load_network(weights)[0]
    return int8.write_ranges(network, ranges_on(network, shards))


def ranges_on(network: LVD, shards: Shards, people: int = PEOPLE) -> int8.Ranges:
    """The ranges of a network's values on people, spread evenly over the shards."""
    runtime = Runtime(network, device="cpu", engine="onnxruntime")
    backbone, lifter, size = runtime.network.backbone, Lifter.shipped(), network.preset.size
    assert isinstance(backbone, OnnxBackbone)
    inputs: list[list[torch.Tensor]] = []
    hook = backbone.register_forward_pre_hook(lambda _, given: inputs.append([x.float() for x in given]))
    for i in np.linspace(0, len(shards.maps) - 1, people).round().astype(int):
        shard = shards.maps[i]
        rows = shards.rows(shard, slice(k := len(inputs) * 37 % len(shard), k + 1))
        landmarks = lift_rows(lifter, [{key: rows[key][0] for key in rows}], rows["landmarks"].astype(np.float32))
        picture, mask = (warp_crop(rows[key][0], np.eye(2), np.zeros(2), size)[None] for key in ("picture", "mask"))
        runtime.encode(picture, mask, landmarks, (rows["fine"], rows["coarse"], rows["region"]))
    hook.remove()
    exported = export(backbone.backbone, inputs[0])
    return int8.measure_ranges(exported, ([np.ascontiguousarray(x.numpy()) for x in one] for one in inputs))
