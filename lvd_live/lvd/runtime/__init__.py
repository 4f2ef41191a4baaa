"""What runs a network: on a CPU by PyTorch and oneDNN or by onnxruntime, on CUDA by PyTorch or as one graph."""

from __future__ import annotations
