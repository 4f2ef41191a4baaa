"""Read MakeHuman's garment files: `.mhclo` (binding to the base mesh), `.obj` (faces, UVs), `.mhmat` (textures).

Written from the description of the format. A `.mhclo` is a list of lines. Words set a property. After `verts 0` each
line of numbers binds one garment vertex: nine numbers `i j k  u v w  dx dy dz` (three base vertices, barycentric
weights, offset), or a single one, `i` (the garment vertex is base vertex i). After `delete_verts` the numbers are base
vertices to hide, single or as ranges `a - b`. Properties may stand anywhere, also between `verts 0` and the bindings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lvd_live.errors import UserError

_AXIS_OF = {"x_scale": 0, "y_scale": 1, "z_scale": 2}


@dataclass(frozen=True)
class Clothes:
    """One garment as its files describe it, in MakeHuman's frame (decimetres, y up, x = the person's left, z forward).

    name : the garment's name. tags : lower-case words of its `tag` lines, e.g. "female".
    base_index : (V, 3) int32, base vertices each garment vertex hangs on.
    barycentric : (V, 3) float32, their weights.
    offset : (V, 3) float32, displacement, to be multiplied by the scale of each axis.
    scale_index : (3, 2) int32, base vertices a, b that measure a body along x, y, z; (-1, -1) for an unscaled axis.
    scale_extent : (3,) float32, decimetres; the scale is |base[a] - base[b]| along the axis, divided by this.
    hidden : (H,) int32, base vertices the garment covers.
    corner_vertex, corner_uv : (F, 3) int32, triangles as garment vertices and as rows of uv.
    uv : (T, 2) float32, 0..1, v up.
    textures : texture kind ("diffuse", "aomap", "normalmap", ...) -> path; a named file need not exist.
    """

    name: str
    tags: tuple[str, ...]
    base_index: np.ndarray
    barycentric: np.ndarray
    offset: np.ndarray
    scale_index: np.ndarray
    scale_extent: np.ndarray
    hidden: np.ndarray
    corner_vertex: np.ndarray
    corner_uv: np.ndarray
    uv: np.ndarray
    textures: dict[str, Path]

    def fit(self, base: np.ndarray) -> np.ndarray:
        """The garment's vertices on a body, as MakeHuman puts it on: (V, 3) float32, the frame of `base`.

        base : (N, 3) float, decimetres, MakeHuman's frame and rest pose.
        """
        return np.einsum("vk,vkc->vc", self.barycentric, base[self.base_index]) + self.offset * self.scale(base)

    def scale(self, base: np.ndarray) -> np.ndarray:
        """Scale of the offsets along x, y, z on a body: (3,) float32. base : see `fit`."""
        result = np.ones(3, np.float32)
        for axis, (a, b) in enumerate(self.scale_index):
            if a >= 0:
                result[axis] = abs(base[a, axis] - base[b, axis]) / self.scale_extent[axis]
        return result


def read_clothes(path: Path) -> Clothes:
    """Read a `.mhclo` with the `.obj` and `.mhmat` beside it.

    Raises UserError if a file is missing or does not make sense.
    """
    path = Path(path)
    content = _read_mhclo(path)
    properties = content.properties
    if not content.bindings or "obj_file" not in properties:
        raise UserError(f"{path.name} has no vertices or no obj_file; is it a MakeHuman garment?")
    rows = np.array(content.bindings, np.float64)
    scale_index, scale_extent = np.full((3, 2), -1, np.int32), np.ones(3, np.float32)
    for key, axis in _AXIS_OF.items():
        if key in properties:
            a, b, extent = properties[key]
            scale_index[axis], scale_extent[axis] = (int(a), int(b)), float(extent)
    uv, corner_vertex, corner_uv = read_obj(path.parent / properties["obj_file"][0])
    if corner_vertex.max() >= len(rows):
        raise UserError(f"{path.name} binds {len(rows)} vertices but its mesh has more.")
    material = path.parent / properties["material"][0] if "material" in properties else None
    return Clothes(
        name=properties.get("name", [path.stem])[0],
        tags=tuple(content.tags),
        base_index=rows[:, :3].astype(np.int32),
        barycentric=rows[:, 3:6].astype(np.float32),
        offset=rows[:, 6:9].astype(np.float32),
        scale_index=scale_index,
        scale_extent=scale_extent,
        hidden=np.unique(np.array(content.hidden, np.int32)),
        corner_vertex=corner_vertex,
        corner_uv=corner_uv,
        uv=uv,
        textures=read_material(material) if material and material.exists() else {},
    )


@dataclass
class _Mhclo:
    """What the lines of a `.mhclo` say."""

    properties: dict[str, list[str]] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    bindings: list[tuple[float, ...]] = field(default_factory=list)
    hidden: list[int] = field(default_factory=list)


def _read_mhclo(path: Path) -> _Mhclo:
    content = _Mhclo()
    section = ""
    for number, line in enumerate(_lines(path), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if not _is_number(words[0]):
            key, *words = words
            key = key.lower()
            if key == "tag":
                content.tags.append(" ".join(words).lower())
                continue
            if key not in ("verts", "delete_verts"):
                content.properties[key] = words
                continue
            section = key
            words = words if key == "delete_verts" else []
        try:
            if section == "verts" and words:
                content.bindings.append(_binding(words))
            elif section == "delete_verts":
                content.hidden += _ranges(words)
        except (ValueError, IndexError):
            raise UserError(f"{path.name}, line {number}, is not a MakeHuman vertex binding.") from None
    return content


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """UVs and triangles of a Wavefront file; polygons become fans, faces without UVs take UV (0, 0).

    Returns uv (T, 2) float32, corner_vertex (F, 3) int32, corner_uv (F, 3) int32. Raises UserError if there is no face.
    """
    uv: list[tuple[float, float]] = []
    vertex_corners, uv_corners = [], []
    for line in _lines(path):
        words = line.split()
        if not words:
            continue
        if words[0] == "vt":
            uv.append((float(words[1]), float(words[2])))
        elif words[0] == "f":
            corners = [word.split("/") for word in words[1:]]
            vertex = [int(corner[0]) - 1 for corner in corners]
            texture = [int(corner[1]) - 1 if len(corner) > 1 and corner[1] else 0 for corner in corners]
            for k in range(1, len(corners) - 1):
                vertex_corners.append((vertex[0], vertex[k], vertex[k + 1]))
                uv_corners.append((texture[0], texture[k], texture[k + 1]))
    if not vertex_corners:
        raise UserError(f"{Path(path).name} holds no face.")
    return np.array(uv or [(0, 0)], np.float32), np.array(vertex_corners, np.int32), np.array(uv_corners, np.int32)


def read_material(path: Path) -> dict[str, Path]:
    """Texture paths of a `.mhmat`, by kind: the line `diffuseTexture skin.png` gives "diffuse".

    The files need not exist.
    """
    textures = {}
    for line in _lines(path):
        words = line.split()
        if len(words) == 2 and words[0].endswith("Texture"):
            textures[words[0].removesuffix("Texture").lower()] = Path(path).parent / words[1]
    return textures


def _lines(path: Path) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None


def _is_number(word: str) -> bool:
    return word.lstrip("+-")[:1].isdigit() or word == "-"


def _binding(words: list[str]) -> tuple[float, ...]:
    """One garment vertex: three base vertices, three barycentric weights, an offset (3)."""
    if len(words) == 1:
        index = int(words[0])
        return (index, index, index, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    if len(words) < 9:
        raise ValueError(words)
    return tuple(int(word) for word in words[:3]) + tuple(float(word) for word in words[3:9])


def _ranges(words: list[str]) -> list[int]:
    """The base vertices that a line of `delete_verts` lists."""
    result: list[int] = []
    position = 0
    while position < len(words):
        first = last = int(words[position])
        if position + 1 < len(words) and words[position + 1] == "-":
            last = int(words[position + 2])
            position += 2
        result += range(first, last + 1)
        position += 1
    return result
