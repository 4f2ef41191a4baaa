"""Weights of a network as levels of 8 bits: half of float16's size. Needs onnx, to bake, not to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, helper, numpy_helper

from lvd_live.storage.files import write_whole

BLOCKS = (32, 16, 8)  # inputs that share a step: the largest that divides their number
LARGE = 20_000  # weights: smaller layers stay as they are
KEPT = ((288, 288), (960, 160))  # (out, in): rounding these costs more than rounding all the others together


def levels_of(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """levels (O, I/B, B) int8 and step (O, I/B, 1) float16 for weights (O, I, 1, 1): their product is nearest."""
    out, inputs = weight.shape[:2]
    block = next(b for b in BLOCKS if inputs % b == 0)
    values = weight.astype(np.float32).reshape(out, -1, block)
    step = np.maximum(np.abs(values).max(2, keepdims=True) / 127, 2.0**-24).astype(np.float16)
    return np.clip(np.rint(values / step.astype(np.float32)), -127, 127).astype(np.int8), step


def store_hand_networks(source: Path, out: Path) -> None:
    """Write MediaPipe's hand networks, as they are in `source` but for 8 bits, to `out`. Raises FileNotFoundError."""
    landmarks = onnx.load(source / "hand_landmark_full.onnx")
    store_as_levels(landmarks.graph)
    onnx.checker.check_model(landmarks)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "hand_landmarks.onnx", landmarks.SerializeToString())
    write_whole(out / "hand_recrop.onnx", (source / "hand_recrop.onnx").read_bytes())


def store_as_levels(graph: GraphProto) -> None:
    """Store the weights of the graph's large 1 × 1 convolutions, float16 and cast, as levels times steps. What runs the
    graph folds them into float32 when it loads them: it is as fast as before.
    """
    casts = {node.input[0]: node for node in graph.node if node.op_type == "Cast"}
    for stored in list(graph.initializer):
        shape = tuple(stored.dims)
        if len(shape) != 4 or shape[2:] != (1, 1) or np.prod(shape) < LARGE or shape[:2] in KEPT:
            continue
        weight = numpy_helper.to_array(stored)
        if weight.dtype != np.float16 or not any(weight.shape[1] % b == 0 for b in BLOCKS):
            continue
        name, cast = stored.name, casts[stored.name]
        levels, step = levels_of(weight)
        stored.CopyFrom(numpy_helper.from_array(levels, name))
        steps, whole = f"{name}_step", f"{name}_shape"
        for value, array in ((steps, step), (whole, np.array(shape, np.int64))):
            graph.initializer.append(numpy_helper.from_array(array, value))
        out, (cast.output[0], wide, product) = (
            cast.output[0],
            (f"{name}_{part}" for part in ("levels", "wide", "product")),
        )
        new = (
            helper.make_node("Cast", [steps], [wide], to=1),
            helper.make_node("Mul", [cast.output[0], wide], [product]),
            helper.make_node("Reshape", [product, whole], [out]),
        )
        at = list(graph.node).index(cast) + 1
        for i, node in enumerate(new):
            graph.node.insert(at + i, node)
