"""The 3D view: what is drawn where, and from which side."""

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest

from lvd_live.gui.app import application
from lvd_live.gui.perspective import FOV, distance_to_see, draw_lines, frustum_lines, turned
from lvd_live.gui.shading import Mesh, View
from lvd_live.gui.space import BACKGROUND, FRUSTUM, SpaceView
from tests.fakes import FACES, SHAPE

K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])


@pytest.fixture
def space(qtbot):
    application()
    view = SpaceView()
    qtbot.addWidget(view)
    view.resize(400, 500)
    colours = np.full((len(SHAPE), 3), (200, 30, 30), np.uint8)
    view.show_view(View(None, None, Mesh(SHAPE, FACES, colours, K), (640, 480), 100))
    return view


def mesh_pixels(picture):
    """(P, 2) row and column of what is red."""
    return np.argwhere((picture[..., 0] > 2 * picture[..., 1].astype(int)) & (picture[..., 0] > 50))


def test_a_viewer_behind_the_camera_sees_what_it_sees():
    np.testing.assert_allclose(turned(0, 0), np.eye(3), atol=1e-12)
    for azimuth, elevation in ((30, 0), (-70, 40), (200, -20)):
        R = turned(azimuth, elevation)
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(R) == pytest.approx(1) and R[1, 1] > 0
    assert turned(90, 0)[2] @ [-1, 0, 0] == pytest.approx(1)  # gone to the right, looking left
    assert turned(0, 30)[2, 1] > 0  # gone up, looking down


def test_person_and_camera_are_in_view(space):
    picture = space.render_view(400, 500)
    rows, columns = mesh_pixels(picture).T
    assert len(rows) > 500 and rows.min() > 5 and rows.max() < 494 and columns.min() > 5 and columns.max() < 394
    pyramid = np.argwhere((np.abs(picture.astype(int) - FRUSTUM) < 30).all(-1))
    assert len(pyramid) > 30 and pyramid.min() > 0 and (pyramid.max(0) < (499, 399)).all()


def test_nothing_but_the_background_without_a_mesh(qtbot):
    application()
    view = SpaceView()
    qtbot.addWidget(view)
    assert (view.render_view(50, 40) == BACKGROUND).all()


def test_points_fit_exactly_into_view():
    rng = np.random.default_rng(0)
    points, R, aspect = rng.normal(size=(50, 3)), turned(35, 20), 0.7
    distance = distance_to_see(points, R, aspect)
    q = points @ R.T + (0, 0, distance)
    tan = np.tan(np.radians(FOV / 2))
    reach = np.maximum(np.abs(q[:, 0]) / (q[:, 2] * tan * aspect), np.abs(q[:, 1]) / (q[:, 2] * tan)).max()
    assert reach == pytest.approx(0.9)


def test_the_mouse_turns_zooms_and_returns(space):
    space.show()
    front = space.render_view(400, 500)
    QTest.mousePress(space, Qt.MouseButton.LeftButton, pos=QPoint(100, 100))
    space.mouseMoveEvent(_moved(QPoint(160, 130)))
    QTest.mouseRelease(space, Qt.MouseButton.LeftButton, pos=QPoint(160, 130))
    assert space.azimuth == pytest.approx(-27 + 24) and space.elevation == pytest.approx(18 + 12)
    assert not np.array_equal(space.render_view(400, 500), front)
    space.zoom = 0.5
    assert len(mesh_pixels(space.render_view(400, 500))) > 2 * len(mesh_pixels(front))
    QTest.mouseDClick(space, Qt.MouseButton.LeftButton)
    assert np.array_equal(space.render_view(400, 500), front)


def test_turning_and_zooming_are_about_the_person(space):
    def middle_and_reach():
        rows, columns = mesh_pixels(space.render_view(400, 500)).T
        box = rows.min(), rows.max(), columns.min(), columns.max()
        return ((box[0] + box[1]) / 2, (box[2] + box[3]) / 2), box

    for azimuth in (-27, 40, 120, 200):
        space.azimuth = azimuth
        (row, column), _ = middle_and_reach()
        assert abs(row - 250) < 25 and abs(column - 200) < 15
    space.look_from_front()
    for _ in range(6):
        wheel(space, 120)
    (row, column), (top, bottom, left, right) = middle_and_reach()
    assert abs(row - 250) < 25 and abs(column - 200) < 15
    assert top > 0 and bottom < 499 and left > 0 and right < 399  # all of the person
    space.zoom = 0.1
    assert len(mesh_pixels(space.render_view(400, 500))) > 20_000


def wheel(widget, angle):
    at, none = QPointF(200, 250), QPoint()
    buttons, modifiers = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    phase = Qt.ScrollPhase.NoScrollPhase
    widget.wheelEvent(QWheelEvent(at, at, none, QPoint(0, angle), buttons, modifiers, phase, False))


def _moved(to):
    from PySide6.QtCore import QEvent, QPointF
    from PySide6.QtGui import QMouseEvent

    return QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(to),
        QPointF(to),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )


def test_the_pyramid_opens_toward_the_scene():
    lines = frustum_lines(K, (640, 480))
    assert lines.shape == (8, 2, 3) and not lines[:4, 0].any() and (lines[:4, 1, 2] > 0).all()


def test_lines_behind_the_viewer_are_cut_off():
    picture = np.zeros((100, 100, 3), np.uint8)
    pinhole = np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]])
    draw_lines(picture, np.array([[(0, 0.5, -5), (0, 0.5, -1)]]), pinhole, (255, 255, 255))
    assert not picture.any()
    draw_lines(picture, np.array([[(0, 0.5, -5), (0, 0.5, 5)]]), pinhole, (255, 255, 255))
    rows, columns = np.nonzero(picture.any(-1))
    assert rows.min() >= 59 and rows.max() == 99 and np.abs(columns - 50).max() <= 1
