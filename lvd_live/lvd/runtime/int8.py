"""A backbone in eight bits: weights int8 for each output channel, activations uint8 in ranges measured beforehand.

A value x becomes round(x / s) + z, with s and z of its tensor; a convolution sums integers, which processors with VNNI
multiply four at a time, and those without two at a time (`_largest_pair`). onnxruntime runs it: Q and DQ nodes in the
network say what is quantised (its "QDQ" format), and it makes integer kernels of them. ReLU costs nothing: where a
range begins at 0, it is the rounding's clip.

The ranges are those of one set of weights, in a file beside it (`python -m lvd_live bake --int8 DATA`): of rendered
people, the mean over the pictures of each tensor's least and greatest value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from lvd_live.errors import UserError
from lvd_live.lvd.network import LVD
from lvd_live.lvd.runtime.ranges import Ranges, fingerprint, path_of
from lvd_live.person.onnx import graph_outputs, make_session

QUANTISED = ("Conv", "Add", "Resize", "Concat")  # what reads quantised values, and gives them
MOST = 127  # levels of weights to either side, also of two neighbours together, see `_largest_pair`


def write_ranges(network: LVD, ranges: Ranges) -> Path:
    """Write the file of ranges; its path."""
    path = path_of(network)
    rounded = {name: [float(f"{x:.4g}") for x in pair] for name, pair in ranges.items()}
    path.write_text(json.dumps({"fingerprint": fingerprint(network), "ranges": rounded}, indent=0) + "\n")
    return path


def measure_ranges(exported: bytes, inputs: Iterable[list[np.ndarray]]) -> Ranges:
    """The ranges of an exported network's quantised values over inputs, x0, x1, … each."""
    names = sorted(_quantised_values(onnx.load_from_string(exported).graph))
    given = [name for name in names if name.startswith("x")]
    session = make_session(exported + graph_outputs(tuple(name for name in names if name not in given)))
    inner = [name for name in names if name not in given]
    lows, highs = [], []
    for arrays in inputs:
        feed = {f"x{i}": x for i, x in enumerate(arrays)}
        values = [*(feed[name] for name in given), *session.run(inner, feed)]
        lows.append([x.min() for x in values])
        highs.append([x.max() for x in values])
    low, high = np.mean(lows, 0), np.mean(highs, 0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate([*given, *inner])}


def quantise(exported: bytes, ranges: Ranges, *, levels: int = MOST) -> bytes:
    """An exported network in eight bits. Raises UserError where a range is missing.

    levels : of the weights, to either side, at most.
    """
    model = onnx.load_from_string(exported)
    graph = model.graph
    _drop_relu(graph)
    values = _quantised_values(graph)
    if missing := values - ranges.keys():
        raise UserError(f"The ranges for eight bits are another network's ({min(missing)} is missing).")
    scales = {name: _add_activation(graph, name, ranges[name]) for name in sorted(values)}
    constants = {c.name: c for c in graph.initializer}
    nodes: list[NodeProto] = []
    for node in list(graph.node):
        for i, name in enumerate(node.input):
            if name in scales and (node.op_type in QUANTISED or name not in {x.name for x in graph.input}):
                node.input[i] = f"{name}.dq"
        if node.op_type == "Conv":
            nodes += _quantise_weights(graph, node, constants, scales[node.input[0].removesuffix(".dq")], levels)
        nodes.append(node)
        nodes += [n for name in node.output if name in scales for n in _q_and_dq(name)]
    first = [n for x in graph.input if x.name in scales for n in _q_and_dq(x.name)]
    del graph.node[:]
    graph.node.extend([*first, *nodes])
    _drop_unread_constants(graph)
    outputs = {o.name for o in graph.output}
    assert not outputs & scales.keys(), "outputs stay as they are"
    return model.SerializeToString()


def _quantised_values(graph: onnx.GraphProto) -> set[str]:
    """The values that are quantised: what the nodes of QUANTISED read, but for constants, and what they give, after
    its ReLU."""
    constants = {c.name for c in graph.initializer} | {n.output[0] for n in graph.node if n.op_type == "Constant"}
    through = {n.input[0]: n.output[0] for n in graph.node if n.op_type == "Relu"}
    read = {n.input[i] for n in graph.node if n.op_type in QUANTISED for i in range(_operands(n))}
    given = {through.get(n.output[0], n.output[0]) for n in graph.node if n.op_type in QUANTISED}
    return (read | given) - constants - {""}


