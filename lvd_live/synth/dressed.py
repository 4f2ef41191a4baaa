"""A dressed person as one mesh: skin, eyes and garments in one vertex array, uploaded once and posed many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lvd_live.synth.base_mesh import BaseMesh
from lvd_live.synth.garment import dress
from lvd_live.synth.outfit import Outfit, Worn
from lvd_live.synth.shaders import MATERIAL_COUNT
from lvd_live.synth.skins import Skins
from lvd_live.synth.surface import cluster_vertices, near_open_edge, value_noise, vertex_normals

VERTEX = np.dtype(
    [
        ("position", "f4", 3),
        ("normal", "f4", 3),
        ("canonical", "f4", 3),
        ("uv", "f4", 2),
        ("joint", "u1", 4),
        ("weight", "u1", 4),
        ("material", "u1"),
        ("mottle", "u1", 2),
        ("unused", "u1"),
    ]
)
DETAIL = 0.006  # metres: less than a pixel of a whole person in a 256 x 256 picture
_CLOTH, _CARD, _SKIN, _EYE = 0.0, 1.0, 2.0, 3.0  # kinds of material, as the fragment shader knows them
_WRINKLES_PER_METRE = np.array([22.0, 13.0, 22.0], np.float32)
_TUCK = 0.008  # metres that skin under a hem gives way, so that it does not show through the cloth
_LINING = 0.25  # metres from a hem or collar up to which the inside of a garment can be seen
_SHADOW_CELL = 0.03  # metres: the shadow of a mesh simplified to this grid looks the same


@dataclass(frozen=True)
class DressedPerson:
    """A person's mesh in the rest pose, ready for the GPU.

    vertices : (V,) of VERTEX, body frame, metres.
    faces : (F, 3) uint32. one_sided : how many of them, the first ones, are never seen from behind.
    shadow_faces : (G, 3) uint32, a coarse version of faces.
    materials : (MATERIAL_COUNT, 5, 4) float32, paint : (8, 4) float32, as the fragment shader reads them.
    joints : (24, 3) float32, metres.
    """

    vertices: np.ndarray
    faces: np.ndarray
    one_sided: int
    shadow_faces: np.ndarray
    materials: np.ndarray
    paint: np.ndarray
    joints: np.ndarray


def dress_person(
    base: BaseMesh, betas: np.ndarray, outfit: Outfit, detail: float = DETAIL, skins: Skins | None = None
) -> DressedPerson:
    """Build the mesh of a person who wears the outfit.

    betas : (k,) float shape coefficients, k <= K.
    detail : metres on the template; where vertices lie closer (fingers, face, buttons), one of them stands for all.
        0 keeps every vertex.
    skins : where the outfit's skin_map lies on the body; needed where it has one.
    """
    rest, joints = base.shaped(betas)
    worn = outfit.worn[: MATERIAL_COUNT - 2]
    parts = [_skin(base, rest, outfit, skins), _eyes(base, rest), *(_garment(w, rest) for w in worn)]
    materials = np.zeros((MATERIAL_COUNT, 5, 4), np.float32)
    materials[0] = _material(outfit.skin, _SKIN, outfit.skin_map, specular=outfit.shine)
    materials[1] = _material(outfit.iris, _EYE, -1, specular=0.35)
    for row, w in enumerate(worn, start=2):
        materials[row] = _worn_material(w)
    cards = materials[: len(parts), 3, 0] == _CARD
    if detail > 0:
        parts = [part if card else _simplified(part, detail) for part, card in zip(parts, cards, strict=True)]
    vertices, faces, one_sided = _merged(parts, cards)
    shadow_faces = cluster_vertices(vertices["canonical"] / _SHADOW_CELL, faces)
    return DressedPerson(vertices, faces, one_sided, shadow_faces, materials, outfit.paint.rows(), joints)


@dataclass(frozen=True)
class _Part:
    """A mesh of one material, (V, ...) arrays named as the fields of VERTEX, and faces (F, 3)."""

    position: np.ndarray
    canonical: np.ndarray
    normal: np.ndarray
    uv: np.ndarray
    joint: np.ndarray
    weight: np.ndarray
    faces: np.ndarray


def _skin(base: BaseMesh, rest: np.ndarray, outfit: Outfit, skins: Skins | None) -> _Part:
    """Skin that no garment covers, and a margin of it tucked in under the hems.

    Where a garment was cut short (sleeve, hem, top), the skin shows again. rest : (19158, 3) metres.
    """
    hidden = np.zeros(len(rest), bool)
    tucked = np.zeros(len(rest), bool)
    x, y = np.abs(base.template[:, 0]), base.template[:, 1]
    for worn in outfit.worn:
        covered = worn.garment.hidden
        inside = (x < worn.sleeve - 0.03) & (y > worn.hem + 0.03) & (y < worn.top - 0.03)
        hidden[covered[inside[covered]]] = True
        tucked[worn.garment.tucked] |= inside[worn.garment.tucked] & (worn.garment.kind in ("outfit", "shoes"))
    normal = vertex_normals(rest, base.skin)
    position = rest - _TUCK * (hidden | tucked)[:, None] * normal
    shown = ~hidden[base.skin].all(axis=1)
    if skins is None:
        uv = np.zeros((len(rest), 2), np.float32)
        return _Part(position, base.template, normal, uv, base.joint, base.weight, base.skin[shown])
    vertex, uv, faces = _split_at_seams(base.skin, skins.corner_uv, skins.uv)
    joint, weight = base.joint[vertex], base.weight[vertex]
    return _Part(position[vertex], base.template[vertex], normal[vertex], uv, joint, weight, faces[shown])


def _split_at_seams(faces: np.ndarray, corner_uv: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, ...]:
    """One vertex per pair of position and uv: the positions' indices (V,), uv (V, 2) and faces (F, 3).

    faces, corner_uv : (F, 3), triangles as indices of positions and as rows of uv (T, 2).
    """
    corners = np.stack([faces, corner_uv], axis=-1).reshape(-1, 2)
    keys, index = np.unique(corners[:, 0].astype(np.int64) * (len(uv) + 1) + corners[:, 1], return_inverse=True)
    vertex, row = np.divmod(keys, len(uv) + 1)
    return vertex, uv[row], index.reshape(-1, 3)


def _eyes(base: BaseMesh, rest: np.ndarray) -> _Part:
    """Eyeballs; uv is the direction from the ball's middle, so that the iris is a circle around (0, 0)."""
    used = np.unique(base.eyes)
    uv = np.zeros((len(rest), 2), np.float32)
    for side in (base.template[used, 0] > 0, base.template[used, 0] <= 0):
        ball = used[side]
        points = base.template[ball]
        middle = 0.5 * (points.min(axis=0) + points.max(axis=0))
        direction = points - middle
        uv[ball] = direction[:, :2] / np.linalg.norm(direction, axis=1, keepdims=True) + 4.0 * (direction[:, 2:] < 0)
    return _Part(rest, base.template, vertex_normals(rest, base.eyes), uv, base.joint, base.weight, base.eyes)


