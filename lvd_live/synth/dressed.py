"""A dressed person as one mesh: skin, eyes and garments in one vertex array, ready to be uploaded once and posed many times."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage
import scipy.spatial

from lvd_live.synth.outfit import Outfit, Worn
from lvd_live.synth.shaders import MATERIAL_COUNT
from lvd_live.synth.wardrobe import dress, vertex_normals

VERTEX = np.dtype(
    [
        ("position", "f4", 3),
        ("normal", "f4", 3),
        ("canonical", "f4", 3),
        ("uv", "f4", 2),
        ("joint", "u1", 4),
        ("weight", "u1", 4),
    ]
    + [("material", "u1"), ("mottle", "u1", 2), ("unused", "u1")]
)
_CLOTH, _CARD, _SKIN, _EYE = 0.0, 1.0, 2.0, 3.0
DETAIL = 0.006
"""Metres: less than a pixel of a whole person in a 256 x 256 picture."""
_WRINKLES_PER_METRE = np.float32([22.0, 13.0, 22.0])
_TUCK = 0.008
"""Metres that skin under a hem gives way, so that it does not show through the cloth."""
_LINING = 0.25
"""Metres from a hem or collar up to which the inside of a garment can be seen."""
_SHADOW_CELL = 0.03
"""Metres: the shadow of a mesh simplified to this grid looks the same and costs a fraction."""


@dataclass(frozen=True)
class BaseMesh:
    """MakeHuman's base mesh in the body frame (metres, y up, x = the person's left, z forward, T-pose), as `bake` writes it.

    template (19158,3), shapes (19158,3,K), joint (19158,4) uint8, weight (19158,4) rows sum to 1, joints (24,3), joint_shapes (24,3,K),
    skin (F,3) int32, eyes (E,3) int32. Floats are float32.
    """

    template: np.ndarray
    shapes: np.ndarray
    joint: np.ndarray
    weight: np.ndarray
    joints: np.ndarray
    joint_shapes: np.ndarray
    skin: np.ndarray
    eyes: np.ndarray

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> "BaseMesh":
        """From the arrays of base.npz."""
        template = np.asarray(arrays["v_template"], np.float32)
        weight = np.asarray(arrays["weights_value"], np.float32)
        eyes = np.asarray(arrays["eye_faces"], np.int32)
        above_mouth = template[eyes].mean(axis=1)[:, 1] > arrays["J_template"][15, 1]
        return BaseMesh(
            template=template,
            shapes=np.asarray(arrays["shapedirs"], np.float32),
            joint=np.asarray(arrays["weights_index"], np.uint8),
            weight=weight / weight.sum(axis=1, keepdims=True),
            joints=np.asarray(arrays["J_template"], np.float32),
            joint_shapes=np.asarray(arrays["J_shapedirs"], np.float32),
            skin=np.asarray(arrays["faces"], np.int32),
            eyes=eyes[above_mouth],
        )

    def shaped(self, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rest vertices (19158,3) and joints (24,3), metres, body frame, float32. betas: (k,) float, k <= K."""
        betas = np.asarray(betas, np.float32)
        k = len(betas)
        return self.template + self.shapes[..., :k] @ betas, self.joints + self.joint_shapes[..., :k] @ betas


@dataclass(frozen=True)
class DressedPerson:
    """vertices (V,) of VERTEX, rest pose, body frame, metres. faces (F,3) uint32, the first one_sided of them never seen from behind.
    shadow_faces (G,3) uint32, a coarse version of faces.
    materials (MATERIAL_COUNT,5,4) and paint (8,4) float32, as the shader reads them. joints (24,3) float32, metres."""

    vertices: np.ndarray
    faces: np.ndarray
    one_sided: int
    shadow_faces: np.ndarray
    materials: np.ndarray
    paint: np.ndarray
    joints: np.ndarray


