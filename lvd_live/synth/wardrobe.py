"""The wardrobe: MakeHuman's clothes, shoes, hats, hair and brows, bound to the base mesh in T-pose and packed into one small file.

`bake_wardrobe` makes the file from the assets; `Wardrobe` reads it, and puts garments on bodies. Body frame: metres, y up, x = the person's left, z forward.
"""

import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import scipy.sparse
import scipy.spatial

from lvd_live.errors import UserError
from lvd_live.synth.mhclo import Clothes, read_clothes

logger = logging.getLogger(__name__)

KINDS = {"clothes": "outfit", "hair": "hair", "eyebrows": "brows"}
TEXTURE_SIZE = 256
_FAR = 0.05
_SMOOTHING_ROUNDS = 60
LOOSE_METRES = 0.035
"""How far looseness 2 lifts a garment off the place where looseness 1 has it."""


@dataclass(frozen=True)
class Garment:
    """One garment, bound to the base mesh (19158 vertices) in the body frame's T-pose.

    name, kind ("outfit" | "shoes" | "hat" | "hair" | "brows"), sex ("female" | "male" | "any").
    base_index (V,3) int32; barycentric (V,3) float32; offset (V,3) float32, metres on the template body.
    scale_index (3,2) int32, base vertices that measure a body along x, y, z; scale_extent (3,) float32, metres, that measure on the template.
    faces (F,3) int32 and corner_uv (F,3) int32, triangles as rows of vertices and of uv (T,2) float32 (v down, as pictures are).
    joint (V,4) uint8, weight (V,4) float32: skin weights, rows sum to 1.
    hidden (H,) int32: base vertices under the garment, not to be drawn. tucked (U,) int32: others that lie just under it, to be drawn a little lower.
    canonical (V,3) float32: its vertices on the template body, metres.
    texture: layer of Wardrobe.textures, -1 if none; colour_known: False if only its ambient occlusion (alpha) means something.
    """

    name: str
    kind: str
    sex: str
    base_index: np.ndarray
    barycentric: np.ndarray
    offset: np.ndarray
    scale_index: np.ndarray
    scale_extent: np.ndarray
    faces: np.ndarray
    corner_uv: np.ndarray
    uv: np.ndarray
    joint: np.ndarray
    weight: np.ndarray
    hidden: np.ndarray
    tucked: np.ndarray
    canonical: np.ndarray
    texture: int
    colour_known: bool


