"""The wardrobe: MakeHuman's clothes, shoes, hats, hair and brows, and the one small file that holds them.

Body frame: metres, y up, x = the person's left, z forward.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvd_live.errors import UserError
from lvd_live.synth.garment import Garment

TEXTURE_SIZE = 256
_STORED_AS = {
    "base_index": np.uint16,
    "barycentric": np.float32,
    "offset": np.float16,
    "faces": np.uint16,
    "corner_uv": np.uint16,
    "uv": np.float16,
    "weight": np.float16,
    "hidden": np.uint16,
    "tucked": np.uint16,
    "canonical": np.float16,
}
_LOADED_AS = {
    "base_index": np.int32,
    "offset": np.float32,
    "faces": np.int32,
    "corner_uv": np.int32,
    "uv": np.float32,
    "weight": np.float32,
    "hidden": np.int32,
    "tucked": np.int32,
    "canonical": np.float32,
}
_UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    AttributeError,
    TypeError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Wardrobe:
    """All garments and their textures.

    textures : (L, 256, 256, 4) uint8, sRGB colour, and in alpha ambient occlusion (clothes) or opacity (hair, brows).
    """

    garments: tuple[Garment, ...]
    textures: np.ndarray

    @staticmethod
    def load(path: Path) -> Wardrobe:
        """Read what `write_wardrobe` wrote. Raises UserError if the file is missing, cut short, or not a wardrobe."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                names = archive["names"]
                garments = tuple(_unpack(archive, k) for k in range(len(names)))
                pictures = [_decode(archive[f"picture{k}"]) for k in range(int(archive["picture_count"]))]
        except _UNREADABLE as error:
            message = f"{path} is not a wardrobe file; make one with `python -m lvd_live bake` ({error})."
            raise UserError(message) from None
        blank = np.full((1, TEXTURE_SIZE, TEXTURE_SIZE, 4), 255, np.uint8)
        return Wardrobe(garments, np.stack(pictures) if pictures else blank)

    def of_kind(self, kind: str, sex: str = "any") -> tuple[Garment, ...]:
        """Garments of a kind that a person of that sex may wear."""
        return tuple(g for g in self.garments if g.kind == kind and (sex == "any" or g.sex in ("any", sex)))


def write_wardrobe(
    path: Path, names: Sequence[str], garments: Sequence[Garment], pictures: Sequence[np.ndarray]
) -> None:
    """Write a wardrobe file.

    names : of the garments' source files. pictures : (256, 256, 4) uint8 BGRA each, the layers of Wardrobe.textures.
    """
    arrays: dict[str, Any] = {}
    for k, garment in enumerate(garments):
        arrays |= _pack(garment, k)
    for k, picture in enumerate(pictures):
        arrays[f"picture{k}"] = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    arrays["names"] = np.array(names)
    arrays["picture_count"] = np.array(len(pictures))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def _decode(png: np.ndarray) -> np.ndarray:
    """(256, 256, 4) uint8 RGBA from the bytes of a PNG. Raises ValueError where it is none."""
    picture = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    if picture is None or picture.shape != (TEXTURE_SIZE, TEXTURE_SIZE, 4):
        raise ValueError("a texture cannot be decoded")
    return picture[..., [2, 1, 0, 3]]


def _pack(garment: Garment, k: int) -> dict[str, np.ndarray]:
    """The arrays of garment k, in the dtypes that the file holds."""
    arrays = {}
    for field in fields(Garment):
        value = np.asarray(getattr(garment, field.name))
        arrays[f"{field.name}{k}"] = value.astype(_STORED_AS.get(field.name, value.dtype))
    return arrays


def _unpack(archive: Mapping[str, np.ndarray], k: int) -> Garment:
    """The inverse of `_pack`."""
    values: dict[str, Any] = {}
    for field in fields(Garment):
        value = archive[f"{field.name}{k}"]
        scalar = value.ndim == 0
        values[field.name] = value.item() if scalar else value.astype(_LOADED_AS.get(field.name, value.dtype))
    return Garment(**values)
