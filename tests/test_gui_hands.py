"""The switch of the hands: the finder looks for them only while it is on, and the status says so."""

import numpy as np
import pytest
from PySide6.QtCore import QSettings

from lvd_live.gui.app import application
from lvd_live.gui.inputs import Input
from lvd_live.gui.window import MainWindow
from lvd_live.person.hands import WithHands
from lvd_live.person.types import describe, look_for_hands
from tests.fakes import FakeFinder
from tests.mjpeg import Camera
from tests.test_gui_recording import Tracker

SOON_MS = 20_000


class Hands:
    """Stands for `HandFinder`; counts."""

    both, words = False, ("seen", "hidden")

    def __init__(self):
        self.looks = self.resets = 0

    def find(self, picture, person):
        self.looks += 1
        return None, None

    def reset(self):
        self.resets += 1


def test_a_finder_leaves_the_hands_while_it_is_off():
    finder = WithHands(FakeFinder(), Hands())
    look_for_hands(finder, False)
    person = finder.find(np.zeros((48, 64, 3), np.uint8))
    assert person.hands is None and finder.hands.looks == 0 and finder.hands.resets == 1  # none is followed from before
    assert "hands" not in describe(finder)
    look_for_hands(finder, True)
    assert finder.find(np.zeros((48, 64, 3), np.uint8)).hands == (None, None) and describe(finder)["hands"]
    look_for_hands(FakeFinder(), True)  # one that knows no hands


@pytest.mark.parametrize("given", [{}, {"hands": False}])
def test_the_switch_works_live_and_is_locked_while_recording(qtbot, tmp_path, given):
    application()
    camera, found = Camera([np.full((120, 160, 3), 40 + i, np.uint8) for i in range(50)], fps=20), []

    def make_finder():
        found.append(WithHands(FakeFinder(), Hands()))
        return found[-1]

    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    window = MainWindow(make_finder, lambda options: Tracker(), settings=settings, recordings=tmp_path / "recordings")
    qtbot.addWidget(window)
    window.page.controls.choose(given)
    switch = window.page.controls.hands
    assert switch.isChecked() is given.get("hands", True)
    window.show()
    window.open(Input("camera", camera.url))
    qtbot.waitUntil(lambda: window.page.view is not None, timeout=SOON_MS)
    for on in (False, True):
        switch.setChecked(on)
        window.refresh()
        assert window.tracking.tracker.options.hands is on
        qtbot.waitUntil(lambda on=on: found[0].on is on, timeout=SOON_MS)
        qtbot.waitUntil(lambda on=on: (window.page.view.of.person.hands is not None) is on, timeout=SOON_MS)
        window.refresh()
        assert ("hands off" in window.status.text()) is not on
        assert ("left hand seen, right hand hidden" in window.status.text()) is on
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: window.tracking.recording.recorder is not None, timeout=SOON_MS)
    assert not switch.isEnabled()
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: switch.isEnabled(), timeout=SOON_MS)
    switch.setChecked(False)
    window.close()
    camera.close()
    again = MainWindow(make_finder, lambda options: Tracker(), settings=settings, recordings=tmp_path)
    qtbot.addWidget(again)
    assert not again.page.controls.hands.isChecked()
