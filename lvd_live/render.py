"""Drawing a mesh over a picture on the CPU: silhouette, half-transparent shaded overlay, contact sheet.

Vertices are (N, 3) in metres in the OpenCV camera frame (x right, y down, z forward); a vertex (X, Y, Z) lies at pixel
u = fx X/Z + cx, v = fy Y/Z + cy with pixel centres on whole numbers. Triangles that reach nearer than `NEAR` metres or
behind the camera are left out. Only the mesh's bounding box is rasterised, in strips, so that memory stays small for
any picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from lvd_live.topology import Topology

NEAR = 0.05  # metres
SKIN = (96, 156, 232)  # RGB of the mesh where no colours are given
_FAR = 1000.0
_STRIP_PIXELS = 1 << 20
_OVERDRAW = 48  # how often triangles' boxes may cover a strip's pixels before the largest triangles are left out
_REACH = 1e6  # a projected coordinate beyond this, in pixels, means a triangle that is no part of a person


@dataclass(frozen=True)
class _Strip:
    """One strip of the picture with the mesh drawn into it.

    rows, columns : the strip's rectangle in the picture.
    cover : (h, w) bool; the pixels that the mesh covers.
    colour : (h, w, 3) float32 RGB, 0..1.
    """

    rows: slice
    columns: slice
    cover: np.ndarray
    colour: np.ndarray


def project(vertices: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Pixels (N, 2) float64 of vertices (N, 3); NaN for those nearer than NEAR and those that are not finite.

    intrinsics : (3, 3).
    """
    points = np.asarray(vertices, np.float64)
    focal, centre = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    x, y, z = points.T
    near = ~((z > NEAR) & np.isfinite(x) & np.isfinite(y) & np.isfinite(z))
    pixels = points[:, :2] * (focal / np.where(near, 1.0, points[:, 2])[:, None]) + centre
    pixels[near] = np.nan
    return pixels