@dataclass(frozen=True)
class Wardrobe:
    """garments, and their textures (L,256,256,4) uint8: sRGB colour, and in alpha ambient occlusion (clothes) or opacity (hair, brows)."""

    garments: tuple[Garment, ...]
    textures: np.ndarray

    @staticmethod
    def load(path: Path) -> "Wardrobe":
        """Read what bake_wardrobe wrote. Raises UserError if the file is missing, cut short, or not a wardrobe."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                names = archive["names"]
                garments = tuple(_unpack(archive, k) for k in range(len(names)))
                pictures = [archive[f"picture{k}"] for k in range(int(archive["picture_count"]))]
        except (
            OSError,
            EOFError,
            KeyError,
            ValueError,
            AttributeError,
            TypeError,
            zipfile.BadZipFile,
            zipfile.zlib.error,
        ) as error:
            raise UserError(
                f"{path} is not a wardrobe file; make one with `python -m lvd_live bake` ({error})."
            ) from None
        blank = np.full((1, TEXTURE_SIZE, TEXTURE_SIZE, 4), 255, np.uint8)
        textures = (
            np.stack([cv2.imdecode(picture, cv2.IMREAD_UNCHANGED) for picture in pictures]) if pictures else blank
        )
        return Wardrobe(garments, textures[..., [2, 1, 0, 3]])

    def of_kind(self, kind: str, sex: str = "any") -> tuple[Garment, ...]:
        """Garments of a kind that a person of that sex may wear."""
        return tuple(g for g in self.garments if g.kind == kind and (sex == "any" or g.sex in ("any", sex)))

    def dress(self, garment: Garment, rest_base_vertices: np.ndarray, looseness: float = 1.0) -> np.ndarray:
        """The garment's vertices on a body.

        rest_base_vertices: (19158,3) float, metres, body frame, T-pose. looseness: 1 as designed; more lifts the cloth along its normals, 2 by 3.5 cm.
        Returns (V,3) float32, the same frame.
        """
        return dress(garment, rest_base_vertices, looseness)


def dress(garment: Garment, rest_base_vertices: np.ndarray, looseness: float = 1.0) -> np.ndarray:
    """See Wardrobe.dress."""
    base = np.asarray(rest_base_vertices, np.float32)
    axes = np.arange(3)
    a, b = garment.scale_index.T
    extent = np.abs(base[np.maximum(a, 0), axes] - base[np.maximum(b, 0), axes])
    scale = np.where(a >= 0, extent / garment.scale_extent, 1.0).astype(np.float32)
    vertices = np.einsum("vk,vkc->vc", garment.barycentric, base[garment.base_index]) + garment.offset * scale
    if looseness != 1.0:
        vertices = vertices + (looseness - 1.0) * LOOSE_METRES * vertex_normals(vertices, garment.faces)
    return vertices.astype(np.float32)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals, weighted by area. vertices (V,3) float, faces (F,3) int; returns (V,3) float32, zero where no face is."""
    corners = vertices[faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    index = faces.T.ravel()
    total = np.stack([np.bincount(index, np.tile(area[:, c], 3), len(vertices)) for c in range(3)], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return (total / np.maximum(length, 1e-12)).astype(np.float32)


def bake_wardrobe(
    assets_dir: Path, base: Mapping[str, np.ndarray], rest: Mapping[str, np.ndarray], out_path: Path
) -> Path:
    """Bind every garment under assets_dir (folders clothes, hair, eyebrows) to the base mesh and write the wardrobe.

    base: v_template (19158,3) float, metres, body frame, T-pose; weights_index, weights_value (19158,4); faces (F,3), the skin.
    rest: a_pose (19158,3) float, metres, body axes, the template in MakeHuman's A-pose; rest_to_tpose (19158,3,3) float.
    Raises UserError if no garment is found.
    """
    paths = sorted(p for folder in KINDS for p in Path(assets_dir, folder).glob("*/*.mhclo"))
    if not paths:
        raise UserError(f"{assets_dir} holds no MakeHuman garments (*.mhclo under clothes, hair, eyebrows).")
    pictures: list[np.ndarray] = []
    packed: dict[str, np.ndarray] = {}
    for k, path in enumerate(paths):
        clothes = read_clothes(path)
        kind = _kind(path, clothes)
        picture, known = _picture(clothes, kind)
        garment = bind(clothes, kind, base, rest, len(pictures) if picture is not None else -1, known)
        if picture is not None:
            pictures.append(picture)
        packed |= _pack(garment, k)
        logger.info("bound %s (%s), %d vertices", garment.name, kind, len(garment.offset))
    for k, picture in enumerate(pictures):
        packed[f"picture{k}"] = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    packed["names"] = np.array([path.stem for path in paths])
    packed["picture_count"] = np.array(len(pictures))
    Path(out_path).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out_path, **packed)
    return Path(out_path)


def bind(
    clothes: Clothes,
    kind: str,
    base: Mapping[str, np.ndarray],
    rest: Mapping[str, np.ndarray],
    texture: int = -1,
    colour_known: bool = False,
) -> Garment:
    """Carry a garment from MakeHuman's A-pose to the T-pose. base, rest: see bake_wardrobe."""
    template = np.asarray(base["v_template"], np.float32)
    a_pose = np.asarray(rest["a_pose"], np.float32)
    turn = np.asarray(rest["rest_to_tpose"], np.float32)[clothes.base_index].mean(axis=1)
    offset = np.einsum("vij,vj->vi", turn, clothes.offset * clothes.scale(a_pose * 10.0)) / 10.0
    a, b = clothes.scale_index.T
    axes = np.arange(3)
    extent = np.where(a >= 0, np.abs(template[np.maximum(a, 0), axes] - template[np.maximum(b, 0), axes]), 1.0)
    joint, weight = _mixed_weights(
        clothes, np.asarray(base["weights_index"]), np.asarray(base["weights_value"], np.float32)
    )
    joint, weight = _smoothed_where_far(joint, weight, clothes.corner_vertex, np.linalg.norm(offset, axis=1) > _FAR)
    canonical = np.einsum("vk,vkc->vc", clothes.barycentric, template[clothes.base_index]) + offset
    return Garment(
        name=clothes.name,
        kind=kind,
        sex=next((s for s in ("female", "male") if s in clothes.tags or clothes.name.startswith(s)), "any"),
        base_index=clothes.base_index,
        barycentric=clothes.barycentric,
        offset=offset.astype(np.float32),
        scale_index=clothes.scale_index,
        scale_extent=extent.astype(np.float32),
        faces=clothes.corner_vertex,
        corner_uv=clothes.corner_uv,
        uv=clothes.uv * np.float32([1, -1]) + np.float32([0, 1]),
        joint=joint,
        weight=weight,
        hidden=clothes.hidden,
        tucked=_just_under(canonical, clothes.corner_vertex, template, np.asarray(base["faces"])),
        canonical=canonical.astype(np.float32),
        texture=texture,
        colour_known=colour_known,
    )


def _mixed_weights(clothes: Clothes, index: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    dense = np.zeros((len(clothes.base_index), int(index.max()) + 1), np.float32)
    rows = np.arange(len(dense))[:, None]
    share = np.maximum(clothes.barycentric, 0.0)
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-9)
    for k in range(3):
        corner = clothes.base_index[:, k]
        np.add.at(dense, (rows, index[corner]), share[:, k, None] * value[corner])
    return _largest_four(dense)


def _largest_four(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    joint = np.argsort(-dense, axis=1, kind="stable")[:, :4]
    weight = np.take_along_axis(dense, joint, axis=1)
    return joint.astype(np.uint8), weight / weight.sum(axis=1, keepdims=True)


def _smoothed_where_far(
    joint: np.ndarray, weight: np.ndarray, faces: np.ndarray, far: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Skin weights averaged over neighbours where the garment hangs free (skirts), so that legs apart stretch it instead of tearing it."""
    if not far.any():
        return joint, weight
    n = len(joint)
    dense = np.zeros((n, int(joint.max()) + 1), np.float32)
    np.put_along_axis(dense, joint.astype(np.int64), weight, axis=1)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    around = scipy.sparse.coo_matrix(
        (np.ones(2 * len(edges)), (edges.T.ravel(), edges[:, ::-1].T.ravel())), (n, n)
    ).tocsr()
    around = scipy.sparse.diags(1.0 / np.maximum(np.asarray(around.sum(axis=1)).ravel(), 1.0)) @ around
    for _ in range(_SMOOTHING_ROUNDS):
        dense[far] = (around @ dense)[far]
    return _largest_four(dense)


def _just_under(garment: np.ndarray, faces: np.ndarray, body: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Skin vertices that the garment covers closely: its surface is above them, within 3 cm. Returns (U,) int32."""
    corners = garment[faces]
    surface = np.concatenate(
        [garment, corners.mean(axis=1), *(0.5 * (corners[:, k] + corners[:, k - 1]) for k in range(3))]
    )
    index = np.unique(skin)
    distance, nearest = scipy.spatial.cKDTree(surface).query(body[index], distance_upper_bound=0.03)
    index, nearest, distance = (a[np.isfinite(distance)] for a in (index, nearest, distance))
    height = ((surface[nearest] - body[index]) * vertex_normals(body, skin)[index]).sum(axis=1)
    aside = np.sqrt(np.maximum(distance**2 - height**2, 0.0))
    return index[(height > -0.008) & (aside < 0.012)].astype(np.int32)


def _kind(path: Path, clothes: Clothes) -> str:
    if "shoes" in clothes.tags:
        return "shoes"
    if "hats" in clothes.tags:
        return "hat"
    return KINDS[path.parent.parent.name]


def _picture(clothes: Clothes, kind: str) -> tuple[np.ndarray | None, bool]:
    """(256,256,4) uint8 BGRA as Wardrobe.textures tells, and whether its colours are real."""
    colour, occlusion = (_read(clothes.textures.get(name)) for name in ("diffuse", "aomap"))
    if kind in ("hair", "brows"):
        return (_shrink_opacity(colour), True) if colour is not None and colour.shape[2] == 4 else (None, False)
    if colour is None and occlusion is None:
        return None, False
    result = np.full((TEXTURE_SIZE, TEXTURE_SIZE, 4), 255, np.uint8)
    if colour is not None:
        result[..., :3] = _shrink(colour)[..., :3]
    if occlusion is not None:
        result[..., 3] = _shrink(occlusion)[..., 1]
    return result, colour is not None


def _read(path: Path | None) -> np.ndarray | None:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path is not None and path.exists() else None


def _shrink(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (TEXTURE_SIZE, TEXTURE_SIZE), interpolation=cv2.INTER_AREA)


def _shrink_opacity(picture: np.ndarray) -> np.ndarray:
    """Smaller, with the colour of transparent texels replaced by that of opaque ones nearby, so that filtering darkens no edge."""
    alpha = picture[..., 3:].astype(np.float32) / 255.0
    colour = picture[..., :3].astype(np.float32)
    small = _shrink(np.concatenate([colour * alpha, alpha], axis=2))
    wide = cv2.GaussianBlur(small, (0, 0), 8.0) + 1e-4 * np.append((colour * alpha).mean((0, 1)), alpha.mean())
    filled = small + 0.02 * wide
    return np.dstack([filled[..., :3] / filled[..., 3:], small[..., 3:] * 255.0]).clip(0, 255).round().astype(np.uint8)


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
_RESTORED_AS = {
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


def _pack(garment: Garment, k: int) -> dict[str, np.ndarray]:
    return {
        f"{field.name}{k}": np.asarray(getattr(garment, field.name)).astype(
            _STORED_AS.get(field.name, np.asarray(getattr(garment, field.name)).dtype)
        )
        for field in fields(Garment)
    }


def _unpack(archive: Mapping[str, np.ndarray], k: int) -> Garment:
    values = {}
    for field in fields(Garment):
        value = archive[f"{field.name}{k}"]
        values[field.name] = (
            value.item() if value.ndim == 0 else value.astype(_RESTORED_AS.get(field.name, value.dtype))
        )
    return Garment(**values)
