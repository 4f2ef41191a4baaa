"""A cloud of points in space, seen as `SpaceView` shows a mesh."""

from __future__ import annotations

import numpy as np

from lvd_live import render
from lvd_live.gui.shading import Mesh, View
from lvd_live.gui.space import SpaceView

LAMP = np.array([0.3, -0.5, -0.8]) / np.linalg.norm([0.3, 0.5, 0.8])  # toward it, the view's frame
GREYS = 60, 180  # of a point that the lamp does not reach, and how much more at most


class PointsView(SpaceView):
    """The points of a scan, lit; the mesh of its View says where the viewer stands, and is not drawn.

    spacing : metres, from point to point: they are drawn so large that no holes are between them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._points, self._normals, self.spacing = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), 0.0

    def show_points(self, points: np.ndarray, normals: np.ndarray, view: View[object]) -> None:
        """points, normals : (P, 3) float32, metres, as the mesh of `view` is."""
        self._points, self._normals = points, normals
        extent = np.ptp(points, axis=0) if len(points) else np.ones(3)
        area = 2 * (extent[0] * extent[1] + extent[1] * extent[2] + extent[0] * extent[2])
        self.spacing = float(np.sqrt(area / max(len(points), 1)))
        self.show_view(view)

    def _draw_view(
        self, picture: np.ndarray, view: View[object], eye: np.ndarray, R: np.ndarray, K: np.ndarray
    ) -> np.ndarray:
        seen = (self._points - np.float32(eye)) @ np.float32(R.T)
        before = seen[:, 2] > 0.05
        if not before.any():
            return picture
        seen, normals = seen[before], self._normals[before] @ np.float32(R.T)
        order = np.argsort(-seen[:, 2])  # the nearest ones last
        pixels = np.round(render.project(seen[order].astype(float), K)).astype(int)
        grey = (GREYS[0] + GREYS[1] * np.abs(normals[order] @ LAMP)).clip(0, 255).astype(np.uint8)
        size = int(np.clip(round(2.0 * self.spacing * K[0, 0] / float(np.median(seen[:, 2]))), 1, 6))
        height, width = picture.shape[:2]
        for dx in range(size):
            for dy in range(size):
                x, y = (pixels + [dx - size // 2, dy - size // 2]).T
                inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
                picture[y[inside], x[inside]] = grey[inside, None]
        return picture


def seen_alike(view: Mesh) -> View[object]:
    """A View of a mesh that no camera saw."""
    return View(None, np.zeros((1, 1, 3), np.uint8), view, (1, 1), 0)
