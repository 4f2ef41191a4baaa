"""The backbone run by onnxruntime: float32, the same numbers up to rounding, on many processors faster than PyTorch's float32."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from torch import nn

from lvd_live.person.onnx import make_session


class OnnxBackbone(nn.Module):
    """A backbone (see `network.Preset`), exported for each size of picture when the first one comes (a fifth of a second for `live`). On the CPU, on as many threads as PyTorch has then."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone, self.stride, self.channels, self.whole = (
            backbone,
            backbone.stride,
            backbone.channels,
            backbone.whole,
        )
        self.extra = [
            (channels, stride)
            for channels, stride in (
                (getattr(backbone, "conditioning_channels", 0), self.stride),
                (getattr(backbone, "context_channels", 0), 16),
            )
            if channels
        ]
        self.sessions: dict[int, object] = {}

    def forward(
        self, picture: torch.Tensor, conditioning: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        B, _, _, S = picture.shape
        given = [
            x if x is not None else picture.new_zeros(B, C, S // stride, S // stride)
            for x, (C, stride) in zip((conditioning, context), self.extra)
        ]
        inputs = [picture, *given]
        if S not in self.sessions:
            self.sessions[S] = make_session(self._export(inputs), threads=torch.get_num_threads())
        features, *whole = self.sessions[S].run(
            None, {f"x{i}": np.ascontiguousarray(x.numpy()) for i, x in enumerate(inputs)}
        )
        return torch.from_numpy(features).permute(0, 3, 1, 2), torch.from_numpy(whole[0]) if whole else None

    def _export(self, inputs: list[torch.Tensor]) -> bytes:
        names, file = [f"x{i}" for i in range(len(inputs))], io.BytesIO()
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # this exporter needs no further package, and is called old for it
            torch.onnx.export(
                _ChannelsLast(self.backbone),
                tuple(inputs),
                file,
                dynamo=False,
                opset_version=17,
                input_names=names,
                dynamic_axes={name: {0: "batch"} for name in names},
            )
        return file.getvalue()


class _ChannelsLast(nn.Module):
    """Features as (B, S, S, C), as the field reads them, and the whole if there is one."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features, whole = self.backbone(*inputs)
        return (features.permute(0, 2, 3, 1),) if whole is None else (features.permute(0, 2, 3, 1), whole)
