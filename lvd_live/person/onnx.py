"""Opening an ONNX network, on the GPU where there is one, with a sentence where it cannot be opened."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lvd_live.errors import UserError

if TYPE_CHECKING:  # the window shows itself without: the finder's thread imports it
    import onnxruntime as ort

log = logging.getLogger(__name__)
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_SILENT, _WARNING = 4, 2  # onnxruntime's severities


def open_network(
    path: Path, *, providers: str = "auto", threads: int = 1, also: tuple[str, ...] = ()
) -> ort.InferenceSession:
    """The network in `path`. `providers` is "auto" (CUDA where it works, else the CPU), "cuda" or "cpu". `also` names
    inner values, float32, that are to be outputs too.

    Raises UserError when the file is missing or damaged, or when "cuda" is asked for and does not work.
    """
    if providers not in ("auto", "cuda", "cpu"):
        raise ValueError(f"providers must be auto, cuda or cpu, not {providers!r}")
    if not path.is_file():
        raise UserError(f"The network file {path} is missing: restore the models folder of the repository.")
    wanted = [_CUDA, _CPU] if providers == "cuda" or (providers == "auto" and _cuda_is_likely()) else [_CPU]
    try:
        session = make_session(path.read_bytes() + graph_outputs(also), wanted, threads)
    except Exception as error:  # onnxruntime raises several private classes for a file that is no network
        log.debug("onnxruntime: %s", error)
        raise UserError(
            f"The network file {path} is damaged: restore it from the repository (its sha256 is in models/README.md)."
        ) from None
    if providers == "cuda" and provider_of(session) != "cuda":
        raise UserError(
            "CUDA was asked for, but onnxruntime cannot use it here: choose auto or cpu, or install onnxruntime-gpu "
            "and a driver."
        )
    return session


def make_session(network: bytes, providers: Sequence[str] = (_CPU,), threads: int = 1) -> ort.InferenceSession:
    """A session for a network in memory, on the first of onnxruntime's providers that works; its own errors pass."""
    import onnxruntime as ort

    ort.disable_telemetry_events()  # Windows' own; for the rest see lvd_live/__init__.py
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # two pools of threads that wait by spinning starve each other
    options.log_severity_level = _SILENT
    ort.set_default_logger_severity(
        _SILENT
    )  # without a GPU the CUDA provider complains there and not in the session's log
    try:
        return ort.InferenceSession(network, options, providers=list(providers))
    finally:
        ort.set_default_logger_severity(_WARNING)


def graph_outputs(names: tuple[str, ...]) -> bytes:
    """An ONNX model that has nothing but outputs, float32.

    Appended to another's bytes it adds them: concatenated protobuf messages are one.
    """

    def field(number: int, payload: bytes) -> bytes:
        length, size = len(payload), b""
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        return bytes([number << 3 | 2]) + size + bytes([length]) + payload

    float32 = field(
        2, field(1, b"\x08\x01")
    )  # ValueInfoProto.type = TypeProto(tensor_type = Tensor(elem_type = FLOAT))
    outputs = b"".join(field(12, field(1, name.encode()) + float32) for name in names)  # GraphProto.output
    return field(7, outputs) if names else b""  # ModelProto.graph


def provider_of(session: ort.InferenceSession) -> str:
    """Where the session really runs: "cuda" or "cpu"."""
    return "cuda" if session.get_providers()[0] == _CUDA else "cpu"


def _cuda_is_likely() -> bool:
    """Whether onnxruntime has the CUDA provider and torch sees a GPU.

    torch also brings the CUDA libraries into the process.
    """
    import onnxruntime as ort

    if _CUDA not in ort.get_available_providers() or not has_gpu():
        return False
    import torch  # here, because it takes a second to import and is not otherwise needed to find a person

    return torch.cuda.is_available()


def has_gpu() -> bool:
    """Whether NVIDIA's driver is installed and counts a GPU."""
    count = ctypes.c_int()
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):  # no such library, or another one of that name
        return False
