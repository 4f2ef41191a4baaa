"""Cameras and streams as people name and turn them; what is secret in an address is shown nowhere."""

from __future__ import annotations

import logging
import os
import time

import cv2
import numpy as np
import pytest

from lvd_live.cli import main_job
from lvd_live.cli.parser import make_parser
from lvd_live.cli.places import choose_places
from lvd_live.errors import UserError
from lvd_live.pipeline.offline import process
from lvd_live.session.sequence import load_sequence
from lvd_live.sources import CameraSource, VideoSource, camera, devices
from lvd_live.sources.address import parse_address, public
from lvd_live.sources.capture import CameraMode, parse_mode, set_mode
from tests.fakes import FakeFinder, FakeSource, FakeTracker
from tests.mjpeg import Camera


@pytest.mark.parametrize(
    "text, address",
    [("0", 0), ("12", 12), ("-1", -1), (" 3 ", 3), ("/dev/video7", 7), ("rtsp://h/x", "rtsp://h/x"), ("²", "²")],
)
def test_a_camera_is_a_number_a_device_or_an_address(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("name", ["/dev/video93", "-1", "/dev/no-such-camera"])
def test_a_device_that_is_absent_is_not_called_a_stream(name):
    with pytest.raises(UserError) as caught:
        CameraSource(name, timeout_ms=500)
    assert "stream" not in str(caught.value) and "camera" in str(caught.value).lower()


def test_a_device_is_named_in_the_file():
    arguments = make_parser().parse_args(["--camera", "/dev/video3"])
    assert choose_places(arguments, None).source_name == "camera 3"


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """Linux's account of two webcams and of what is in the laptop; the first has a node without pictures."""
    for number, name, index in (
        (0, "HD Pro Webcam C920", 0),
        (1, "HD Pro Webcam C920", 1),
        (2, "Integrated Camera: Integrated C", 0),
        (4, "Razer Kiyo Pro", 0),
    ):
        node = tmp_path / "v4l" / f"video{number}"
        node.mkdir(parents=True)
        (node / "name").write_text(f"{name}\n")
        (node / "index").write_text(f"{index}\n")
        (tmp_path / f"video{number}").touch()
    (tmp_path / "by-id").mkdir()
    for link, number in (("usb-046d_HD_Pro_Webcam_C920_1A2B-video-index0", 0), ("usb-Razer_Inc-video-index0", 4)):
        (tmp_path / "by-id" / link).symlink_to(tmp_path / f"video{number}")
    monkeypatch.setattr(devices, "V4L", tmp_path / "v4l")
    monkeypatch.setattr(devices, "BY_ID", tmp_path / "by-id")
    monkeypatch.setattr(devices.sys, "platform", "linux")


@pytest.mark.parametrize(
    "text, number",
    [
        ("HD Pro Webcam", 0),
        (" hd pro webcam c920 ", 0),
        ("Integrated Camera: Integrated C", 2),
        ("kiyo", 4),
        ("usb-046d_HD_Pro_Webcam_C920_1A2B-video-index0", 0),
        ("Razer_Inc", 4),
        ("3", 3),
        ("/dev/video7", 7),
        ("-1", -1),
        ("rtsp://kiyo/x", "rtsp://kiyo/x"),
        ("192.168.0.7:8080", "192.168.0.7:8080"),
        ("host/mjpg", "host/mjpg"),
    ],
)
def test_a_camera_is_found_by_its_name(plugged, text, number):
    assert devices.find_camera(text) == number


def test_a_name_that_no_camera_has_lists_those_there_are(plugged, monkeypatch):
    with pytest.raises(UserError, match="names these: 0: HD Pro Webcam C920, 2: Integrated Camera.*4: Razer Kiyo Pro"):
        CameraSource("Elgato Facecam")
    with pytest.raises(UserError, match="Several cameras.*0: HD Pro Webcam C920, 4: Razer Kiyo Pro.*number"):
        devices.find_camera("Pro")
    with pytest.raises(UserError, match="no camera called 'Elgato'"):
        main_job.main(["--camera", "Elgato", "--headless"])
    monkeypatch.setattr(devices, "list_cameras", list)
    with pytest.raises(UserError, match="the system names none"):
        devices.find_camera("Elgato")


def test_the_name_opens_the_number_and_is_in_the_file(plugged, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(camera, "open_capture", lambda address, timeout_ms: opened.append(address))
    with pytest.raises(UserError, match="No camera 4 could be opened"):
        CameraSource("Kiyo")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="No camera 4 could be opened"):
        main_job.main(["--camera", "Kiyo", "--headless"])
    assert opened == [4, 4]


SECRET = [
    ("rtsp://admin:p@ss#1@host:554/x", "rtsp://host:554/x"),
    ("rtsp://admin:pa/ss?1@host/x", "rtsp://host/x"),
    ("http://host/video?user=a&pwd=secret", "http://host/video"),
    ("http://host/video?pwd=s@cret&x=secret", None),
    ("rtsp://host:554/user=admin_password=secret_channel=1.sdp", "rtsp://host:554/user"),
    ("admin:secret@host/x", "host/x"),
    ("http:/host/x?pwd=secret", "http://host/x"),
    ("rtmp://host/live/x", "rtmp://host/live/x"),
]


@pytest.mark.parametrize("address, shown", SECRET)
def test_secrets_are_hidden(address, shown):
    for secret in ("secret", "cret", "admin", "ss#1", "ss?1", "pwd", "p@"):
        assert secret not in public(address)
    assert shown is None or public(address) == shown


@pytest.mark.parametrize("address", ["rtsp://admin:p@ss#1@127.0.0.1:9/x", "http://127.0.0.1:9/x?pwd=secret"])
def test_secrets_are_in_no_sentence_log_or_frame(address, caplog, monkeypatch):
    class Picture:
        def read(self):
            time.sleep(0.01)
            return True, np.zeros((4, 6, 3), np.uint8)

        def get(self, _):
            return 30.0

        def release(self):
            pass

    with caplog.at_level(logging.DEBUG), pytest.raises(UserError) as caught:
        CameraSource(address, timeout_ms=300)
    with pytest.raises(UserError, match="--camera") as as_file:
        VideoSource(address)
    monkeypatch.setattr(camera, "open_capture", lambda address, timeout_ms: Picture())
    with CameraSource(address) as source:
        name = source.read(timeout_s=2).name
    everything = f"{caught.value} {as_file.value} {caplog.text} {name}"
    assert not any(secret in everything for secret in ("admin", "ss#1", "secret", "pwd"))


@pytest.mark.parametrize("text, mode", [("1280x720@30", (1280, 720, 30.0)), ("640X480", (640, 480, None))])
def test_a_camera_size_as_typed(text, mode):
    found = make_parser().parse_args(["--camera", "0", "--camera-size", text]).camera_size
    assert (found.width, found.height, found.fps) == mode


@pytest.mark.parametrize("text", ["", "1280", "0x720", "1280x720@0", "ax3", "1280x720@nan"])
def test_no_camera_size(text):
    with pytest.raises(ValueError, match="no size"):
        parse_mode(text)
    with pytest.raises(UserError, match="no size" if text else "empty value"):
        make_parser().parse_args(["--camera", "0", "--camera-size", text])


class Device:
    """A camera that has large pictures as `code` only."""

    def __init__(self, code):
        self.code, self.asked, self.has = code, [], {}

    def set(self, what, value):
        if what == cv2.CAP_PROP_FOURCC:
            self.asked.append(int(value).to_bytes(4, "little").decode())
            self.has[what] = value
        elif self.asked[-1] == self.code:
            self.has[what] = value
        return True

    def get(self, what):
        return self.has.get(what, 0.0)

    def read(self):
        time.sleep(0.01)
        width, height = int(self.get(cv2.CAP_PROP_FRAME_WIDTH)) or 64, int(self.get(cv2.CAP_PROP_FRAME_HEIGHT)) or 48
        return True, np.zeros((height, width, 3), np.uint8)

    def release(self):
        pass


@pytest.mark.parametrize("code, asked", [("MJPG", ["MJPG"]), ("YUY2", ["MJPG", "YUY2"])])
def test_a_size_is_asked_for_as_mjpg_first(code, asked):
    device = Device(code)
    set_mode(device, CameraMode(1280, 720, 30))
    assert device.asked == asked and device.get(cv2.CAP_PROP_FRAME_WIDTH) == 1280
    assert device.get(cv2.CAP_PROP_FPS) == 30


def test_a_size_that_the_camera_has_not_is_said(monkeypatch, caplog):
    for code, words in (("MJPG", ""), ("none", "sends 64 x 48")):
        monkeypatch.setattr(camera, "open_capture", lambda address, timeout_ms, code=code: Device(code))
        with CameraSource(0, mode=CameraMode(128, 96)) as source:
            assert source.size == ((128, 96) if code == "MJPG" else (64, 48))
        assert words in caplog.text if words else not caplog.text


def test_a_stream_that_changes_its_size_keeps_its_pictures_in_shape(tmp_path, caplog):
    """As a phone that is turned: the server sends 80 x 48, then 48 x 80; a disc stays a disc."""

    def disc(height, width, grey):
        return cv2.circle(np.full((height, width, 3), grey, np.uint8), (width // 2, height // 2), 15, (255, 0, 0), -1)

    turns = [disc(48, 80, 40 + n) for n in range(20)] + [disc(80, 48, 40 + n) for n in range(20)]
    server = Camera(turns, fps=40.0)
    try:
        with caplog.at_level(logging.WARNING), CameraSource(server.url) as source:
            frames, end = [], time.monotonic() + 6
            while time.monotonic() < end and len({frame.picture.shape for frame in frames}) < 2 or len(frames) < 30:
                if (frame := source.read(timeout_s=1)) is not None:
                    frames.append(frame)
    finally:
        server.close()
    assert {frame.picture.shape for frame in frames} == {(48, 80, 3), (80, 48, 3)}
    for frame in frames:
        rows, columns = np.nonzero(frame.picture[..., 0].astype(int) - frame.picture[..., 1] > 100)
        assert abs(np.ptp(rows) - np.ptp(columns)) <= 2 and np.ptp(rows) > 25
    assert "now sends pictures of" in caplog.text


def test_each_size_of_a_stream_has_its_own_intrinsics_and_cold_start(tmp_path):
    finder, tracker = FakeFinder(), FakeTracker()
    source = FakeSource(count=6, sizes=((80, 48), (80, 48), (80, 48), (48, 80), (48, 80), (48, 80)))
    process(source, finder, tracker, output=tmp_path / "a.npz", progress=False)
    sequence = load_sequence(tmp_path / "a.npz")
    assert sequence.image_size[2].tolist() == [80, 48] and sequence.image_size[3].tolist() == [48, 80]
    assert sequence.intrinsics[3, 0, 2] == 23.5 and sequence.intrinsics[2, 0, 2] == 39.5
    assert sequence.iterations.tolist() == [6, 2, 2, 6, 2, 2] and finder.resets == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_called_empty(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UserError, match="is a pipe"):
        VideoSource(tmp_path / "pipe.mp4")
