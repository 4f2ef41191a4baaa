"""The real window, driven: a loopback camera, every control, recording, trouble, closing."""

import time

import numpy as np
import pytest
from PySide6.QtCore import QSettings

import gui.window
from gui.app import application
from gui.painter import COLOURS, PART_COLOURS, Look, Painter, part_index
from gui.views import frustum_lines, to_space
from gui.window import Input, MainWindow
from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import BODY_PARTS
from lvd_live.paths import DEMO, MODELS
from lvd_live.person import BlazePoseFinder
from lvd_live.session.library import list_sessions
from lvd_live.sources import VideoSource
from lvd_live.tracker import Tracker
from tests.mjpeg import Camera


@pytest.fixture(scope="module")
def app():
    return application()


@pytest.fixture(scope="module")
def pictures():
    """Every second picture of the demo clip, at half size."""
    with VideoSource(DEMO) as source:
        return [f.picture[::2, ::2] for f in source][::2]


@pytest.fixture
def camera(pictures):
    camera = Camera(pictures, fps=20)
    yield camera
    camera.close()


@pytest.fixture
def window(app, tmp_path, monkeypatch):
    monkeypatch.setattr(gui.window, "RECORDINGS", tmp_path / "recordings")
    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    w = MainWindow(lambda: BlazePoseFinder(MODELS / "blazepose"), Tracker.load, settings=settings, space=False)
    w.show()
    yield w
    w.close()


def wait(app, condition, seconds=40.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        app.processEvents()
        time.sleep(0.005)


def fitted(window):
    return window.view is not None and window.view.vertices is not None


def test_a_session_in_front_of_a_camera(app, window, camera, tmp_path):
    window.open(Input("camera", camera.url))
    wait(app, lambda: window.picture.picture is not None, 5)  # the bare picture, while models load
    wait(app, lambda: fitted(window))
    assert window.view.result.fit.vertex_std.any() and "tracked" in (window._tick_slowly() or window.status.text())

    tracker = window.pipeline.tracker
    for control, option, value in ((window.iterations, "iterations", 3), (window.evidence, "evidence", "maps")):
        control.setCurrentIndex(control.findData(value))
        assert getattr(tracker, option) == value
    window.warm.setChecked(False)
    window.uncertainty.setChecked(False)
    window.height_m.setValue(1.8)
    assert (tracker.warm, tracker.uncertainty, tracker.height) == (False, 0, 1.8)
    seen = window.displayed
    wait(app, lambda: window.displayed > seen + 2)
    assert window.view.result.fit.cold and window.view.result.fit.iterations == 3

    for number, colour in enumerate(COLOURS):
        window.colour.setCurrentIndex(number)
        seen = window.displayed
        wait(app, lambda: window.displayed > seen + 1)
        assert window.painter.look.colour == colour
    plain = window.view.picture
    window.mirror.setChecked(True)
    window.opacity.setValue(0)
    seen = window.displayed
    wait(app, lambda: window.displayed > seen + 1)
    assert window.view.picture.shape == plain.shape

    window.actions_by_name["record"].trigger()
    assert window.recorder is not None
    wait(app, lambda: window.recorder.frames > 8)
    window.actions_by_name["record"].trigger()
    assert window.recorder is None
    wait(app, lambda: [s.whole for s in list_sessions(tmp_path / "recordings")] == [True], 10)
    assert list_sessions(tmp_path / "recordings")[0].frames > 8
    png = window.snapshot(tmp_path)
    assert png.stat().st_size > 10_000 and png.with_suffix(".obj").read_text().count("\nv ") == 6890

    window.actions_by_name["pause"].trigger()
    app.processEvents()
    assert window.pipeline.paused
    window.actions_by_name["step"].trigger()
    window.actions_by_name["reset"].trigger()
    window.actions_by_name["pause"].trigger()

    camera.mode = "stall"
    wait(app, lambda: window.banner.isVisible(), 10)
    assert "camera" in window.banner.text().lower()
    camera.mode = "run"
    wait(app, lambda: not window.banner.isVisible(), 15)
    seen = window.displayed
    wait(app, lambda: window.displayed > seen + 2)

    began = time.monotonic()
    window.close()
    assert time.monotonic() - began < 2.0


def test_no_camera_says_so_and_the_demo_still_plays(app, window):
    assert Input("camera", "rtsp://me:secret@there/1").title == "camera stream"
    window.open(Input("camera", "97"))
    wait(app, lambda: window.banner.isVisible(), 10)
    assert "No camera 97" in window.banner.text()
    window.actions_by_name["demo"].trigger()
    wait(app, lambda: fitted(window))
    assert not (window._tick_slowly() or window.banner.isVisible())


def test_choices_are_remembered(app, window, tmp_path):
    window.colour.setCurrentIndex(2)
    window.mirror.setChecked(True)
    window.height_m.setValue(1.71)
    window.close()
    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    again = MainWindow(BlazePoseFinder, Tracker.load, settings=settings, space=False)
    assert (again.colour.currentIndex(), again.mirror.isChecked(), again.height_m.value()) == (2, True, 1.71)
    settings.setValue("opacity", "rubbish")
    MainWindow(BlazePoseFinder, Tracker.load, settings=settings, space=False).close()
    again.close()


def test_space_has_z_up_and_the_camera_at_the_origin():
    np.testing.assert_allclose(to_space(np.array([[1.0, 2.0, 3.0]])), [[1, 3, -2]])
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    lines = frustum_lines(K, (640, 480))
    assert lines.shape == (16, 3) and not lines[0:8:2].any() and (lines[1:8:2, 1] > 0).all()


def test_every_vertex_belongs_to_a_part():
    labels = BodyModel.load(MODELS / "body" / "lvd_body.npz").part_labels.numpy()
    assert len(PART_COLOURS) == len(BODY_PARTS) and set(part_index(labels)) == set(range(len(BODY_PARTS)))


def test_nothing_to_keep(app, window, tmp_path):
    assert window.snapshot(tmp_path) is None
    window.actions_by_name["record"].trigger()
    assert window.recorder is None and not window.actions_by_name["record"].isChecked()
    assert isinstance(Look(), Look) and Painter.painted is not None
