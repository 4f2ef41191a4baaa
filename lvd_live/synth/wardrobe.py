"""The wardrobe: MakeHuman's clothes, shoes, hats, hair and brows, and the one small file that holds them.

Body frame: metres, y up, x = the person's left, z forward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvd_live.synth import picture_file
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
        shape = TEXTURE_SIZE, TEXTURE_SIZE, 4
        with picture_file.opened(path, "a wardrobe file") as archive:
            garments = tuple(_unpack(archive, k) for k in range(len(archive["names"])))
            pictures = picture_file.pictures_of(archive, int(archive["picture_count"]), shape)
        blank = np.full((1, *shape), 255, np.uint8)
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
    arrays |= {"names": np.array(names), "picture_count": np.array(len(pictures))}
    picture_file.write(path, pictures, ".png", (cv2.IMWRITE_PNG_COMPRESSION, 9), **arrays)


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
