"""Skins: MakeHuman's colour maps of whole bodies, with faces, and where they lie on the base mesh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvd_live.errors import UserError
from lvd_live.synth import picture_file
from lvd_live.synth.mhclo import read_obj

SKIN_SIZE, QUALITY = 512, 72
SEXES = ("female", "male")


@dataclass(frozen=True)
class Skins:
    """Colour maps of skin.

    textures : (L, 512, 512, 4) uint8 RGBA, sRGB, opaque. sexes : (L,) of SEXES.
    uv : (T, 2) float32, 0..1, v down as in pictures. corner_uv : (F, 3) int32, for each corner of `BaseMesh.skin` its
    row of uv.
    """

    textures: np.ndarray
    sexes: tuple[str, ...]
    uv: np.ndarray
    corner_uv: np.ndarray

    @staticmethod
    def load(path: Path) -> Skins:
        """Read what `bake_skins` wrote. Raises UserError if the file is missing or is not of that kind."""
        with picture_file.opened(path, "a file of skins") as file:
            sexes = tuple(SEXES[int(s)] for s in file["sexes"])
            pictures = np.stack(picture_file.pictures_of(file, len(sexes), (SKIN_SIZE, SKIN_SIZE, 3)))
            opaque = np.full((*pictures.shape[:3], 1), 255, np.uint8)
            textures = np.concatenate([pictures, opaque], 3)
            return Skins(textures, sexes, file["uv"].astype(np.float32), file["corner_uv"].astype(int))

    def of_sex(self, sex: str) -> np.ndarray:
        """The layers (n,) of one sex."""
        return np.flatnonzero(np.array(self.sexes) == sex)


def bake_skins(folder: Path, base_obj: Path, faces: np.ndarray, out: Path) -> None:
    """Write the skins of a folder, pictures named *_female_* or *_male_* in MakeHuman's layout, and their places.

    base_obj : MakeHuman's base mesh with its texture coordinates. faces : (F, 3), triangles of its vertices, the skin.
    Raises UserError if there is no picture.
    """
    paths = [path for path in sorted(folder.glob("*.jpg")) if "_suit" not in path.stem]
    if not paths:
        raise UserError(f"{folder} holds no skins (*.jpg).")
    uv, corner_uv = base_uv(base_obj, faces)
    arrays: dict[str, Any] = {
        "uv": uv.astype(np.float32),
        "corner_uv": corner_uv.astype(np.uint16),
        "sexes": np.array([SEXES.index("female" if "_female" in path.stem else "male") for path in paths], np.uint8),
    }
    pictures = []
    for path in paths:
        picture = cv2.imread(str(path))
        if picture is None:
            raise UserError(f"{path} is no picture.")
        pictures.append(cv2.resize(picture, (SKIN_SIZE, SKIN_SIZE), interpolation=cv2.INTER_AREA))
    picture_file.write(out, pictures, ".jpg", (cv2.IMWRITE_JPEG_QUALITY, QUALITY), **arrays)


def base_uv(base_obj: Path, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texture coordinates of the base mesh, (T, 2) float32, v down, and for each corner of faces (F, 3) its row.

    Quads may have been split along either diagonal; a corner of a triangle that lies in no polygon takes any of its
    vertex's coordinates.
    """
    at: dict[int, list[tuple[frozenset[int], int]]] = {}
    for line in base_obj.read_text(encoding="utf-8").splitlines():
        if line.startswith("f "):
            corners = [[int(number) - 1 for number in word.split("/")[:2]] for word in line.split()[1:]]
            members = frozenset(v for v, _ in corners)
            for v, row in corners:
                at.setdefault(v, []).append((members, row))

    def row_of(v: int, triangle: frozenset[int]) -> int:
        return next((row for members, row in at[v] if triangle <= members), at[v][0][1])

    uv, _, _ = read_obj(base_obj)
    corner_uv = np.array([[row_of(v, frozenset(t)) for v in t] for t in faces.tolist()], np.int32)
    return uv * np.array([1, -1], np.float32) + np.array([0, 1], np.float32), corner_uv