def _operands(node: NodeProto) -> int:
    """How many of its inputs are values."""
    return 1 if node.op_type in ("Conv", "Resize") else len(node.input)


def _drop_relu(graph: onnx.GraphProto) -> None:
    """A ReLU after a quantised node goes; what it gave, that node gives. Its range begins at 0."""
    maker = {name: node for node in graph.node for name in node.output}
    for node in [n for n in graph.node if n.op_type == "Relu"]:
        source = maker.get(node.input[0])
        if source is not None and source.op_type in QUANTISED:
            source.output[0] = node.output[0]
            graph.node.remove(node)


def _drop_unread_constants(graph: onnx.GraphProto) -> None:
    """The float weights, which integers stand for now."""
    read = {name for node in graph.node for name in node.input}
    constants = [constant for constant in graph.initializer if constant.name in read]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _add_activation(graph: onnx.GraphProto, name: str, bounds: tuple[float, float]) -> float:
    """Scale and zero point of a value as constants; the scale."""
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    scale = max((high - low) / 255, 1e-8)
    zero = int(np.clip(np.round(-low / scale), 0, 255))
    _add(graph, f"{name}.s", np.float32(scale))
    _add(graph, f"{name}.z", np.uint8(zero))
    return scale


def _q_and_dq(name: str) -> list[NodeProto]:
    constants = [f"{name}.s", f"{name}.z"]
    return [
        helper.make_node("QuantizeLinear", [name, *constants], [f"{name}.q"]),
        helper.make_node("DequantizeLinear", [f"{name}.q", *constants], [f"{name}.dq"]),
    ]


def _quantise_weights(
    graph: onnx.GraphProto, node: NodeProto, constants: dict[str, TensorProto], scale: float, levels: int
) -> list[NodeProto]:
    """A convolution's weights as int8 and its bias as int32, `scale` that of its input; what brings them back."""
    weight = numpy_helper.to_array(constants[node.input[1]])
    steps = np.maximum(_largest_pair(weight) / levels, 1e-12).astype(np.float32)
    whole = np.round(weight / steps.reshape(-1, *(1,) * (weight.ndim - 1))).clip(-levels, levels).astype(np.int8)
    back = [_add_constant(graph, node.input[1], whole, steps)]
    node.input[1] = back[0].output[0]
    if len(node.input) > 2 and node.input[2]:
        bias, steps = numpy_helper.to_array(constants[node.input[2]]), steps * np.float32(scale)
        limit = 2**31 - 1
        back.append(
            _add_constant(graph, node.input[2], np.round(bias / steps).clip(-limit, limit).astype(np.int32), steps)
        )
        node.input[2] = back[1].output[0]
    return back


def _largest_pair(weight: np.ndarray) -> np.ndarray:
    """The largest weight, or sum of two of one sign in neighbouring input channels, by output: (O, I, …) -> (O,).

    Without VNNI a processor sums two products of a byte and a weight in 16 bits, those of the channels 0 and 1, 2 and
    3, …: it overflows where two weights are more than 128 steps together.
    """
    rows = np.moveaxis(weight, 1, -1).reshape(len(weight), -1)
    rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    pairs = [x[:, ::2] + x[:, 1::2] for x in (rows.clip(min=0), -rows.clip(max=0))]
    return np.max(pairs, (0, 2))


def _add_constant(graph: onnx.GraphProto, name: str, whole: np.ndarray, steps: np.ndarray) -> NodeProto:
    """A constant in whole steps, by output channel, and the node that brings it back."""
    _add(graph, f"{name}.q", whole)
    _add(graph, f"{name}.s", steps)
    _add(graph, f"{name}.z", np.zeros(len(steps), whole.dtype))
    return helper.make_node("DequantizeLinear", [f"{name}.q", f"{name}.s", f"{name}.z"], [f"{name}.dq"], axis=0)


def _add(graph: onnx.GraphProto, name: str, array: np.ndarray | np.generic) -> None:
    graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
