"""What is shown as a camera of other programs, on green where wanted, and the picture alone on the screen."""

import sys
import types

import numpy as np
import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QToolBar

from lvd_live.errors import UserError
from lvd_live.gui.app import application
from lvd_live.gui.inputs import Input
from lvd_live.gui.painter import GREEN
from lvd_live.gui.virtual_camera import open_camera
from lvd_live.gui.window import MainWindow
from tests.fakes import FakeFinder
from tests.mjpeg import Camera
from tests.test_gui_recording import Tracker

SOON_MS = 15_000


class Device:
    """Stands for pyvirtualcam's."""

    device = "LVD test camera"
    made: list = []

    def __init__(self, width, height, fps, fmt):
        self.size, self.pictures, self.closed = (width, height), [], False
        Device.made.append(self)

    def send(self, picture):
        assert picture.shape == (self.size[1], self.size[0], 3) and picture.flags["C_CONTIGUOUS"]
        self.pictures.append(picture.copy())

    def close(self):
        self.closed = True


@pytest.fixture
def pyvirtualcam(monkeypatch):
    module = types.ModuleType("pyvirtualcam")
    module.Camera, module.PixelFormat = Device, types.SimpleNamespace(RGB="rgb")
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    Device.made = []
    return module


@pytest.fixture
def window(qtbot, tmp_path):
    application()
    camera = Camera([np.full((121, 161, 3), 40 + i, np.uint8) for i in range(100)], fps=20)
    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    window = MainWindow(FakeFinder, lambda _: Tracker(), settings=settings, recordings=tmp_path / "recordings")
    qtbot.addWidget(window)
    window.page.controls.measure.setChecked(False)
    window.show()
    window.activateWindow()
    window.open(Input("camera", camera.url))
    qtbot.waitUntil(lambda: window.page.view is not None, timeout=SOON_MS)
    yield window
    window.close()
    camera.close()


def test_what_is_shown_is_a_camera_of_other_programs(qtbot, window, pyvirtualcam):
    controls = window.page.controls
    assert not controls.virtual.isChecked()
    controls.virtual.setChecked(True)
    qtbot.waitUntil(lambda: bool(Device.made) and len(Device.made[0].pictures) > 3, timeout=SOON_MS)
    (device,) = Device.made
    assert device.size == (160, 120)
    qtbot.waitUntil(lambda: "LVD test camera" in controls.virtual.text(), timeout=SOON_MS)
    controls.green.setChecked(True)
    qtbot.waitUntil(lambda: tuple(device.pictures[-1][2, 2]) == GREEN, timeout=SOON_MS)
    assert (np.abs(device.pictures[-1].astype(int) - GREEN).sum(-1) > 30).any()  # the body
    controls.virtual.setChecked(False)
    qtbot.waitUntil(lambda: device.closed, timeout=SOON_MS)
    assert controls.virtual.text() == "virtual camera" or window.sending.camera.state() == ""


def test_without_the_package_or_a_driver_it_says_what_to_install(qtbot, window, pyvirtualcam, monkeypatch):
    class Absent:
        def __init__(self, **options):
            raise RuntimeError("no device\nmore of it")

    pyvirtualcam.Camera = Absent
    window.page.controls.virtual.setChecked(True)
    qtbot.waitUntil(lambda: not window.page.controls.virtual.isChecked(), timeout=SOON_MS)
    assert "There is no virtual camera; install OBS" in window.statusBar().currentMessage()
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(UserError, match=r"pip install -e .\[camera\]"):
        open_camera(64, 48)


def test_the_picture_alone_and_back(qtbot, window):
    page, bar = window.page, window.findChild(QToolBar)
    QTest.qWaitForWindowActive(window)
    QTest.keyClick(window, Qt.Key.Key_F12)
    others = (bar, window.statusBar(), page.controls.essentials, page.space, page.bar)
    qtbot.waitUntil(lambda: not any(widget.isVisible() for widget in others), timeout=SOON_MS)
    qtbot.waitUntil(lambda: page.picture.size() == window.size(), timeout=SOON_MS)
    assert window.isFullScreen()
    QTest.keyClick(window, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: all(widget.isVisible() for widget in others), timeout=SOON_MS)
    assert not window.isFullScreen()