def silhouette(vertices: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixels whose centre the mesh covers, (H, W) bool.

    faces : (M, 3) int. intrinsics : (3, 3). size : (width, height) of the picture.
    """
    mask = np.zeros((size[1], size[0]), bool)
    colours = np.ones((len(vertices), 3), np.float32)
    for strip in _strips(vertices, faces, intrinsics, size, colours):
        mask[strip.rows, strip.columns] = strip.cover
    return mask


def overlay(
    picture: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    intrinsics: np.ndarray,
    opacity: float = 0.6,
    vertex_colors: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of `picture` with the mesh drawn over it, lit from the camera. A mesh off the picture changes nothing.

    picture : (H, W, 3) uint8 RGB.
    opacity : 0..1.
    vertex_colors : (N, 3) uint8 RGB; `SKIN` throughout where None.

    Raises ValueError for a picture of another shape or dtype.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(f"picture must be (H,W,3) uint8, not {picture.shape} {picture.dtype}")
    result = picture.copy()
    topology = Topology.of(faces, len(vertices))
    finite = np.asarray(vertices, np.float32)
    finite = np.where(np.abs(finite) < _FAR, finite, 0.0)
    normals = topology.normals(finite)
    shaded = _shade(finite, normals, vertex_colors)
    hides = _hides_backs(finite, normals, topology)
    for strip in _strips(vertices, faces, intrinsics, (picture.shape[1], picture.shape[0]), shaded, hides_backs=hides):
        target = result[strip.rows, strip.columns]
        mixed = cv2.addWeighted(target, 1.0 - opacity, cv2.convertScaleAbs(strip.colour, alpha=255.0), opacity, 0.0)
        cv2.copyTo(mixed, strip.cover.view(np.uint8), target)
    return result


def contact_sheet(pictures: list[np.ndarray], columns: int = 4, cell: tuple[int, int] = (320, 320)) -> np.ndarray:
    """`pictures`, each (h, w, 3) uint8 RGB of any size, row by row on one dark picture.

    cell : (width, height) that each picture is fitted into.

    Raises ValueError where there is no picture or no column.
    """
    if not pictures or columns < 1:
        raise ValueError("a contact sheet needs pictures and at least one column")
    width, height = cell
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    gap = 4
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 24, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = gap + number // columns * (height + gap), gap + number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = fit_into(picture, cell, 24)
    return sheet


def fit_into(picture: np.ndarray, size: tuple[int, int], fill: int = 0) -> np.ndarray:
    """`picture` (h, w, 3) uint8, scaled to lie whole and centred in `size` (width, height); `fill` around it."""
    width, height = size
    scale = min(width / picture.shape[1], height / picture.shape[0])
    w = min(max(round(picture.shape[1] * scale), 1), width)
    h = min(max(round(picture.shape[0] * scale), 1), height)
    small = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    result = np.full((height, width, 3), fill, np.uint8)
    top, left = (height - h) // 2, (width - w) // 2
    result[top : top + h, left : left + w] = small
    return result


def _shade(vertices: np.ndarray, normals: np.ndarray, vertex_colors: np.ndarray | None) -> np.ndarray:
    """(N, 3) float32 RGB 0..1: Lambertian, both sides lit, by a lamp a little above and left of the camera.

    vertices, normals : (N, 3) float32.
    """
    toward = -np.sign(np.einsum("ij,ij->i", normals, vertices))[:, None]
    lamp = np.array([-0.35, -0.5, -0.8], np.float32) / np.float32(np.linalg.norm([0.35, 0.5, 0.8]))
    light = 0.35 + 0.65 * np.clip((normals * toward) @ lamp, 0.0, 1.0)
    base = np.asarray(SKIN if vertex_colors is None else vertex_colors, np.float32) / 255.0
    return np.broadcast_to(base, vertices.shape) * light[:, None]


def _hides_backs(vertices: np.ndarray, normals: np.ndarray, topology: Topology) -> bool:
    """Whether faces that turn their backs to the camera are hidden by others: the mesh is closed, and faces outward."""
    return topology.closed and float(np.einsum("ij,ij->", normals, vertices - vertices.mean(0))) > 0


def _strips(
    vertices: np.ndarray,
    faces: np.ndarray,
    intrinsics: np.ndarray,
    size: tuple[int, int],
    colours: np.ndarray,
    *,
    hides_backs: bool = False,
) -> Iterator[_Strip]:
    """Rasterise the mesh's bounding box strip by strip; yields each strip that holds part of the mesh.

    hides_backs : see `_hides_backs`; does not count where a part of the mesh cannot be drawn.
    """
    faces = np.asarray(faces, np.int32)
    pixels = project(vertices, intrinsics)
    across, down = np.abs(pixels).T
    usable = (across < _REACH) & (down < _REACH)  # false for NaN too
    pixels[~usable] = 0.0
    depths = np.where(usable, vertices[:, 2], 1.0)
    if not usable.any():
        return
    if not usable.all():
        faces, hides_backs = faces[usable[faces].all(axis=1)], False
    boxes = _pixel_boxes(pixels, faces, size)
    inside = (boxes[2] > boxes[0]) & (boxes[3] > boxes[1])
    if not inside.any():
        return
    if not inside.all():
        faces, boxes = faces[inside], boxes[:, inside]
    (left, top), (right, bottom) = boxes[:2].min(1).astype(int), boxes[2:].max(1).astype(int)
    rows = max(_STRIP_PIXELS // (right - left), 1)
    for first in range(top, bottom, rows):
        last = min(first + rows, bottom)
        heights = np.minimum(boxes[3], last) - np.maximum(boxes[1], first)
        areas = (boxes[2] - boxes[0]) * np.maximum(heights, 0)
        drawn = _affordable(faces, areas, (right - left) * (last - first))
        if not len(drawn):
            continue
        box = (left, first, right, last)
        cover, colour = rasterise(pixels, depths, drawn, colours, box, hides_backs)
        yield _Strip(slice(first, last), slice(left, right), cover, colour)


def _pixel_boxes(pixels: np.ndarray, faces: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The whole pixels of the picture inside each triangle's bounding box, (4, M): left, top, right and bottom, these
    two beyond the last one."""
    corners = np.ascontiguousarray(faces.T, np.intp)  # `take` would convert them twice, and slowly
    x, y = (np.ascontiguousarray(along).take(corners) for along in pixels.T)
    low = np.ceil([x.min(0), y.min(0)])
    high = np.floor([x.max(0), y.max(0)]) + 1
    return np.concatenate([np.maximum(low, 0), np.minimum(high, np.array(size)[:, None])])


def _affordable(faces: np.ndarray, areas: np.ndarray, pixels: int) -> np.ndarray:
    """The triangles, in order, that lie in a strip and can be drawn in bounded time: all of them for any mesh of a
    body.

    faces : (M, 3) int32. areas : (M,) of each one's bounding box, pixels; 0 outside the strip. pixels : in the strip.
    """
    budget = _OVERDRAW * max(pixels, 4096)
    if areas.sum() <= budget:
        return faces if areas.all() else faces[areas > 0]
    order = np.argsort(areas, kind="stable")
    return faces[np.sort(order[(areas[order] > 0) & (np.cumsum(areas[order]) <= budget)])]


def rasterise(
    pixels: np.ndarray,
    depths: np.ndarray,
    faces: np.ndarray,
    colours: np.ndarray,
    box: tuple[int, int, int, int],
    hides_backs: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw triangles into a rectangle of the picture: (h, w) bool cover and (h, w, 3) float32 colour.

    pixels : (N, 2) where the vertices are projected to. depths : (N,), above 0. colours : (N, 3) float32.
    faces : (M, 3) int32. hides_backs : those that turn their backs to the camera need not be drawn.
    box : left, top, right, bottom; pixels.
    """
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    # OpenCV's camera: a vertical field of view of 90 degrees, the axis through the box's centre, y up, z backward
    focal = height / 2.0
    points = np.empty((len(pixels), 3), np.float32)
    points[:, 0] = (pixels[:, 0] - left - (width - 1) / 2.0) / focal * depths
    points[:, 1] = -(pixels[:, 1] - top - (height - 1) / 2.0) / focal * depths
    points[:, 2] = -depths
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_CW if hides_backs else cv2.RASTERIZE_CULLING_NONE)
    black = np.zeros((height, width, 3), np.float32)
    empty = np.full((height, width), _FAR, np.float32)
    T_camera_from_world = np.eye(4, dtype=np.float32)
    colour, depth = cv2.triangleRasterize(
        points, faces, colours, black, empty, T_camera_from_world, np.pi / 2, NEAR / 2, _FAR, settings
    )
    return np.less(depth, 0.99 * _FAR), np.asarray(colour)


def covered(points: np.ndarray, faces: np.ndarray, size: int) -> np.ndarray:
    """The pixels (size, size) bool of a square that a closed mesh covers, drawn flat.

    points : (N, 2) float32; the square's edges are at -1 and +1, x right, y up. faces : (M, 3) int32.
    """
    flat = np.column_stack([points, np.full(len(points), -1, np.float32)])
    settings = cv2.TriangleRasterizeSettings()
    settings.setCullingMode(cv2.RASTERIZE_CULLING_CW)  # hidden by others
    empty, still = np.full((size, size), _FAR, np.float32), np.eye(4, dtype=np.float32)
    depth = cv2.triangleRasterizeDepth(flat, faces, empty, still, np.pi / 2, NEAR / 2, _FAR, settings)
    return np.less(depth, 0.99 * _FAR)
