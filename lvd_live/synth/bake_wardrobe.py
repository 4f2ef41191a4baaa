"""Make the wardrobe file from MakeHuman's assets: garments bound to the base mesh, and their textures."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from lvd_live.errors import UserError
from lvd_live.synth.bind import bind
from lvd_live.synth.garment import Garment
from lvd_live.synth.mhclo import Clothes, read_clothes
from lvd_live.synth.wardrobe import TEXTURE_SIZE, write_wardrobe

log = logging.getLogger(__name__)

KIND_OF_FOLDER = {"clothes": "outfit", "hair": "hair", "eyebrows": "brows"}


def bake_wardrobe(
    assets_dir: Path, base: Mapping[str, np.ndarray], rest: Mapping[str, np.ndarray], out_path: Path
) -> Path:
    """Bind every garment under assets_dir (folders clothes, hair, eyebrows) to the base mesh and write the wardrobe.

    base : v_template (19158, 3) float, metres, body frame, T-pose; weights_index, weights_value (19158, 4); faces
        (F, 3), the skin.
    rest : a_pose (19158, 3) float, metres, body axes, the template in MakeHuman's A-pose; rest_to_tpose
        (19158, 3, 3) float, rotations.

    Returns out_path. Raises UserError if no garment is found.
    """
    paths = sorted(p for folder in KIND_OF_FOLDER for p in Path(assets_dir, folder).glob("*/*.mhclo"))
    if not paths:
        raise UserError(f"{assets_dir} holds no MakeHuman garments (*.mhclo under clothes, hair, eyebrows).")
    pictures: list[np.ndarray] = []
    garments: list[Garment] = []
    for path in paths:
        clothes = read_clothes(path)
        kind = _kind(path, clothes)
        picture, colour_known = _texture(clothes, kind)
        garments.append(bind(clothes, kind, base, rest, len(pictures) if picture is not None else -1, colour_known))
        if picture is not None:
            pictures.append(picture)
        log.info("bound %s (%s), %d vertices", clothes.name, kind, len(clothes.offset))
    write_wardrobe(Path(out_path), [path.stem for path in paths], garments, pictures)
    return Path(out_path)


def _kind(path: Path, clothes: Clothes) -> str:
    """The kind of a garment, see `Garment`."""
    if "shoes" in clothes.tags:
        return "shoes"
    if "hats" in clothes.tags:
        return "hat"
    return KIND_OF_FOLDER[path.parent.parent.name]


def _texture(clothes: Clothes, kind: str) -> tuple[np.ndarray | None, bool]:
    """(256, 256, 4) uint8 BGRA, a layer of Wardrobe.textures, or None; and whether its colours are real."""
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
    """A texture with opacity made smaller: (256, 256, 4) uint8 BGRA.

    Transparent texels take the colour of opaque ones nearby, so that filtering darkens no edge.
    """
    alpha = picture[..., 3:].astype(np.float32) / 255.0
    colour = picture[..., :3].astype(np.float32)
    small = _shrink(np.concatenate([colour * alpha, alpha], axis=2))
    wide = cv2.GaussianBlur(small, (0, 0), 8.0) + 1e-4 * np.append((colour * alpha).mean((0, 1)), alpha.mean())
    filled = small + 0.02 * wide
    texels = np.dstack([filled[..., :3] / filled[..., 3:], small[..., 3:] * 255.0])
    return texels.clip(0, 255).round().astype(np.uint8)
