"""Recording in the window, by a stand-in tracker: nobody can miss that it runs, nor why it ended."""

import time
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit

from lvd_live.body.model import BodyModel
from lvd_live.gui import recording as module
from lvd_live.gui.app import application
from lvd_live.gui.inputs import Input
from lvd_live.gui.record_control import clock_text
from lvd_live.gui.review import Review
from lvd_live.gui.window import MainWindow
from lvd_live.paths import DEMO, MODELS
from lvd_live.session.library import list_sessions
from lvd_live.session.reader import open_session
from tests.fakes import RUNTIME, FakeFinder, FakeTracker
from tests.mjpeg import Camera

SOON_MS = 15_000
RED = (211, 34, 47)


class Tracker(FakeTracker):
    """With what the window asks a tracker for."""

    runtime, shown_body = RUNTIME, BodyModel.load(MODELS / "body" / "lvd_body.npz")


@pytest.fixture(scope="module", autouse=True)
def app():
    return application()


@pytest.fixture
def camera():
    camera = Camera([np.full((120, 160, 3), 40 + i, np.uint8) for i in range(100)], fps=20)
    yield camera
    camera.close()


@pytest.fixture
def window(qtbot, tmp_path, camera):
    """One that shows fits."""
    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    settings.setValue("measure", False)
    window = MainWindow(FakeFinder, lambda options: Tracker(), settings=settings, recordings=tmp_path / "recordings")
    qtbot.addWidget(window)
    window.page.controls.measure.setChecked(False)
    window.show()
    window.activateWindow()
    QTest.qWaitForWindowActive(window)
    window.open(Input("camera", camera.url))
    qtbot.waitUntil(lambda: window.page.view is not None, timeout=SOON_MS)
    return window


def record(qtbot, window, frames=6):
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: window.tracking.recording.recorder.frames >= frames, timeout=SOON_MS)


def pixel(widget, x, y):
    return widget.grab().toImage().pixelColor(x, y).getRgb()[:3]


def test_a_recording_is_seen_and_no_message_hides_it(qtbot, window):
    picture, label = window.page.picture, window.record_control.label
    assert pixel(picture, 2, picture.height() // 2) != RED and not label.isVisible()
    record(qtbot, window)
    window.say("Snapshot: somewhere")
    qtbot.wait(200)
    assert label.isVisible() and label.text().startswith("● recording")
    assert pixel(picture, 2, picture.height() // 2) == RED and picture.clock
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: picture.card.isVisible(), timeout=SOON_MS)
    assert not label.isVisible() and pixel(picture, 2, picture.height() // 2) != RED


def test_options_that_would_end_a_take_are_locked(qtbot, window):
    controls = window.page.controls
    boxes = (controls.height_m, controls.presets, controls.iterations, controls.conditioning)
    ends_a_take = (*boxes, controls.warm, controls.outline, controls.uncertainty)
    controls.height_m.setFocus()
    record(qtbot, window)
    assert not any(widget.isEnabled() for widget in ends_a_take) and window.page.picture.hasFocus()
    assert controls.opacity.isEnabled() and controls.mirror.isEnabled()
    window.actions_by_name["record"].trigger()
    assert all(widget.isEnabled() for widget in ends_a_take)


def test_why_a_take_ended_stays_until_it_is_dismissed(qtbot, window, camera):
    card = window.page.picture.card
    record(qtbot, window)
    window.page.controls.height_m.setValue(1.7)
    qtbot.waitUntil(lambda: card.isVisible(), timeout=SOON_MS)
    assert card.why.text() == "The recording ended because another height was chosen." and card.why.isVisible()
    window.say("something else")
    qtbot.wait(300)
    assert card.isVisible()
    QTest.mouseClick(card.dismiss_button, Qt.MouseButton.LeftButton)
    assert not card.isVisible()
    record(qtbot, window)
    window.open(Input("camera", camera.url))
    qtbot.waitUntil(lambda: card.isVisible(), timeout=SOON_MS)
    assert "another input" in card.why.text()


def test_a_full_disk_ends_a_take_and_that_stays(qtbot, window):
    record(qtbot, window)
    window.tracking.recording.recorder.problem = "Recording stopped: the disk is full."
    card = window.page.picture.card
    qtbot.waitUntil(lambda: card.isVisible(), timeout=SOON_MS)
    assert card.why.text().startswith("Recording stopped: the disk is full.")
    assert window.tracking.recording.recorder is None and not window.actions_by_name["record"].isChecked()


def test_a_refused_recording_is_said_until_it_is_dismissed(qtbot, window, tmp_path):
    (tmp_path / "recordings").write_text("a file where the folder should be")
    window.actions_by_name["record"].trigger()
    card = window.page.picture.card
    assert card.isVisible() and card.why.text().startswith("Cannot record to ") and card.open_button.isHidden()
    assert card.headline.text() == "Nothing was recorded." and not window.actions_by_name["record"].isChecked()


@pytest.mark.slow
def test_a_take_ends_with_its_video(qtbot, window):
    window.open(Input("video", str(DEMO)))
    qtbot.waitUntil(lambda: window.page.view is not None, timeout=SOON_MS)
    record(qtbot, window)
    card = window.page.picture.card
    qtbot.waitUntil(lambda: card.isVisible(), timeout=SOON_MS)
    assert card.why.text() == "The recording ended because there are no more pictures."
    assert open_session(card.taken.path).frame_index[-1] == 64  # the clip's last frame


def test_escape_dismisses_the_card(qtbot, window):
    record(qtbot, window)
    window.actions_by_name["record"].trigger()
    card = window.page.picture.card
    qtbot.waitUntil(lambda: card.isVisible(), timeout=SOON_MS)
    QTest.keyClick(window, Qt.Key.Key_Escape)
    assert not card.isVisible()


def test_the_card_says_what_was_recorded_and_opens_it(qtbot, window, tmp_path):
    record(qtbot, window, 12)
    window.actions_by_name["record"].trigger()
    card = window.page.picture.card
    qtbot.waitUntil(lambda: card.isVisible(), timeout=SOON_MS)
    info = list_sessions(tmp_path / "recordings")[0]
    dropped = f", {info.lost} dropped" if info.lost else ""
    assert card.headline.text() == f"Recorded: {info.seconds:.1f} s, {info.frames} frames{dropped}"
    assert not card.why.isVisible()
    QTest.mouseClick(card.open_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.findChild(Review) is not None, timeout=SOON_MS)
    window.findChild(Review).close()


def test_a_countdown_comes_first_and_can_be_called_off(qtbot, window):
    controls, action, picture = window.page.controls, window.actions_by_name["record"], window.page.picture
    assert [controls.countdown.itemData(i) for i in range(controls.countdown.count())] == [0, 3, 5, 10]
    controls.countdown.setCurrentIndex(1)
    action.trigger()
    assert action.isChecked() and window.tracking.recording.recorder is None and picture.countdown == 3
    action.trigger()
    assert not action.isChecked() and picture.countdown == 0
    qtbot.wait(100)
    began = time.monotonic()
    action.trigger()
    qtbot.waitUntil(lambda: picture.countdown == 1, timeout=SOON_MS)
    qtbot.waitUntil(lambda: window.tracking.recording.recorder is not None, timeout=SOON_MS)
    assert 2.9 < time.monotonic() - began < 4.5 and picture.countdown == 0 and action.isChecked()
    action.trigger()


def test_it_beeps_where_that_is_wanted(qtbot, window, monkeypatch):
    beeps = []
    monkeypatch.setattr(QApplication, "beep", lambda: beeps.append(1))
    record(qtbot, window)
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: window.page.picture.card.isVisible(), timeout=SOON_MS)
    assert not beeps
    window.page.controls.sound.setChecked(True)
    window.page.controls.countdown.setCurrentIndex(1)
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: window.tracking.recording.recorder is not None, timeout=SOON_MS)
    assert len(beeps) == 4  # 3, 2, 1, begun
    qtbot.wait(300)
    window.actions_by_name["record"].trigger()
    qtbot.waitUntil(lambda: len(beeps) == 5, timeout=SOON_MS)


