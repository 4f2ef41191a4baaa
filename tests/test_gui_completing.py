"""In the window: the frames that a recording had no time for are fitted afterwards, in the background."""

import time

import numpy as np
import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtTest import QTest

from lvd_live.gui.app import application
from lvd_live.gui.browser import Browser
from lvd_live.gui.inputs import Input
from lvd_live.gui.loading import load
from lvd_live.gui.review import Review
from lvd_live.gui.window import MainWindow
from lvd_live.session.library import list_sessions
from lvd_live.session.reader import open_session
from tests.fakes import FakeFinder
from tests.mjpeg import Camera
from tests.test_gui_recording import Tracker

SOON_MS = 15_000


@pytest.fixture(scope="module", autouse=True)
def app():
    return application()


class Machine:
    """Makes trackers: slow while it is live, `later_s` seconds a frame afterwards."""

    def __init__(self, later_s=0.0):
        self.later_s, self.options = later_s, []

    def make(self, options):
        delay = self.later_s if self.options else 0.1
        self.options.append(options)

        class Slow(Tracker):
            def describe(self):
                return self.options.to_json()

            def step(self, frame, person):
                time.sleep(delay)
                return super().step(frame, person)

        tracker = Slow()
        tracker.options = options
        return tracker


@pytest.fixture
def make_window(qtbot, tmp_path):
    camera = Camera([np.full((120, 160, 3), 40 + i, np.uint8) for i in range(100)], fps=30)

    def make(machine):
        settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
        window = MainWindow(FakeFinder, machine.make, settings=settings, recordings=tmp_path / "recordings")
        qtbot.addWidget(window)
        window.page.controls.measure.setChecked(False)
        window.page.controls.height_m.setValue(1.8)
        window.show()
        window.open(Input("camera", camera.url))
        qtbot.waitUntil(lambda: window.page.view is not None, timeout=SOON_MS)
        return window

    yield make
    camera.close()


def record(qtbot, window, seconds=2.0):
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: window.tracking.recording.recorder.seconds >= seconds, timeout=SOON_MS)
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: window.page.picture.card.isVisible(), timeout=SOON_MS)
    return window.page.picture.card.taken


def test_a_take_of_a_slow_machine_is_completed_behind_the_window(qtbot, make_window):
    machine, ended = Machine(), []
    window = make_window(machine)
    window.tracking.completer.ended.connect(lambda *now: ended.append(now))
    taken = record(qtbot, window)
    assert taken.unfitted > 0.5 * taken.frames and taken.lost == 0
    card = window.page.picture.card
    assert card.rest.isVisible() and card.rest.text().startswith(f"{taken.unfitted} of the frames")
    qtbot.waitUntil(lambda: bool(ended), timeout=SOON_MS)
    assert card.rest.text() == f"{taken.unfitted} frames fitted; the take has all of the camera's frames."
    session = open_session(taken.path)
    assert session.tracked.all() and (np.diff(session.frame_index) == 1).all()
    assert machine.options[1].height == 1.8 == machine.options[0].height


def test_it_can_be_stopped_and_the_browser_goes_on(qtbot, make_window, tmp_path):
    window, ended = make_window(Machine(later_s=0.05)), []
    completer = window.tracking.completer
    completer.ended.connect(lambda *now: ended.append(now))
    taken, bar = record(qtbot, window), window.findChild(type(window.statusBar()))
    qtbot.waitUntil(lambda: completer.path is not None, timeout=SOON_MS)
    stop = next(b for b in bar.findChildren(type(window.page.picture.card.open_button)) if b.text() == "Stop")
    qtbot.waitUntil(stop.isVisible, timeout=SOON_MS)
    QTest.mouseClick(stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(ended), timeout=SOON_MS)
    assert "still wait" in ended[0][1] and "still wait" in window.page.picture.card.rest.text()
    left = list_sessions(tmp_path / "recordings")[0].unfitted
    assert 0 < left < taken.unfitted
    window.actions_by_name["recordings"].trigger()
    browser, review = window.browser, Review(*load(taken.path))
    assert isinstance(browser, Browser) and browser.table.item(0, 6).text() == f"{left} to fit"
    browser.buttons["complete"].click()
    assert not browser.buttons["complete"].isEnabled() and not browser.buttons["rename"].isEnabled()
    qtbot.waitUntil(lambda: len(ended) == 2, timeout=SOON_MS)
    assert browser.table.item(0, 6).text() == "" and browser.buttons["rename"].isEnabled()
    assert review.data.fitted.all()  # it shows what there is now
    review.close()


def test_a_recording_has_the_machine_for_itself(qtbot, make_window):
    window, done = make_window(Machine(later_s=0.03)), []
    window.tracking.completer.progressed.connect(lambda *now: done.append(now))
    record(qtbot, window)
    qtbot.waitUntil(lambda: bool(done), timeout=SOON_MS)
    window.actions_by_name["record"].trigger()
    qtbot.wait(200)
    count = len(done)
    qtbot.wait(400)
    assert len(done) == count
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: len(done) > count, timeout=SOON_MS)


def test_closing_the_window_stops_it_and_the_take_is_marked(qtbot, make_window, tmp_path):
    window = make_window(Machine(later_s=0.1))
    record(qtbot, window)
    qtbot.waitUntil(lambda: window.tracking.completer.path is not None, timeout=SOON_MS)
    qtbot.wait(500)
    began = time.monotonic()
    window.close()
    assert time.monotonic() - began < 3
    info = list_sessions(tmp_path / "recordings")[0]
    assert info.whole and info.unfitted > 0 and (~open_session(info.path).fitted).sum() == info.unfitted