def dress_person(base: BaseMesh, betas: np.ndarray, outfit: Outfit, detail: float = DETAIL) -> DressedPerson:
    """Build the mesh of a person of shape betas ((k,) float, k <= K) wearing the outfit.

    detail: metres on the template; where vertices lie closer (fingers, face, buttons) one of them stands for all. 0 keeps every vertex.
    """
    rest, joints = base.shaped(betas)
    parts = [_skin(base, rest, outfit)]
    parts.append(_eyes(base, rest))
    materials = np.zeros((MATERIAL_COUNT, 5, 4), np.float32)
    materials[0] = _material(outfit.skin, _SKIN, -1, specular=outfit.shine)
    materials[1] = _material(outfit.iris, _EYE, -1, specular=0.35)
    for row, worn in enumerate(outfit.worn[: MATERIAL_COUNT - 2], start=2):
        parts.append(_garment(worn, rest))
        materials[row] = _worn_material(worn)
    parts = [
        _simplified(part, detail) if detail > 0 and kind != _CARD else part
        for part, kind in zip(parts, materials[:, 3, 0], strict=False)
    ]
    vertices, faces, one_sided = _merged(parts, materials[:, 3, 0] == _CARD)
    return DressedPerson(
        vertices,
        faces,
        one_sided,
        _coarse(vertices["canonical"] / _SHADOW_CELL, faces),
        materials,
        outfit.paint.rows(),
        joints,
    )


@dataclass(frozen=True)
class _Part:
    position: np.ndarray
    canonical: np.ndarray
    normal: np.ndarray
    uv: np.ndarray
    joint: np.ndarray
    weight: np.ndarray
    faces: np.ndarray


def _skin(base: BaseMesh, rest: np.ndarray, outfit: Outfit) -> _Part:
    """Skin that no garment covers, and a margin of it tucked in under the hems; where a garment was cut short, its skin shows again."""
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
    faces = base.skin[~hidden[base.skin].all(axis=1)]
    return _Part(position, base.template, normal, np.zeros((len(rest), 2), np.float32), base.joint, base.weight, faces)


def _eyes(base: BaseMesh, rest: np.ndarray) -> _Part:
    """Eyeballs; uv is the direction from the ball's middle, so that the iris is a circle around (0,0)."""
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
    g = worn.garment
    position = dress(g, rest, worn.looseness)
    normal = vertex_normals(position, g.faces)
    if worn.wrinkles > 0:
        bumps = np.stack([value_noise(g.canonical * _WRINKLES_PER_METRE, seed) for seed in range(3)], axis=1) - 0.5
        normal = normal + worn.wrinkles * bumps
    corners = np.stack([g.faces, g.corner_uv], axis=-1).reshape(-1, 2)
    keys, index = np.unique(corners[:, 0].astype(np.int64) * (len(g.uv) + 1) + corners[:, 1], return_inverse=True)
    vertex, uv = np.divmod(keys, len(g.uv) + 1)
    faces = index.reshape(-1, 3)
    canonical = g.canonical[vertex]
    gone = (np.abs(canonical[:, 0]) > worn.sleeve) | (canonical[:, 1] < worn.hem) | (canonical[:, 1] > worn.top)
    return _Part(
        position[vertex],
        canonical,
        normal[vertex],
        g.uv[uv],
        g.joint[vertex],
        g.weight[vertex],
        faces[~gone[faces].all(axis=1)],
    )


def _worn_material(worn: Worn) -> np.ndarray:
    g = worn.garment
    kind = _CARD if g.kind in ("hair", "brows") else _CLOTH
    share = worn.texture_share if g.colour_known else 0.0
    row = _material(worn.colour, kind, g.texture, share, worn.specular)
    p = worn.pattern
    row[1] = [*p.colour, p.kind]
    row[2] = [p.waves, p.angle, p.edge, p.mix]
    row[4] = [worn.sleeve, worn.hem, worn.top, 0.0]
    return row


def _material(colour, kind: float, texture: int, share: float = 0.0, specular: float = 0.0) -> np.ndarray:
    return np.array(
        [[*colour, texture], [0, 0, 0, 0], [1, 0, 1, 0], [kind, share, specular, 0], [9, -9, 9, 0]], np.float32
    )


