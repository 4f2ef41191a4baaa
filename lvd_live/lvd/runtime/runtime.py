"""A network made ready to run: batch norm folded into the convolutions, the field folded, on CPU or CUDA."""

from __future__ import annotations

import contextlib
import copy
import ctypes

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lvd_live.errors import UserError
from lvd_live.lvd.descent import Descent, descend
from lvd_live.lvd.folded_field import FoldedField, PreparedCrop
from lvd_live.lvd.network import LANDMARKS, LVD, AlignedFeatures, network_input
from lvd_live.lvd.presets import ENGINES
from lvd_live.lvd.runtime import onednn
from lvd_live.lvd.runtime.autoselect import fastest
from lvd_live.lvd.runtime.onnx import OnnxBackbone
from lvd_live.lvd.uncertainty import spread


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Every convolution followed by a batch norm as one convolution: exact, in evaluation mode. Changes and returns `module`."""
    for child in module.children():
        fold_batch_norm(child)
    if isinstance(module, nn.Sequential):
        for i in range(len(module) - 1):
            if isinstance(module[i], nn.Conv2d) and isinstance(module[i + 1], nn.BatchNorm2d):
                module[i], module[i + 1] = fuse_conv_bn_eval(module[i], module[i + 1]), nn.Identity()
    return module


def keep_memory() -> None:
    """Let the C library keep what is freed for the next frame: fresh pages cost more than many a layer. Only glibc can be told."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: all of it comes from the heap
        libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD: the heap does not shrink


class Runtime:
    """See a crop once, descend on it many times.

    engine : "float32"; "bfloat16" for the backbone and the field's second layer, while positions and the rest of the field stay float32 (an approximation: on held-out people the mesh moves by 0.9 mm on average);
    "onnxruntime", which runs the backbone in float32 on the CPU; "auto": on a CPU the fastest of them, measured once (see `engines`), on CUDA bfloat16 where it has that. But for bfloat16 the numbers are the network's own,
    up to rounding: batch norm is folded, the backbone's last layer and the field's first are one. pack: see `packed`.
    """

    def __init__(self, network: LVD, *, device: str = "auto", engine: str = "auto", pack: bool = True):
        self.device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        if engine == "auto" and self.device.type == "cpu":
            engine = fastest(network, lambda name: Runtime(network, device="cpu", engine=name))
        elif engine == "auto":
            engine = "bfloat16" if onednn.has_bfloat16(self.device) else "float32"
        if engine not in ENGINES:
            raise ValueError(f"engine must be auto or one of {', '.join(ENGINES)}, not {engine}")
        if engine == "onnxruntime" and self.device.type != "cpu":
            raise UserError("onnxruntime runs the network on the CPU alone: choose another engine.")
        self.engine = engine
        self.dtype, self.size = torch.bfloat16 if engine == "bfloat16" else torch.float32, network.preset.size
        self.network = fold_batch_norm(copy.deepcopy(network).eval())
        self.field = FoldedField(network.field)
        self.network.backbone = self.network.backbone.absorb(self.field.w_features)
        self.field.w_features = None
        self.network.to(self.device, memory_format=torch.channels_last)
        self.field.to(self.device)
        self.network.backbone.to(self.dtype)
        self.field.dtype = self.dtype
        self.field.layer2.to(self.field.dtype)
        if pack and onednn.available(self.device):
            keep_memory()
            try:
                if engine != "onnxruntime":
                    onednn.pack(self.network.backbone)
                self.field.layer2 = onednn.pack(self.field.layer2)
            except RuntimeError as error:
                raise UserError(
                    f"This processor does not run the network in {engine}: choose another engine."
                ) from error
        if engine == "onnxruntime":
            self.network.backbone = OnnxBackbone(self.network.backbone)

    @property
    def provider(self) -> str:
        """What runs the network, in words."""
        return "onnxruntime cpu float32" if self.engine == "onnxruntime" else f"torch {self.device.type} {self.engine}"

    @torch.inference_mode()
    def encode(
        self,
        picture: np.ndarray,
        mask: np.ndarray,
        landmarks: np.ndarray | None = None,
        maps: tuple[np.ndarray, ...] | None = None,
    ) -> PreparedCrop:
        """Crops (B, S, S, 3) and (B, S, S) uint8, landmarks (B, 33, 4) float32 from `landmarks_in_crop` or None, feature maps (see `AlignedFeatures`) or None -> what `descend` reads."""
        points = None if landmarks is None else torch.from_numpy(landmarks[:, list(LANDMARKS)]).to(self.device)
        told = None if maps is None else AlignedFeatures(*(torch.from_numpy(m) for m in maps)).to(self.device)
        return self.encode_tensors(
            torch.from_numpy(picture).to(self.device), torch.from_numpy(mask).to(self.device), points, told
        )

    def encode_tensors(
        self, picture: torch.Tensor, mask: torch.Tensor, landmarks: torch.Tensor | None, maps: AlignedFeatures | None
    ) -> PreparedCrop:
        """`encode`, of what is on the device already; landmarks (B, L, 4) of `network.LANDMARKS` alone."""
        return self.field.prepare(self.network.encode(network_input(picture, mask).to(self.dtype), landmarks, maps))

    @torch.inference_mode()
    def descend(
        self, prepared: PreparedCrop, start: torch.Tensor | None, *, iterations: int, tolerance: float = 0.0
    ) -> Descent:
        """Descend from `start` (B, K, 3), or from the crop's centre where it is None. See `descent.descend`."""
        if start is None:
            start = torch.zeros(len(prepared), 3, device=self.device)
        return descend(
            self.field,
            prepared,
            start,
            iterations=iterations,
            tolerance=tolerance,
            relaxation=self.network.preset.relaxation,
        )

    @torch.inference_mode()
    def uncertainty(
        self, prepared: PreparedCrop, vertices: torch.Tensor, offsets: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """See `uncertainty.spread`."""
        return spread(self.field, prepared, vertices, offsets, targets)

    @torch.inference_mode()
    def dense(self, vertices: torch.Tensor) -> np.ndarray:
        """The body's vertices (B, N, 3) float32 from those that descend."""
        return self.network.dense(vertices).float().cpu().numpy()
