"""The mesh in space, seen from anywhere.

It is drawn by the overlay's rasteriser: OpenGL in software would take more time than the tracking does.
"""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QShowEvent, QWheelEvent

from lvd_live import render
from lvd_live.gui.canvas import Canvas, draw_picture
from lvd_live.gui.language import tr
from lvd_live.gui.perspective import (
    FOV,
    box_corners,
    distance_to_see,
    draw_lines,
    floor_lines,
    frustum_lines,
    pinhole,
    turned,
)
from lvd_live.gui.shading import Mesh, View, plain

BACKGROUND, GRID, FRUSTUM = (26, 29, 34), (62, 68, 78), (235, 203, 139)
MAX_SIDE = 720  # pixels drawn; a larger view is scaled
FAR_CAMERA_M = 7.0  # a camera farther from the person than this is left out of view
CALM = 0.1  # how much of a change the view takes on with each mesh
START_M = 2.0, 5.0  # from the camera to the view's middle, and from there to the viewer, until there is a mesh


class SpaceView(Canvas):
    """Mesh, floor and camera, in the frame of a level camera, metres: x right, y down, z forward.

    Left drag: turn about the person. Right drag: move. Wheel: zoom about the person. Double click: from the front.

    view : the View whose mesh is drawn, or None.
    keeps_person_in_view : the viewer moves with the person, and so far away that the camera is in view, too.
    azimuth, elevation, zoom : where the viewer stands, degrees and a factor of the distance.
    has_floor : whether the floor is drawn.

    moved : the viewer stands elsewhere, by the user's wish.
    """

    moved = Signal()

    def __init__(self) -> None:
        super().__init__(160, 120)
        self.has_floor = True
        self.setAccessibleName(tr("the mesh in space"))
        self.keeps_person_in_view = True
        self.view: View[object] | None = None
        self._floor: float | None = None  # y
        self._middle, self._distance = np.array([0.0, 0.0, START_M[0]]), START_M[1]
        self._settled = False
        self._grip: QPointF | None = None  # where the mouse was last
        self.look_from_front()

    def look_from_front(self) -> None:
        """Look from behind and beside the camera, a little above."""
        self.azimuth, self.elevation, self.zoom, self._pan = -27.0, 18.0, 1.0, np.zeros(3)
        self._settled = False
        self._bring_into_view()
        self.update()
        self.moved.emit()

    def look_as(self, other: SpaceView) -> None:
        """See from where `other` is seen from."""
        self.azimuth, self.elevation, self.zoom = other.azimuth, other.elevation, other.zoom
        self._pan, self._middle, self._distance = other._pan, other._middle, other._distance
        self.update()

    def show_view(self, view: View[object] | None) -> None:
        """Draw this mesh; None, or a View without a mesh, leaves the floor alone."""
        self.view = view
        if view is not None and view.mesh is not None:
            low = float(view.mesh.vertices[:, 1].max())
            self._floor = low if self._floor is None else self._floor + CALM * (low - self._floor)
            self._bring_into_view()
        self.update()

    def forget(self) -> None:
        """Find the floor and the middle anew with the next mesh."""
        self._floor, self._settled = None, False

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._settled = self._settled and not self.keeps_person_in_view  # the room may be another one than before

    def paintEvent(self, event: QPaintEvent) -> None:
        scale = min(1.0, MAX_SIDE / max(self.width(), self.height()))
        picture = self.render_view(max(int(self.width() * scale), 1), max(int(self.height() * scale), 1))
        painter = QPainter(self)
        draw_picture(painter, QRectF(self.rect()), picture)
        self.draw_stale(painter)

    def render_view(self, width: int, height: int) -> np.ndarray:
        """What is seen: (height, width, 3) uint8 RGB."""
        picture = plain(width, height, BACKGROUND)
        R = turned(self.azimuth, self.elevation)
        eye = self._middle + self._pan - R[2] * self._distance * self.zoom
        K = pinhole(width, height)
        if self._floor is not None and self.has_floor:
            draw_lines(picture, (floor_lines(self._middle, self._floor) - eye) @ R.T, K, GRID)
        if self.view is None or self.view.mesh is None:
            return picture
        return self._draw_view(picture, self.view, eye, R, K)

    def _draw_view(
        self, picture: np.ndarray, view: View[object], eye: np.ndarray, R: np.ndarray, K: np.ndarray
    ) -> np.ndarray:
        """Mesh and camera of a view over the floor's picture, for a viewer at `eye` (3,) who is turned by R (3, 3)."""
        mesh = view.mesh
        assert mesh is not None
        camera = (self._camera_lines(mesh, view.size) - eye) @ R.T
        seen = (mesh.vertices - np.float32(eye)) @ np.float32(R.T)
        camera_is_nearer = np.linalg.norm(eye) < np.linalg.norm(eye - mesh.vertices.mean(0))
        if not camera_is_nearer:
            draw_lines(picture, camera, K, FRUSTUM)
        picture = render.overlay(picture, seen, mesh.faces, K, 1.0, mesh.colours)
        if camera_is_nearer:
            draw_lines(picture, camera, K, FRUSTUM)
        return picture

    def _bring_into_view(self) -> None:
        """Move the middle toward the person's, and the distance toward one that shows the camera, too.

        At once where nothing was shown yet.
        """
        if self.view is None or self.view.mesh is None or (self._settled and not self.keeps_person_in_view):
            return
        points = self._points_to_see(self.view.mesh, self.view.size)
        middle = box_corners(self.view.mesh.vertices).mean(0)
        aspect = self.width() / max(self.height(), 1)
        distance = distance_to_see(points - middle, turned(self.azimuth, self.elevation), aspect)
        calm = CALM if self._settled else 1.0
        self._middle = self._middle + calm * (middle - self._middle)
        self._distance += calm * (distance - self._distance)
        self._settled = True

    @staticmethod
    def _points_to_see(mesh: Mesh, size: tuple[int, int]) -> np.ndarray:
        """The corners of the mesh's box and, unless it is far away, of the camera: (P, 3)."""
        corners = box_corners(mesh.vertices)
        if mesh.vertices[:, 2].min() >= FAR_CAMERA_M:
            return corners
        return np.concatenate([corners, SpaceView._camera_lines(mesh, size).reshape(-1, 3)])

    @staticmethod
    def _camera_lines(mesh: Mesh, size: tuple[int, int]) -> np.ndarray:
        """The camera's pyramid (L, 2, 3), none for a mesh that no camera saw."""
        if mesh.intrinsics is None:
            return np.zeros((0, 2, 3))
        lines = frustum_lines(mesh.intrinsics, size)
        return lines if mesh.R_level_camera is None else lines @ mesh.R_level_camera.T

    # -- the mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._grip = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._grip is None:
            return
        moved = event.position() - self._grip
        self._grip = event.position()
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.azimuth += 0.4 * moved.x()
            self.elevation = min(max(self.elevation + 0.4 * moved.y(), -85.0), 85.0)
        else:
            metres = 2 * math.tan(math.radians(FOV / 2)) * self._distance * self.zoom / max(self.height(), 1)
            R = turned(self.azimuth, self.elevation)
            self._pan = self._pan - metres * (moved.x() * R[0] + moved.y() * R[1])
        self.update()
        self.moved.emit()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._grip = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.look_from_front()

    def wheelEvent(self, event: QWheelEvent) -> None:
        self.zoom = min(max(self.zoom * 0.999 ** event.angleDelta().y(), 0.1), 5.0)
        self.update()
        self.moved.emit()