def _merged(parts: list[_Part], cards: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Vertices and faces of all parts, those seen from one side only first, and how many these are. cards (M,) bool: parts seen from both sides."""
    vertices, outer, both, first = [], [], [], 0
    for material, (part, card) in enumerate(zip(parts, cards, strict=False)):
        used, index = np.unique(part.faces, return_inverse=True)
        rows = np.zeros(len(used), VERTEX)
        for name in ("position", "canonical", "normal", "uv", "joint"):
            rows[name] = getattr(part, name)[used]
        rows["weight"] = _bytes_summing_to_255(part.weight[used])
        rows["material"] = material
        if material == 0:
            rows["mottle"] = _mottle(part.canonical[used])
        faces = index.reshape(-1, 3).astype(np.uint32)
        lining = np.full(len(faces), True) if card else _near_rim(part.canonical[used], faces)
        vertices.append(rows)
        outer.append(faces[~lining] + np.uint32(first))
        both.append(faces[lining] + np.uint32(first))
        first += len(used)
    return np.concatenate(vertices), np.concatenate(outer + both), sum(map(len, outer))


def _near_rim(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) bool: faces close to an open edge of the surface, which may be seen from behind. points (V,3) metres."""
    cell = np.round((points - points.min(axis=0)) * 1e4).astype(np.int64)
    _, same = np.unique(cell @ np.array([1 << 40, 1 << 20, 1]), return_inverse=True)
    welded = same[faces]
    edges = np.sort(np.concatenate([welded[:, [0, 1]], welded[:, [1, 2]], welded[:, [2, 0]]]).astype(np.int64), axis=1)
    keys, index, count = np.unique(edges @ np.array([len(points), 1]), return_index=True, return_counts=True)
    rim = np.unique(edges[index[count == 1]])
    if len(rim) == 0:
        return np.zeros(len(faces), bool)
    place = np.empty((same.max() + 1, 3), points.dtype)
    place[same] = points
    distance, _ = scipy.spatial.cKDTree(place[rim]).query(points, distance_upper_bound=_LINING)
    return np.isfinite(distance)[faces].any(axis=1)


def _mottle(points: np.ndarray) -> np.ndarray:
    """Unevenness of the skin at (V,3) points of the template, metres: lightness and redness, (V,2) uint8."""
    redness = np.clip((value_noise(points * 9.0, 7) - 0.45) / 0.35, 0.0, 1.0)
    return np.round(255.0 * np.stack([value_noise(points * 14.0, 8), redness], axis=1)).astype(np.uint8)


def value_noise(points: np.ndarray, seed: int) -> np.ndarray:
    """Smooth noise in 0..1 of wavelength about 2: (V,3) float points, returns (V,) float32. The same seed gives the same field."""
    table = np.random.default_rng(seed).random((16, 16, 16), np.float32)
    return scipy.ndimage.map_coordinates(table, np.asarray(points).T % 16, order=1, mode="grid-wrap")


def _bytes_summing_to_255(weight: np.ndarray) -> np.ndarray:
    rounded = np.round(weight * 255.0).astype(np.int32)
    largest = rounded.argmax(axis=1)
    rounded[np.arange(len(rounded)), largest] += 255 - rounded.sum(axis=1)
    return rounded.astype(np.uint8)


def _simplified(part: _Part, detail: float) -> _Part:
    """The part with only one vertex per cell of the rest pose's space (and, coarsely, of texture and direction: seams and folds stay)."""
    return replace(
        part, faces=_coarse(np.column_stack([part.canonical / detail, part.uv * 24.0, part.normal + 0.5]), part.faces)
    )


def _coarse(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces after moving every vertex to the first one of its unit cell, (V,k) float points; those that collapse are gone. Returns (G,3) uint32."""
    used = np.unique(faces)
    cell = np.floor(points[used]).astype(np.int64)
    cell -= cell.min(axis=0)
    key = np.ravel_multi_index(tuple(cell.T), tuple(cell.max(axis=0) + 1))
    _, first, index = np.unique(key, return_index=True, return_inverse=True)
    moved = np.empty(len(points), np.uint32)
    moved[used] = used[first[index]]
    corners = moved[faces]
    return corners[
        (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2]) & (corners[:, 2] != corners[:, 0])
    ]
