"""The mesh in space, seen from anywhere. Drawn by the overlay's rasteriser: no OpenGL, which in software takes more than the tracking does."""

from __future__ import annotations

import math

import cv2
import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QSizePolicy, QWidget

from lvd_live import render
from lvd_live.gui.shading import View

BACKGROUND, GRID, FRUSTUM = (26, 29, 34), (62, 68, 78), (235, 203, 139)
FOV = 40.0  # degrees, upright
MAX_SIDE = 720  # pixels drawn; a larger view is scaled
CELL, CELLS = 0.5, 6  # of the floor: metres, and how many on each side of its middle
PYRAMID = 0.45  # metres, the camera's length
FAR_CAMERA = 7.0  # metres: farther away, the camera is left out of view
NEAR = 0.05  # metres, where lines are cut off
CALM = 0.1  # how much of a change the view follows at once


class SpaceView(QWidget):
    """Mesh, floor and camera. Everything is in the camera's frame, metres: x right, y down, z forward. Drag: turn; right drag: move; wheel: zoom; double click: from the front.

    follow: keep person and camera in view.
    """

    def __init__(self):
        super().__init__()
        self.setMinimumSize(240, 200)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.follow, self.view = True, None
        self._floor: float | None = None  # y
        self._middle, self._distance = np.array([0.0, 0.0, 2.0]), 5.0
        self._settled, self._grip = False, None
        self.look_from_front()

    def look_from_front(self) -> None:
        """From behind and beside the camera, a little above."""
        self.azimuth, self.elevation, self.zoom, self._pan = -27.0, 18.0, 1.0, np.zeros(3)
        self._settled = False
        self._follow()
        self.update()

    def show_view(self, view: View | None) -> None:
        """Draw this mesh; None, or a View without a mesh, leaves the floor alone."""
        self.view = view
        if view is not None and view.vertices is not None:
            low = float(view.vertices[:, 1].max())
            self._floor = low if self._floor is None else self._floor + CALM * (low - self._floor)
            self._follow()
        self.update()

    def forget(self) -> None:
        """Another person, another floor."""
        self._floor, self._settled = None, False

    def paintEvent(self, event) -> None:
        scale = min(1.0, MAX_SIDE / max(self.width(), self.height()))
        picture = self.render_view(max(int(self.width() * scale), 1), max(int(self.height() * scale), 1))
        height, width = picture.shape[:2]
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(
            QRectF(self.rect()), QImage(picture.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        )

    def render_view(self, width: int, height: int) -> np.ndarray:
        """(height, width, 3) uint8 RGB."""
        picture = np.full((height, width, 3), BACKGROUND, np.uint8)
        R = turned(self.azimuth, self.elevation)
        eye = self._middle + self._pan - R[2] * self._distance * self.zoom
        focal = height / 2 / math.tan(math.radians(FOV / 2))
        K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        view, mesh = self.view, self.view is not None and self.view.vertices is not None
        camera = frustum_lines(view.intrinsics, view.size) if mesh else None
        if self._floor is not None:
            draw_lines(picture, (floor_lines(self._middle, self._floor) - eye) @ R.T, K, GRID)
        if mesh:
            camera_is_nearer = np.linalg.norm(eye) < np.linalg.norm(eye - view.vertices.mean(0))
            if not camera_is_nearer:
                draw_lines(picture, (camera - eye) @ R.T, K, FRUSTUM)
            picture = render.overlay(
                picture, (view.vertices - np.float32(eye)) @ np.float32(R.T), view.faces, K, 1.0, view.colours
            )
            if camera_is_nearer:
                draw_lines(picture, (camera - eye) @ R.T, K, FRUSTUM)
        return picture

    def _follow(self) -> None:
        """Move middle and distance so that person and camera are in view."""
        if self.view is None or self.view.vertices is None or not self.follow and self._settled:
            return
        vertices = self.view.vertices
        box = np.stack([vertices.min(0), vertices.max(0)])
        points = np.array([[box[i, 0], box[j, 1], box[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
        if box[0, 2] < FAR_CAMERA:
            points = np.concatenate([points, frustum_lines(self.view.intrinsics, self.view.size).reshape(-1, 3)])
        middle = (points.min(0) + points.max(0)) / 2
        distance = distance_to_see(
            points - middle, turned(self.azimuth, self.elevation), self.width() / max(self.height(), 1)
        )
        calm = CALM if self._settled else 1.0
        self._middle = self._middle + calm * (middle - self._middle)
        self._distance += calm * (distance - self._distance)
        self._settled = True

    # -- the mouse

    def mousePressEvent(self, event) -> None:
        self._grip = event.position()

    def mouseMoveEvent(self, event) -> None:
        if self._grip is None:
            return
        moved: QPointF = event.position() - self._grip
        self._grip = event.position()
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.azimuth += 0.4 * moved.x()
            self.elevation = min(max(self.elevation + 0.4 * moved.y(), -85.0), 85.0)
        else:
            metres = 2 * math.tan(math.radians(FOV / 2)) * self._distance * self.zoom / max(self.height(), 1)
            R = turned(self.azimuth, self.elevation)
            self._pan -= metres * (moved.x() * R[0] + moved.y() * R[1])
        self.update()

    def mouseReleaseEvent(self, event) -> None:
        self._grip = None

    def mouseDoubleClickEvent(self, event) -> None:
        self.look_from_front()

    def wheelEvent(self, event) -> None:
        self.zoom = min(max(self.zoom * 0.999 ** event.angleDelta().y(), 0.1), 5.0)
        self.update()


def turned(azimuth: float, elevation: float) -> np.ndarray:
    """R_view_from_camera (3, 3), rows right, down and forward, for a viewer who has gone round a middle: by azimuth degrees, from behind the camera to its right, and up by elevation degrees."""
    a, e = math.radians(azimuth), math.radians(elevation)
    forward = np.array([-math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)])
    right = np.array([math.cos(a), 0.0, math.sin(a)])
    return np.stack([right, np.cross(forward, right), forward])


def distance_to_see(points: np.ndarray, R: np.ndarray, aspect: float) -> float:
    """How far from the origin to stand to see points (P, 3) from the direction R: |q| <= (q_z + distance) tan(half the field of view), both ways, for each q = R p."""
    q = points @ R.T
    tan = 0.9 * math.tan(math.radians(FOV / 2))
    return float(max((np.abs(q[:, 1]) / tan - q[:, 2]).max(), (np.abs(q[:, 0]) / (tan * aspect) - q[:, 2]).max()))


def floor_lines(middle: np.ndarray, y: float) -> np.ndarray:
    """A grid around a point, (L, 2, 3)."""
    x, z = np.round(middle[[0, 2]] / CELL) * CELL
    reach = CELL * CELLS
    offsets = np.linspace(-reach, reach, 2 * CELLS + 1)
    along_z = [[(x + d, y, z - reach), (x + d, y, z + reach)] for d in offsets]
    along_x = [[(x - reach, y, z + d), (x + reach, y, z + d)] for d in offsets]
    return np.array(along_z + along_x)


def frustum_lines(K: np.ndarray, size: tuple[int, int], length: float = PYRAMID) -> np.ndarray:
    """The camera's pyramid, (8, 2, 3)."""
    w, h = size
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], float)
    rays = np.column_stack([(corners - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones(4)]) * length
    return np.array([(np.zeros(3), ray) for ray in rays] + [(rays[i], rays[(i + 1) % 4]) for i in range(4)])


def draw_lines(picture: np.ndarray, lines: np.ndarray, K: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draw lines (L, 2, 3), the view's frame, into picture (H, W, 3) uint8; what lies behind the viewer is cut off."""
    lines = lines[(lines[..., 2] > NEAR).any(1)]
    a, b = lines[:, 0], lines[:, 1]
    for near, far in ((a, b), (b, a)):
        behind = near[:, 2] < NEAR
        t = (NEAR - near[behind, 2]) / (far[behind, 2] - near[behind, 2])
        near[behind] += t[:, None] * (far[behind] - near[behind])
    pixels = [
        np.clip(16 * (K[[0, 1], [0, 1]] * p[:, :2] / p[:, 2:] + K[:2, 2]), -1e6, 1e6).astype(np.int32) for p in (a, b)
    ]
    cv2.polylines(picture, list(np.stack(pixels, 1)), False, colour, 1, cv2.LINE_AA, shift=4)