def _garment(worn: Worn, rest: np.ndarray) -> _Part:
    """A garment on the body, one vertex per pair of position and uv, without the faces that are cut away."""
    g = worn.garment
    position = dress(g, rest, worn.looseness)
    normal = vertex_normals(position, g.faces)
    if worn.wrinkles > 0:
        bumps = np.stack([value_noise(g.canonical * _WRINKLES_PER_METRE, seed) for seed in range(3)], axis=1) - 0.5
        normal = normal + worn.wrinkles * bumps
    vertex, uv, faces = _split_at_seams(g.faces, g.corner_uv, g.uv)
    canonical = g.canonical[vertex]
    gone = (np.abs(canonical[:, 0]) > worn.sleeve) | (canonical[:, 1] < worn.hem) | (canonical[:, 1] > worn.top)
    return _Part(
        position=position[vertex],
        canonical=canonical,
        normal=normal[vertex],
        uv=uv,
        joint=g.joint[vertex],
        weight=g.weight[vertex],
        faces=faces[~gone[faces].all(axis=1)],
    )


def _worn_material(worn: Worn) -> np.ndarray:
    """The garment's rows (5, 4) of the shader's materials."""
    g, p = worn.garment, worn.pattern
    kind = _CARD if g.kind in ("hair", "brows") else _CLOTH
    share = worn.texture_share if g.colour_known else 0.0
    row = _material(worn.colour, kind, g.texture, share, worn.specular)
    row[1] = [*p.colour, p.kind]
    row[2] = [p.waves, p.angle, p.edge, p.mix]
    row[4] = [worn.sleeve, worn.hem, worn.top, 0.0]
    return row


def _material(
    colour: Sequence[float], kind: float, texture: int, share: float = 0.0, specular: float = 0.0
) -> np.ndarray:
    """Rows (5, 4) float32 of a material without pattern and uncut. colour : linear RGB. share : of the texture's."""
    rows = [[*colour, texture], [0, 0, 0, 0], [1, 0, 1, 0], [kind, share, specular, 0], [9, -9, 9, 0]]
    return np.array(rows, np.float32)


def _merged(parts: list[_Part], cards: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Vertices and faces of all parts, those seen from one side only first, and how many these are.

    cards : (len(parts),) bool, parts seen from both sides.
    """
    vertices, outer, both, first = [], [], [], 0
    for material, (part, card) in enumerate(zip(parts, cards, strict=True)):
        used, index = np.unique(part.faces, return_inverse=True)
        rows = np.zeros(len(used), VERTEX)
        for name in ("position", "canonical", "normal", "uv", "joint"):
            rows[name] = getattr(part, name)[used]
        rows["weight"] = _bytes_summing_to_255(part.weight[used])
        rows["material"] = material
        if material == 0:
            rows["mottle"] = _mottle(part.canonical[used])
        faces = index.reshape(-1, 3).astype(np.uint32)
        lining = np.full(len(faces), True) if card else near_open_edge(part.canonical[used], faces, _LINING)
        vertices.append(rows)
        outer.append(faces[~lining] + np.uint32(first))
        both.append(faces[lining] + np.uint32(first))
        first += len(used)
    return np.concatenate(vertices), np.concatenate(outer + both), sum(map(len, outer))


def _mottle(points: np.ndarray) -> np.ndarray:
    """Unevenness of the skin at (V, 3) points of the template, metres: lightness and redness, (V, 2) uint8."""
    redness = np.clip((value_noise(points * 9.0, 7) - 0.45) / 0.35, 0.0, 1.0)
    return np.round(255.0 * np.stack([value_noise(points * 14.0, 8), redness], axis=1)).astype(np.uint8)


def _bytes_summing_to_255(weight: np.ndarray) -> np.ndarray:
    rounded = np.round(weight * 255.0).astype(np.int32)
    largest = rounded.argmax(axis=1)
    rounded[np.arange(len(rounded)), largest] += 255 - rounded.sum(axis=1)
    return rounded.astype(np.uint8)


def _simplified(part: _Part, detail: float) -> _Part:
    """The part with one vertex per cell of `detail` metres in the rest pose.

    Cells are also bounded in texture and, coarsely, in direction, so that seams and folds stay.
    """
    cells = np.column_stack([part.canonical / detail, part.uv * 24.0, part.normal + 0.5])
    return replace(part, faces=cluster_vertices(cells, part.faces))