def test_it_is_recorded_by_key_wherever_the_focus_is(qtbot, window):
    controls, recording = window.page.controls, window.tracking.recording
    for widget in (controls.height_m, controls.colour, controls.opacity, window.page.picture):
        for on in (True, False):
            widget.setFocus()
            QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_V)
            assert (recording.recorder is not None) == on, widget
    window.actions_by_name["recordings"].trigger()
    field = QLineEdit(window.browser)
    field.show()
    window.browser.activateWindow()
    QTest.qWaitForWindowActive(window.browser)
    field.setFocus()
    QTest.keyClick(field, Qt.Key.Key_F9)
    assert recording.recorder is not None and not field.text()
    QTest.keyClick(field, Qt.Key.Key_F9)
    assert recording.recorder is None


def test_a_mesh_that_is_not_of_now_looks_it(qtbot, window, camera):
    picture, space = window.page.picture, window.page.space
    space.look_from_front()
    assert not picture.stale and not space.stale
    lively = pixel(picture, picture.width() // 2, 40)
    camera.mode = "stall"
    qtbot.waitUntil(lambda: picture.stale, timeout=SOON_MS)
    assert space.stale and pixel(picture, picture.width() // 2, 40) != lively
    camera.mode = "close"
    qtbot.waitUntil(lambda: window.tracking.pipeline.state == "reconnecting", timeout=SOON_MS)
    assert picture.stale and "failed" not in window.status.text()
    camera.mode = "run"
    qtbot.waitUntil(lambda: not picture.stale and not space.stale, timeout=SOON_MS)


def test_a_clock_is_read_at_a_glance():
    assert [clock_text(s) for s in (0, 9.99, 61.26, 3725.5)] == ["0:00.0", "0:09.9", "1:01.2", "62:05.5"]
    assert str(module.Recorded(Path("walk"), 12.41, 372, 0, "")) == "Recorded: 12.4 s, 372 frames"
    assert str(module.Recorded(Path("walk"), 12.41, 372, 8, "")) == "Recorded: 12.4 s, 372 frames, 8 dropped"
    assert str(module.Recorded(None, 0.0, 0, 0, "")) == "Nothing was recorded."
