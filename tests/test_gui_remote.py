"""Advice in the picture, and recording by a gesture or by OSC: for somebody far from the keyboard."""

import socket
import time

import numpy as np
import pytest
from PySide6.QtCore import QSettings

from lvd_live.export import osc
from lvd_live.gui.app import application
from lvd_live.gui.guide import Gesture
from lvd_live.gui.inputs import Input
from lvd_live.gui.remote import OscRemote
from lvd_live.gui.window import MainWindow
from lvd_live.person import guidance
from lvd_live.person.guidance import advise, hands_are_up
from tests.fakes import FakeFinder, fake_person
from tests.mjpeg import Camera
from tests.test_gui_recording import Tracker

SOON_MS = 15_000
PICTURE = np.full((480, 640, 3), 120, np.uint8)


@pytest.fixture(scope="module", autouse=True)
def app():
    return application()


def standing(height=400.0, top=40.0, x=320.0):
    """Landmarks of somebody who stands upright, arms down: `height` pixels from nose to heels."""
    y = np.full(33, 0.3)
    y[:11], y[11:13], y[13:15], y[15:23] = 0.0, 0.12, 0.3, 0.48
    y[23:25], y[25:27], y[27:33] = 0.5, 0.75, 1.0
    landmarks = np.column_stack([np.full(33, x), top + height * y, np.ones(33)]).astype(np.float32)
    landmarks[11:33:2, 0] += 0.1 * height
    landmarks[12:33:2, 0] -= 0.1 * height
    return landmarks


def raised(landmarks):
    landmarks[15:23, 1] = landmarks[0, 1] - 60
    return landmarks


