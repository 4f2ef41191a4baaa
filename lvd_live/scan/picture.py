"""A sheet to judge a fit by: the scan, the fit, and the distance in colours, each from four sides."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from lvd_live import render
from lvd_live.scan.frame import about_y
from lvd_live.scan.result import Registration
from lvd_live.scan.sampling import estimated_normals

CELL = (300, 420)  # pixels, width and height
SIDES = (0, 90, 180, 270)  # degrees that the person is turned by
NEAREST, FOCAL = 8.0, 7.0  # body sizes to the camera; of the focal length, in cells
WORST = 0.02  # metres, drawn in the last colour
BACKGROUND = 30
SPLAT = 2  # pixels


def sheet(fit: Registration) -> np.ndarray:
    """RGB uint8: three rows (the kept points, the fit, the fit coloured by its distance from the scan: blue 0 to red
    20 mm), four columns (seen from z, and turned by quarters about the vertical)."""
    points, vertices = fit.frame.into(fit.points), fit.frame.into(fit.vertices)
    low, high = np.percentile(np.concatenate([points, vertices]), (0.1, 99.9), axis=0)
    centre, size = (low + high) / 2, float((high - low).max())
    shade = _shades(estimated_normals(points))
    level = np.clip(255 * fit.to_scan / WORST, 0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(level[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1]
    rows: list[list[np.ndarray]] = [[], [], []]
    for side in SIDES:
        R = about_y(-side)
        rows[0].append(_splats((points - centre) @ R.T / size, shade(R)))
        turned = (vertices - centre) @ R.T / size
        rows[1].append(_mesh(turned, fit.faces, None))
        rows[2].append(_mesh(turned, fit.faces, colours))
    return render.contact_sheet([picture for row in rows for picture in row], columns=len(SIDES), cell=CELL)


def _camera(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (P, 3), y up and z toward the viewer, before an OpenCV camera, and its intrinsics (3, 3)."""
    before = points * [1, -1, -1] + [0, 0, NEAREST]
    focal = FOCAL * CELL[1]
    return before, np.array([[focal, 0, CELL[0] / 2], [0, focal, CELL[1] / 2], [0, 0, 1]])


def _mesh(points: np.ndarray, faces: np.ndarray, colours: np.ndarray | None) -> np.ndarray:
    before, intrinsics = _camera(points)
    blank = np.full((CELL[1], CELL[0], 3), BACKGROUND, np.uint8)
    return render.overlay(blank, before, faces, intrinsics, opacity=1.0, vertex_colors=colours)


def _splats(points: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Points as small squares, the nearest ones last."""
    before, intrinsics = _camera(points)
    pixels = np.round(render.project(before, intrinsics)).astype(int)
    picture = np.full((CELL[1], CELL[0], 3), BACKGROUND, np.uint8)
    order = np.argsort(-before[:, 2])
    for dx in range(SPLAT):
        for dy in range(SPLAT):
            x, y = (pixels[order] + [dx, dy]).T
            inside = (x >= 0) & (x < CELL[0]) & (y >= 0) & (y < CELL[1])
            picture[y[inside], x[inside]] = grey[order][inside, None]
    return picture


def _shades(normals: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Of a rotation, the grey (P,) uint8 of points with these normals, lit from before and above."""
    lamp = np.array([0.3, 0.5, 0.8]) / np.linalg.norm([0.3, 0.5, 0.8])

    def grey(R: np.ndarray) -> np.ndarray:
        return (60 + 180 * np.abs(normals @ R.T @ lamp)).clip(0, 255).astype(np.uint8)

    return grey
