"""HEIC pictures, as phones take them; read by the package pi-heif or pillow-heif, where one is installed."""

from __future__ import annotations

import importlib

import cv2
import numpy as np

INSTALL = "HEIC pictures need a package: pip install 'lvd-live[heic]'"
_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_LARGEST = 1 << 27  # pixels
_HEAD = 40  # bytes: the first brands that a file says it can be read as


def is_heif(data: np.ndarray) -> bool:
    """Whether a file's bytes, uint8, are a HEIC picture, whatever it is called."""
    head = data[:_HEAD].tobytes()
    return head[4:8] == b"ftyp" and head[8:12] in _BRANDS and b"avif" not in head


def can_read_heif() -> bool:
    """Whether one of the packages is installed."""
    return _reader() is not None


def read_heif(data: np.ndarray) -> np.ndarray | None:
    """(H, W, 3) or (H, W, 4) uint8 RGB or RGBA of a HEIC file's bytes, upright; None where it cannot be read."""
    reader = _reader()
    if reader is None:
        return None
    try:
        picture = reader.open_heif(data.tobytes(), convert_hdr_to_8bit=True)
        if picture.size[0] * picture.size[1] > _LARGEST:
            return None
        pixels = np.asarray(picture)
    except Exception:  # a damaged file fails in many ways inside the package
        return None
    if picture.mode == "L":
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if picture.mode == "LA":
        return np.ascontiguousarray(pixels[..., [0, 0, 0, 1]])
    return np.ascontiguousarray(pixels) if picture.mode in ("RGB", "RGBA") else None


def _reader():
    for name in ("pi_heif", "pillow_heif"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None