@pytest.mark.parametrize(
    ("landmarks", "picture", "people", "said"),
    [
        (standing(), PICTURE, 1, ""),
        (standing(), PICTURE // 6, 1, guidance.TOO_DARK),
        (None, PICTURE, 1, guidance.NOBODY),
        (None, PICTURE + 120, 1, guidance.TOO_BRIGHT),
        (standing(), PICTURE, 2, guidance.TWO),
        (standing(), PICTURE, 3, "3 people are in view: only one of them is tracked"),
        (standing(height=700.0), PICTURE, 1, guidance.NO_FEET),
        (standing(top=-60.0), PICTURE, 1, guidance.NO_HEAD),
        (standing(x=640.0), PICTURE, 1, guidance.TO_THE_MIDDLE),
        (standing(height=90.0), PICTURE, 1, guidance.TOO_FAR),
    ],
)
def test_the_person_is_told_what_to_change(landmarks, picture, people, said):
    assert advise(picture, None if landmarks is None else fake_person(landmarks), people) == said


def test_feet_that_are_only_imagined_are_not_seen():
    landmarks = standing()
    landmarks[27:33, 2] = 0.1
    assert advise(PICTURE, fake_person(landmarks)) == guidance.NO_FEET


def test_hands_above_the_head_are_a_sign_only_where_both_are_seen():
    assert hands_are_up(fake_person(raised(standing()))) and not hands_are_up(fake_person(standing()))
    one = raised(standing())
    one[16, 1] = one[12, 1]
    unseen = raised(standing())
    unseen[15, 2] = 0.1
    assert not hands_are_up(fake_person(one)) and not hands_are_up(fake_person(unseen)) and not hands_are_up(None)


def test_the_gesture_takes_two_seconds_and_counts_once():
    acted, up, down = [], fake_person(raised(standing())), fake_person(standing())
    gesture = Gesture(lambda: acted.append(1))
    frames = [up] * 40 + [None] * 5 + [up] * 30 + [down] * 20 + [up] * 50 + [down] * 20 + [up] * 65
    counts = []
    for index, person in enumerate(frames):
        gesture(person, round(index * 1e9 / 30))
        counts.append(len(acted))
    assert counts[59] == 0 and counts[62] == 1  # a few frames without hands do not matter
    assert counts[144] == 1 and counts[-1] == 2  # 50 frames are too short
    assert gesture.progress == 0.0


class Raising(FakeFinder):
    """Stands with the hands up as long as `up` is set."""

    up = False

    def find(self, picture):
        return fake_person(raised(standing(80.0, 30.0, 80.0)) if Raising.up else standing(80.0, 30.0, 80.0))

    def detect(self, picture, roi):
        return [1, 2]


@pytest.fixture
def window(qtbot, tmp_path):
    camera = Camera([np.full((120, 160, 3), 90 + i, np.uint8) for i in range(100)], fps=20)
    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    window = MainWindow(Raising, lambda _: Tracker(), settings=settings, recordings=tmp_path / "recordings")
    qtbot.addWidget(window)
    window.page.controls.measure.setChecked(False)
    window.show()
    window.open(Input("camera", camera.url))
    qtbot.waitUntil(lambda: window.page.view is not None, timeout=SOON_MS)
    Raising.up = False
    yield window
    window.close()
    camera.close()


def test_raised_hands_record_where_that_is_switched_on(qtbot, window):
    record, controls = window.actions_by_name["record"], window.page.controls
    assert not controls.gesture.isChecked() and not controls.osc.isChecked()
    Raising.up = True
    qtbot.wait(2500)
    assert not record.isChecked()
    controls.gesture.setChecked(True)
    qtbot.waitUntil(lambda: "recording starts" in window.page.picture.advice, timeout=SOON_MS)
    qtbot.waitUntil(record.isChecked, timeout=SOON_MS)
    assert window.tracking.recording.recorder is not None
    qtbot.wait(500)
    Raising.up = False
    qtbot.wait(500)
    Raising.up = True
    qtbot.waitUntil(lambda: not record.isChecked(), timeout=SOON_MS)


def test_advice_is_in_the_picture_of_a_camera(qtbot, window):
    qtbot.waitUntil(lambda: window.page.picture.advice == guidance.TWO, timeout=SOON_MS)
    window.page.controls.guidance.setChecked(False)
    qtbot.waitUntil(lambda: window.page.picture.advice == "", timeout=SOON_MS)


def test_osc_records_where_that_is_switched_on(qtbot, window, monkeypatch):
    record, remote = window.actions_by_name["record"], window.remotes.osc
    monkeypatch.setattr("lvd_live.gui.remote.PORT", 0)
    remote.switch_on(0)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(data):
        sender.sendto(data, ("127.0.0.1", remote.port))

    send(osc.message("/record", 1))
    qtbot.waitUntil(record.isChecked, timeout=SOON_MS)
    for ignored in (osc.message("/record", 1), osc.message("/other"), b"", b"/record", b"\xff" * 99):
        send(ignored)
    qtbot.wait(300)
    assert record.isChecked()
    send(osc.bundle([osc.message("/record", 0.0)])[0])
    qtbot.waitUntil(lambda: not record.isChecked(), timeout=SOON_MS)
    send(osc.message("/record"))
    qtbot.waitUntil(record.isChecked, timeout=SOON_MS)
    remote.switch_off()
    assert remote.port is None
    sender.close()


def test_a_port_that_is_taken_is_said():
    first, second, said = OscRemote(), OscRemote(), []
    first.switch_on(0)
    second.failed.connect(said.append)
    second.switch_on(first.port)
    assert said and str(first.port) in said[0] and second.port is None
    first.switch_off()
    time.sleep(0.05)


def test_anything_may_come_by_osc():
    message = osc.message("/record", 1, 0.5, "now")
    assert osc.read(message) == [("/record", [1, 0.5, "now"])]
    assert osc.read(osc.bundle([message, osc.message("/x")])[0]) == [("/record", [1, 0.5, "now"]), ("/x", [])]
    assert osc.read(b"/record\0,T\0\0") == [("/record", [1])]
    for number in (float("nan"), float("inf")):  # no start and no stop
        assert osc.read(osc.message("/record", number)) == []
    nested = message
    for _ in range(9):
        nested = osc.bundle([nested])[0]
    assert osc.read(nested) == []
    random = np.random.default_rng(0)
    for cut in range(len(message)):
        osc.read(message[:cut])
        osc.read(random.integers(0, 256, cut, np.uint8).tobytes())
        osc.read(b"#bundle\0" + random.integers(0, 256, cut, np.uint8).tobytes())
