"""What stays of a mesh while its vertices move: which faces meet at a vertex, and whether they close a surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (N, 3) float32 at the vertices: the mean of their faces', weighted by area.

    They point to the side from which `faces` (M, 3) int run counter-clockwise.
    """
    return Normals(faces, len(vertices))(vertices)


class Normals:
    """`vertex_normals` of one mesh of `count` vertices again and again."""

    def __init__(self, faces: np.ndarray, count: int):
        self._corners = np.ascontiguousarray(np.asarray(faces, np.intp).T)  # `take` has no index to convert
        self._vertices, self._count = self._corners.ravel(), count

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        """See `vertex_normals`."""
        along = np.ascontiguousarray(np.asarray(vertices, np.float32).T)  # `take` along rows is several times faster
        corner, second, third = (along.take(which, axis=1) for which in self._corners)
        (ax, ay, az), (bx, by, bz) = second - corner, third - corner
        total = np.empty((self._count, 3), np.float32)
        for axis, faces in enumerate((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)):
            # as fast as a sparse matrix, whose import takes a tenth of the time to the first mesh
            total[:, axis] = np.bincount(self._vertices, np.tile(faces.astype(np.float64), 3), self._count)
        return total / np.maximum(np.sqrt(np.einsum("ij,ij->i", total, total))[:, None], 1e-20)


@dataclass(frozen=True)
class Topology:
    """What stays of a mesh while its vertices move.

    faces : (M, 3) int, as given. normals : of its vertices. closed : each edge belongs to two faces that run along it
    in opposite directions: who looks from outside never sees the faces' backs.
    """

    faces: np.ndarray
    count: int
    normals: Normals
    closed: bool

    _recent: ClassVar[tuple[Topology, ...]] = ()

    @classmethod
    def of(cls, faces: np.ndarray, count: int) -> Topology:
        """That of faces (M, 3) over `count` vertices; of the last few arrays it is remembered."""
        for known in cls._recent:
            if known.faces is faces and known.count == count:
                return known
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
        along, against = np.sort(edges @ [count, 1]), np.sort(edges @ [1, count])
        closed = bool(len(edges) and (np.diff(along) > 0).all() and np.array_equal(along, against))
        made = cls(faces, count, Normals(faces, count), closed)
        cls._recent = (made, *cls._recent[:3])
        return made
