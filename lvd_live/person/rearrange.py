"""The landmark networks that models/blazepose holds, made from the originals as tf2onnx converted them, their
weights stored as float16 (`python -m lvd_live bake --finder DIR`).

What they compute stays (see models/README.md, "The landmark networks"); how, suits onnxruntime's blocked layout,
which wants channels in multiples of 16 and is left at every Pad, Transpose and lone Clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from lvd_live.errors import UserError
from lvd_live.paths import MODELS
from lvd_live.person.levels import store_as_levels
from lvd_live.storage.files import write_whole

NARROW, WIDE = 8, 16  # channels of the mask decoder, before and after
MASK = 256  # pixels along its side, twice those of the mask that comes out
HEAD = "mask_head.npz"
LAYERS = ("first", "second", "third", "fourth", "last")  # of the mask head
DEPTHWISE = ("second", "fourth")

Head = Mapping[str, np.ndarray]
"""A small network in the place of the mask decoder's last stage, which works on 256 × 256 pixels for a mask of half as
many: by layer its weight and bias, "first_weight" (WIDE, NARROW, 3, 3) and so on, float16. It is trained to give the
same mask (`synth.bake_mask_head`): convolutions of 3 × 3 pixels to WIDE channels, channel by channel, 1 × 1, channel by
channel, and 1 × 1 to the logit, a ReLU after each of the first three."""


class Rearranged:
    """A landmark network (`model`, changed in place), and who makes and reads its values.

    head : see `Head`, or None.
    """

    def __init__(self, model: ModelProto, head: Head | None = None):
        self.model, self.graph = model, model.graph
        self.shapes = {
            v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
            for v in onnx.shape_inference.infer_shapes(model).graph.value_info
        }
        self.constants = {c.name: c for c in self.graph.initializer}
        self.maker = {name: node for node in self.graph.node for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.before_last_stage = next(
            n.input[0] for n in self.nodes("Resize") if self.shapes[n.output[0]] == [1, NARROW, MASK, MASK]
        )  # of the mask decoder: the value that it enlarges
        self.widen_mask_decoder()
        if head is None:
            self.part_last_convolution()
        else:
            self.put_mask_head(head)
        self.clip_after_convolutions()
        if head is None:
            self.halve_mask()
        self.pad_in_convolutions()
        self.drop_unused()
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, strict_mode=True)

    def widen_mask_decoder(self) -> None:
        """8 channels become 16; the new ones are zeros."""
        for node in self.nodes("Conv"):
            weight, bias = self.array(node.input[1]), self.array(node.input[2])
            group = next(a for a in node.attribute if a.name == "group")
            out, into = weight.shape[0] == NARROW, weight.shape[1] == NARROW and group.i == 1
            if out:
                self.replace(node.input[2], np.concatenate([bias, np.zeros_like(bias)]))
                weight = np.concatenate([weight, np.zeros_like(weight)])
            if into:
                weight = np.concatenate([weight, np.zeros_like(weight)], 1)
            if out or into:
                self.replace(node.input[1], weight)
            if group.i == NARROW:
                group.i = WIDE

    def part_last_convolution(self) -> None:
        """The mask's last convolution goes channel by channel, then sums them up: a 3 × 3 convolution to one channel
        has no blocked layout.
        """
        last = self.maker[self.maker["Identity_2"].input[0]]
        taps, ones = (
            self.constant("mask_taps", self.array(last.input[1])[0][:, None].astype(np.float32)),
            self.constant("mask_sum", np.ones((1, WIDE, 1, 1), np.float32)),
        )
        self.put(
            last,
            helper.make_node(
                "Conv",
                [last.input[0], taps],
                ["mask_by_channel"],
                kernel_shape=[3, 3],
                strides=[1, 1],
                pads=[1, 1, 1, 1],
                group=WIDE,
            ),
            helper.make_node(
                "Conv", ["mask_by_channel", ones, last.input[2]], [last.output[0]], kernel_shape=[1, 1], group=1
            ),
        )

    def put_mask_head(self, head: Head) -> None:
        """The mask decoder's last stage goes; a `Head` gives the mask, (1, 128, 128, 1) probabilities."""
        value, nodes = self.before_last_stage, []
        for layer in LAYERS:
            weight = head[f"{layer}_weight"].astype(np.float32)
            if layer == "first":
                weight = np.concatenate([weight, np.zeros_like(weight)], 1)
            side = weight.shape[-1]
            names = [self.constant(f"head_{layer}_{part}", array) for part, array in
                     (("weight", weight), ("bias", head[f"{layer}_bias"].astype(np.float32)))]  # fmt: skip
            where: dict[str, Any] = {
                "kernel_shape": [side, side],
                "pads": [side // 2] * 4,
                "group": WIDE if layer in DEPTHWISE else 1,
            }
            nodes.append(helper.make_node("Conv", [value, *names], [f"head_{layer}"], **where))
            value = f"head_{layer}"
            if layer in LAYERS[:3]:
                nodes.append(helper.make_node("Relu", [value], [f"{value}_relu"]))
                value = f"{value}_relu"
        shape = (1, MASK // 2, MASK // 2, 1)
        half = self.constant("mask_128", np.array(shape, np.int64))
        nodes.append(helper.make_node("Reshape", [value, half], ["head_mask"]))
        nodes.append(helper.make_node("Sigmoid", ["head_mask"], ["Identity_2"]))
        self.put(self.maker["Identity_2"], *nodes)
        self.set_shape(next(o for o in self.graph.output if o.name == "Identity_2"), shape)
        self.drop_unused()

    def clip_after_convolutions(self) -> None:
        """A Clip of a sum gets a convolution by one before it, in the mask decoder: onnxruntime takes the Clip into
        that, and stays in its layout.
        """
        ones = self.constant("by_one", np.ones((WIDE, 1, 1, 1), np.float32))
        for node in self.nodes("Clip"):
            value = node.input[0]
            if self.maker[value].op_type == "Add" and self.shapes[value][1] == NARROW:
                self.graph.node.insert(
                    list(self.graph.node).index(node),
                    helper.make_node("Conv", [value, ones], [f"{value}_by_one"], kernel_shape=[1, 1], group=WIDE),
                )
                node.input[0] = f"{value}_by_one"

    def halve_mask(self) -> None:
        """The mask, logits (1, 256, 256, 1), becomes the mean probability of 2 × 2 pixels, (1, 128, 128, 1)."""
        reshape = self.maker["Identity_2"]
        plane, picture, half = (
            self.constant(f"mask_{i}", np.array(s, np.int64))
            for i, s in enumerate(([1, MASK, MASK], [1, 1, MASK, MASK], [1, MASK // 2, MASK // 2, 1]))
        )
        self.put(
            reshape,
            helper.make_node("Reshape", [reshape.input[0], plane], ["mask_logits"]),
            helper.make_node("Sigmoid", ["mask_logits"], ["mask_256"]),
            helper.make_node("Reshape", ["mask_256", picture], ["mask_map"]),
            helper.make_node("AveragePool", ["mask_map"], ["mask_128"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Reshape", ["mask_128", half], ["Identity_2"]),
        )
        self.set_shape(next(o for o in self.graph.output if o.name == "Identity_2"), (1, MASK // 2, MASK // 2, 1))

    def pad_in_convolutions(self) -> None:
        """Paddings belong to the convolutions after them. The picture's was before its Transpose, which goes, and
        1/255 goes into the weights: the input is (1, 3, 256, 256), 0 to 255.
        """
        for pad in self.nodes("Pad"):
            amounts = self.array(pad.input[1])
            (conv,) = self.readers[pad.output[0]]
            if conv.op_type == "Add":  # it adds channels
                continue
            if conv.op_type == "Transpose":
                transpose, (conv,) = conv, self.readers[conv.output[0]]
                amounts = amounts[[0, 3, 1, 2, 4, 7, 5, 6]]
                conv.input[1] = self.constant("stem", self.array(conv.input[1]).astype(np.float32) / 255)
                self.set_shape(self.graph.input[0], (1, 3, 256, 256))
                self.graph.node.remove(transpose)
            conv.input[0] = pad.input[0]
            for attribute in [a for a in conv.attribute if a.name in ("pads", "auto_pad")]:
                conv.attribute.remove(attribute)  # of the originals, none or zeros
            conv.attribute.append(helper.make_attribute("pads", [int(amounts[i]) for i in (2, 3, 6, 7)]))
            self.graph.node.remove(pad)

    def drop_unused(self) -> None:
        read = {o.name for o in self.graph.output}
        for node in reversed(list(self.graph.node)):  # each after its readers
            if read.isdisjoint(node.output):
                self.graph.node.remove(node)
            else:
                read.update(node.input)
        read = {name for node in self.graph.node for name in node.input}
        for constant in [c for c in self.graph.initializer if c.name not in read]:
            self.graph.initializer.remove(constant)

    def nodes(self, kind: str) -> list[NodeProto]:
        return [node for node in self.graph.node if node.op_type == kind]

    def stored(self, name: str) -> str:
        """The name of the constant behind a value: weights are float16 and cast."""
        while name not in self.constants:
            name = self.maker[name].input[0]
        return name

    def array(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self.constants[self.stored(name)])

    def replace(self, name: str, array: np.ndarray) -> None:
        self.constants[self.stored(name)].CopyFrom(numpy_helper.from_array(array, self.stored(name)))

    def constant(self, name: str, array: np.ndarray) -> str:
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def put(self, old: NodeProto, *new: NodeProto) -> None:
        """Nodes in the place of another."""
        at = list(self.graph.node).index(old)
        self.graph.node.remove(old)
        for i, node in enumerate(new):
            self.graph.node.insert(at + i, node)

    @staticmethod
    def set_shape(value: onnx.ValueInfoProto, shape: tuple[int, ...]) -> None:
        for dimension, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            dimension.dim_value = size


NAME, HEAVY = "pose_landmarks_full.onnx", "pose_landmarks_heavy.onnx"


def rearrange_network(source: Path, out: Path) -> None:
    """Rearrange the landmark networks of one folder into another; the heavy one, where it is there, with weights of
    8 bits, the other with the mask head that ships. UserError where the other is missing, or one is not the original.
    """
    for name in (NAME, HEAVY) if (source / HEAVY).is_file() else (NAME,):
        model = rearranged(source / name, shipped_head() if name == NAME else None).model
        if name == HEAVY:
            store_as_levels(model.graph)
            onnx.checker.check_model(model)
        write_whole(out / name, model.SerializeToString())


def shipped_head() -> Head:
    """The mask head in models/blazepose."""
    with np.load(MODELS / "blazepose" / HEAD, allow_pickle=False) as file:
        return dict(file)


def rearranged(path: Path, head: Head | None = None) -> Rearranged:
    """An original network from its file, rearranged. Raises UserError where it is none."""
    try:
        model = onnx.load(path)
    except Exception as error:  # onnx raises protobuf's errors, too
        raise UserError(f"{path} cannot be read as an ONNX network ({type(error).__name__}).") from error
    if [d.dim_value for i in model.graph.input for d in i.type.tensor_type.shape.dim] != [1, 256, 256, 3]:
        raise UserError(f"{path} is not the original network: that takes a picture of (1, 256, 256, 3).")
    return Rearranged(model, head)
