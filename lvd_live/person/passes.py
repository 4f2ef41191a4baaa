"""One pass of a landmark network over a region of the picture, as it is or in the mirror, and the mean of several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lvd_live.person.roi import LANDMARK_SIZE
from lvd_live.person.sides import COUNTERPART

if TYPE_CHECKING:
    import onnxruntime as ort

HEATMAP_RADIUS = 3  # pixels of the 64 x 64 heat maps
OUTPUTS = ("Identity", "Identity_1", "Identity_2", "Identity_3", "Identity_4")
BODY = 33  # of the network's 39 points
_LIMBS = slice(11, BODY)


@dataclass(frozen=True)
class Pass:
    """What a landmark network says of a region, on the region's grid of 256 pixels (edge convention: 0 to 256).

    points (39, 5) float32: x, y, z in grid pixels (away from the camera, from the hips), visibility and presence 0..1.
    presence 0..1. mask (128, 128) float32 0..1. world (39, 3) float32, metres, along the grid's axes.
    maps: the inner values that were asked for.
    """

    points: np.ndarray
    presence: float
    mask: np.ndarray
    world: np.ndarray
    maps: tuple[np.ndarray, ...] = ()


def look(network: ort.InferenceSession, pixels: np.ndarray, inner: Sequence[str] = (), *, mirror: bool = False) -> Pass:
    """Run the network on a region (256, 256, 3) uint8 RGB; inner: names of values for `maps`. mirror: on its mirror
    image, and what it says, but not the maps, brought back.
    """
    seen = np.ascontiguousarray(pixels[:, ::-1]) if mirror else pixels
    points, presence, mask, heatmaps, world, *maps = network.run(
        [*OUTPUTS, *inner], {"input_1": cv2.dnn.blobFromImage(seen)}
    )
    points = points.reshape(39, 5)
    points[:, :2] = refine_on_heatmaps(points[:, :2], heatmaps[0])
    points[:, 3:] = sigmoid(points[:, 3:])
    found = Pass(points, float(presence[0, 0]), mask[0, :, :, 0], world.reshape(39, 3), tuple(m[0] for m in maps))
    return mirrored(found) if mirror else found


def side_by_side(looks: Sequence[Callable[[], Pass]]) -> list[Pass]:
    """What several passes give, each in a thread of its own."""
    found: list[Pass | Exception | None] = [None] * len(looks)

    def work(i: int) -> None:
        try:
            found[i] = looks[i]()
        except Exception as error:  # raised where it was asked for
            found[i] = error

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(1, len(looks))]
    for thread in threads:
        thread.start()
    if looks:
        work(0)
    for thread in threads:
        thread.join()
    for one in found:
        if isinstance(one, Exception):
            raise one
    return [one for one in found if isinstance(one, Pass)]


def mirrored(found: Pass) -> Pass:
    """The same in the mirror: x runs the other way, left and right are exchanged."""
    order = [*COUNTERPART, *range(BODY, len(found.points))]
    points, world = found.points[order], found.world[order] * np.array([-1, 1, 1], np.float32)
    points[:, 0] = LANDMARK_SIZE - points[:, 0]
    return replace(found, points=points, world=world, mask=np.ascontiguousarray(found.mask[:, ::-1]))


def agree(a: Pass, b: Pass) -> bool:
    """Whether two passes say the same of which side is the left."""
    order = list(COUNTERPART)
    first, second = a.points[:BODY, :2], b.points[:BODY, :2]
    same, other = (np.linalg.norm((first - p)[_LIMBS], axis=1).sum() for p in (second, second[order]))
    return bool(same <= other)


def mean(passes: Sequence[Pass]) -> Pass:
    """The mean of passes; maps are the first one's. A pass that takes left for right is read as the first one reads it,
    so that no mean of two sides arises.
    """
    first, alike = passes[0], [passes[0]]
    for one in passes[1:]:
        if not agree(first, one):
            order = [*COUNTERPART, *range(BODY, len(one.points))]
            one = replace(one, points=one.points[order], world=one.world[order])
        alike.append(one)
    return Pass(
        points=np.stack([p.points for p in alike]).mean(0, dtype=np.float32),
        presence=float(np.mean([p.presence for p in alike])),
        mask=np.stack([p.mask for p in alike]).mean(0, dtype=np.float32),
        world=np.stack([p.world for p in alike]).mean(0, dtype=np.float32),
        maps=first.maps,
    )


def refine_on_heatmaps(points: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """Points (39, 2) in 0..256, moved to the centre of mass of their heat maps ((64, 64, 39) logits) where those are
    sure.
    """
    cells = heatmaps.shape[0]
    scale = cells / LANDMARK_SIZE
    column, row = (np.floor(points * scale).astype(int)).T
    steps = np.arange(-HEATMAP_RADIUS, HEATMAP_RADIUS + 1)
    rows, columns = (
        row[:, None, None] + steps[:, None],
        column[:, None, None] + steps[None, :],
    )  # (39, 7, 7) by broadcasting
    inside = (rows >= 0) & (rows < cells) & (columns >= 0) & (columns < cells)
    logits = heatmaps[rows.clip(0, cells - 1), columns.clip(0, cells - 1), np.arange(len(points))[:, None, None]]
    weights = sigmoid(logits) * inside
    total = weights.sum((1, 2))
    sure = (weights.max((1, 2)) >= 0.5) & (row >= 0) & (row < cells) & (column >= 0) & (column < cells)
    total = np.where(sure, total, 1)
    centre = np.stack([(weights * columns).sum((1, 2)), (weights * rows).sum((1, 2))], -1) / total[:, None]
    return np.where(sure[:, None], centre / scale, points).astype(np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logits)), same shape, float32."""
    return 1 / (1 + cv2.exp(-np.ascontiguousarray(logits)).reshape(logits.shape))
