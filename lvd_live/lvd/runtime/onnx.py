"""A backbone run by onnxruntime: float32, equal up to rounding, on many CPUs faster than PyTorch's float32; or, where
ranges are given, eight bits, see `int8`."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnxruntime as ort
import torch
from torch import nn

from lvd_live.lvd.backbones.base import CONTEXT_STRIDE, Backbone
from lvd_live.lvd.runtime.kept import kept, name_of
from lvd_live.lvd.runtime.ranges import Ranges
from lvd_live.person.onnx import make_session


class OnnxBackbone(Backbone):
    """A backbone on the CPU, on as many threads as PyTorch has when a crop of a new size comes first.

    It is exported then, once for each size.

    ranges : for eight bits, or None. weights : the sha256 of their file, if what is made of them is to be kept for the
    next start, see `kept`; else "".
    """

    def __init__(self, backbone: Backbone, ranges: Ranges | None = None, weights: str = ""):
        super().__init__()
        self.ranges, self.weights = ranges, weights
        self.backbone = backbone
        self.stride, self.channels, self.whole = backbone.stride, backbone.channels, backbone.whole
        self.conditioning_channels, self.context_channels = backbone.conditioning_channels, backbone.context_channels
        self.sessions: dict[int, ort.InferenceSession] = {}

    def forward(
        self, picture: torch.Tensor, conditioning: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        inputs = [picture]
        for maps, channels, stride in (
            (conditioning, self.conditioning_channels, self.stride),
            (context, self.context_channels, CONTEXT_STRIDE),
        ):
            if channels:
                cells = picture.shape[-1] // stride
                inputs.append(picture.new_zeros(len(picture), channels, cells, cells) if maps is None else maps)
        size = picture.shape[-1]
        if size not in self.sessions:
            self.sessions[size] = make_session(self._network(inputs), threads=torch.get_num_threads())
        given = {f"x{i}": np.ascontiguousarray(x.numpy()) for i, x in enumerate(inputs)}
        features, *whole = self.sessions[size].run(None, given)
        return torch.from_numpy(features).permute(0, 3, 1, 2), torch.from_numpy(whole[0]) if whole else None

    def _network(self, inputs: list[torch.Tensor]) -> bytes:
        """What onnxruntime runs, for inputs of these shapes; the one kept, where there is one."""
        if not self.weights:
            return self._made(inputs)
        name = name_of(self.weights, [tuple(x.shape[1:]) for x in inputs], self.ranges)
        return kept(name, lambda: self._made(inputs))

    def _made(self, inputs: list[torch.Tensor]) -> bytes:
        exported = export(self.backbone, inputs)
        if self.ranges is None:
            return exported
        from lvd_live.lvd.runtime.int8 import quantise  # here, because it brings onnx

        return quantise(exported, self.ranges)


def export(backbone: Backbone, inputs: list[torch.Tensor]) -> bytes:
    """A backbone as an ONNX network for inputs of these shapes, x0, x1, …, whose batch may be of any size.

    Its outputs are the features (B, S, S, C) and, where there is one, the vector about the whole.
    """
    names, file = [f"x{i}" for i in range(len(inputs))], io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # this exporter is called outdated; the new one needs more packages
        torch.onnx.export(
            _ChannelsLast(backbone),
            tuple(inputs),
            file,  # type: ignore[arg-type]  # the stub knows file names only, this exporter writes to any file
            dynamo=False,
            opset_version=17,
            input_names=names,
            dynamic_axes={name: {0: "batch"} for name in names},
        )
    return file.getvalue()


class _ChannelsLast(nn.Module):
    """Features as (B, S, S, C), as the field reads them, and the vector about the whole if there is one."""

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features, whole = self.backbone(*inputs)
        features = features.permute(0, 2, 3, 1)
        return (features,) if whole is None else (features, whole)
