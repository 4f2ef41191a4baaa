"""A network made ready to run: batch norm folded into the convolutions, the field folded, on CPU or CUDA."""

from __future__ import annotations

import contextlib
import copy
import ctypes
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lvd_live.errors import UserError
from lvd_live.lvd.coarse import Coarse
from lvd_live.lvd.descent import Descent, descend
from lvd_live.lvd.folded_field import FoldedField, PreparedCrop
from lvd_live.lvd.network import LANDMARKS, LVD, AlignedFeatures, network_input
from lvd_live.lvd.presets import ENGINES, INT8
from lvd_live.lvd.runtime import onednn
from lvd_live.lvd.runtime.autoselect import fastest
from lvd_live.lvd.runtime.onnx import OnnxBackbone
from lvd_live.lvd.runtime.ranges import ranges_of
from lvd_live.lvd.uncertainty import spread

M = TypeVar("M", bound=nn.Module)
ON_ONNXRUNTIME = {"onnxruntime": "float32", INT8: INT8}  # engines whose backbone onnxruntime runs, and in what


def fold_batch_norm(module: M) -> M:
    """Every convolution followed by a batch norm as one convolution: exact, in evaluation mode. Changes `module`."""
    for child in module.children():
        fold_batch_norm(child)
    if isinstance(module, nn.Sequential):
        for i in range(len(module) - 1):
            conv, norm = module[i], module[i + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[i], module[i + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return module


def keep_memory() -> None:
    """Let glibc keep what is freed for the next frame: fresh pages cost more than many a layer. No-op elsewhere."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: all of it comes from the heap
        libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD: the heap does not shrink


class Runtime:
    """Encode a crop once, descend on it many times.

    device : "cpu", "cuda" or another of PyTorch's; "auto" is CUDA where there is one.
    engine : one of ENGINES, or "auto": on a CPU the fastest of them (see `autoselect`), on CUDA bfloat16 where it has
        that. "float32" and "onnxruntime", which runs the backbone on the CPU, give the network's own numbers up to
        rounding: batch norm is folded, and the backbone's last layer and the field's first are one. "bfloat16" is an
        approximation: backbone and second layer of the field are bfloat16, positions and the rest of the field stay
        float32; on held-out people the mesh moves by 0.9 mm on average. "int8" is one, too: onnxruntime runs the
        backbone in eight bits (see `int8`).
    pack : use oneDNN's kernels where there are any, see `onednn`.
    weights : the sha256 of the network's file, or "" for one that is in none: see `OnnxBackbone`.
    Raises ValueError for an unknown engine, UserError for one that does not run here.
    """

    def __init__(
        self, network: LVD, *, device: str = "auto", engine: str = "auto", pack: bool = True, weights: str = ""
    ):
        self.device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        self.engine = _choose_engine(network, self.device, engine)
        self.dtype = torch.bfloat16 if self.engine == "bfloat16" else torch.float32
        self.size = network.preset.size
        self.network = fold_batch_norm(copy.deepcopy(network).eval())
        self.field = FoldedField(network.field)
        assert self.field.w_features is not None
        self.network.backbone = self.network.backbone.absorb(self.field.w_features)
        self.field.w_features = None
        self._move()
        if pack and onednn.available(self.device):
            self._pack()
        if self.engine in ON_ONNXRUNTIME:
            ranges = ranges_of(network) if self.engine == INT8 else None
            self.network.backbone = OnnxBackbone(self.network.backbone, ranges, weights)

    def _move(self) -> None:
        """To the device, and to the dtypes that the engine multiplies in."""
        # PyTorch documents memory_format for Module.to, but its type stub leaves it out.
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.field.to(self.device)
        self.network.backbone.to(self.dtype)
        self.field.dtype = self.dtype
        self.field.layer2.to(self.dtype)

    def _pack(self) -> None:
        """Pack weights for oneDNN."""
        keep_memory()
        try:
            if self.engine not in ON_ONNXRUNTIME:
                onednn.pack(self.network.backbone)
            self.field.layer2 = onednn.pack(self.field.layer2)
        except RuntimeError as error:
            raise UserError(
                f"This processor does not run the network in {self.engine}: choose another engine."
            ) from error

    @property
    def provider(self) -> str:
        """What runs the network, in words."""
        if self.engine in ON_ONNXRUNTIME:
            return f"onnxruntime cpu {ON_ONNXRUNTIME[self.engine]}"
        return f"torch {self.device.type} {self.engine}"

    @torch.inference_mode()
    def encode(
        self,
        picture: np.ndarray,
        mask: np.ndarray,
        landmarks: np.ndarray | None = None,
        maps: tuple[np.ndarray, ...] | None = None,
    ) -> PreparedCrop:
        """Encode crops, with conditioning where it is given.

        picture : (B, S, S, 3) uint8 RGB.
        mask : (B, S, S) uint8, 255 on the person.
        landmarks : (B, 33, 4) float32, crop frame, see `person.landmarks.landmarks_in_crop`.
        maps : the arrays of `AlignedFeatures`.
        """
        points = None if landmarks is None else torch.from_numpy(landmarks[:, list(LANDMARKS)]).to(self.device)
        aligned = None if maps is None else AlignedFeatures(*(torch.from_numpy(m) for m in maps)).to(self.device)
        return self.encode_tensors(
            torch.from_numpy(picture).to(self.device), torch.from_numpy(mask).to(self.device), points, aligned
        )

    def encode_tensors(
        self, picture: torch.Tensor, mask: torch.Tensor, landmarks: torch.Tensor | None, maps: AlignedFeatures | None
    ) -> PreparedCrop:
        """`encode` of tensors on the device; landmarks (B, L, 4) are those of `network.LANDMARKS` alone."""
        return self.field.prepare(self.network.encode(network_input(picture, mask).to(self.dtype), landmarks, maps))

    @torch.inference_mode()
    def descend(
        self,
        prepared: PreparedCrop,
        start: torch.Tensor | None,
        *,
        iterations: int,
        tolerance: float = 0.0,
        coarse: Coarse | None = None,
    ) -> Descent:
        """`descent.descend` from `start` (B, K, 3), crop frame; None is the crop's centre.

        coarse : takes the first iteration from a mesh.
        """
        first = None
        if start is None:
            start = torch.zeros(len(prepared), 3, device=self.device)
        elif coarse is not None:
            first = partial(coarse.displacement, self.field, prepared)
        relaxation = self.network.preset.relaxation
        return descend(
            self.field,
            prepared,
            start,
            iterations=iterations,
            tolerance=tolerance,
            relaxation=relaxation,
            first=first,
        )

    @torch.inference_mode()
    def uncertainty(
        self, prepared: PreparedCrop, vertices: torch.Tensor, offsets: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """See `uncertainty.spread`."""
        return spread(self.field, prepared, vertices, offsets, targets)

    @torch.inference_mode()
    def dense(self, vertices: torch.Tensor) -> np.ndarray:
        """The body's vertices (B, N, 3) float32 from those that descend (B, K, 3)."""
        return self.network.dense(vertices).float().cpu().numpy()


def _choose_engine(network: LVD, device: torch.device, engine: str) -> str:
    """One of ENGINES that `engine`, which may be "auto", stands for on the device."""
    if engine == "auto" and device.type == "cpu":
        engine = fastest(network, lambda name: Runtime(network, device="cpu", engine=name))
    elif engine == "auto":
        engine = "bfloat16" if onednn.has_bfloat16(device) else "float32"
    if engine not in ENGINES:
        raise ValueError(f"engine must be auto or one of {', '.join(ENGINES)}, not {engine}")
    if engine in ON_ONNXRUNTIME and device.type != "cpu":
        raise UserError("onnxruntime runs the network on the CPU alone: choose another engine.")
    return engine
