"""Video files, still pictures and live streams, whole and broken."""

from __future__ import annotations

import errno
import gc
import logging
import struct
import time
import zlib
from itertools import islice, pairwise

import av
import cv2
import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.paths import DEMO
from lvd_live.session.sequence import load_sequence
from lvd_live.sources import CameraSource, ImageSource, VideoSource, camera
from lvd_live.sources.images import read_picture
from lvd_live.storage import files
from lvd_live.storage.files import check_writable, fresh_name
from tests.mjpeg import Camera


def pictures(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Pictures whose grey level is their number, with a red top-left corner."""
    shots = []
    for i in range(count):
        picture = np.full((height, width, 3), 40 + 5 * (i % 40), np.uint8)
        picture[: height // 3, : width // 3] = (230, 20, 20)
        shots.append(picture)
    return shots


def write_video(path, shots, *, codec="libx264", pix_fmt="yuv420p", fps=25, options=None, mux=None, first_pts=0):
    with av.open(str(path), "w", options=mux or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *shots[0].shape[:2], pix_fmt
        for i, shot in enumerate(shots):
            frame = av.VideoFrame.from_ndarray(shot, format="rgb24")
            frame.pts = i + first_pts
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def is_red(pixel) -> bool:
    return pixel[0] > 150 and pixel[1] < 110 and pixel[2] < 110


def test_video_frames_times_and_facts(tmp_path):
    path = write_video(tmp_path / "clip.mp4", pictures(20))
    with VideoSource(path) as source:
        assert (source.fps, source.frame_count, source.size) == (25.0, 20, (64, 48))
        frames = list(source)
        again = list(source)
    assert [f.index for f in frames] == list(range(20)) and len(again) == 20
    assert [f.timestamp_ns for f in frames] == [i * 40_000_000 for i in range(20)]
    assert frames[3].picture.shape == (48, 64, 3) and frames[3].picture.dtype == np.uint8
    assert frames[3].picture.flags.c_contiguous and frames[3].name == "clip.mp4"
    assert all(abs(int(f.picture[40, 50, 0]) - (40 + 5 * f.index)) < 8 for f in frames)
    assert is_red(frames[0].picture[4, 4]) and source.damaged is None


def test_closing_half_way_is_not_damage(tmp_path):
    source = VideoSource(write_video(tmp_path / "clip.mp4", pictures(20)))
    for frame in source:
        if frame.index == 4:
            source.close()
    assert frame.index < 20 and source.damaged is None


def test_video_that_starts_late(tmp_path):
    path = write_video(tmp_path / "late.mkv", pictures(5), first_pts=50)
    with VideoSource(path) as source:
        assert [f.timestamp_ns for f in source][0] == 0
        assert source.start_ns == pytest.approx(2e9, abs=2e8)


@pytest.mark.parametrize("shape", [(47, 63), (1, 1), (3, 129)])
def test_video_of_odd_size(tmp_path, shape):
    path = write_video(tmp_path / "odd.mkv", pictures(4, *shape), codec="ffv1", pix_fmt="bgr0")
    with VideoSource(path) as source:
        assert source.size == shape[::-1]
        assert [f.picture.shape for f in source] == [(*shape, 3)] * 4


def test_grey_video_becomes_rgb(tmp_path):
    path = write_video(tmp_path / "grey.mkv", pictures(3), codec="ffv1", pix_fmt="gray")
    with VideoSource(path) as source:
        picture = next(iter(source)).picture
    assert picture.shape == (48, 64, 3) and np.ptp(picture.astype(int), axis=2).max() <= 1


TURNED = [
    ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    ((0, -1, 1, 0), np.rot90),
    ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
    ((0, 0, 0, 0), lambda p: p),
]


@pytest.mark.parametrize(("matrix", "turn"), TURNED)
def test_rotation_in_the_header_is_applied(tmp_path, matrix, turn):
    """The display matrix is written into the file by hand: (0, 1, -1, 0) means shown a quarter turn clockwise."""
    path = write_video(tmp_path / "phone.mp4", pictures(3))
    data = bytearray(path.read_bytes())
    a, b, c, d = (65536 * value for value in matrix)
    start = data.index(b"tkhd") + 44
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    with VideoSource(path) as source:
        picture = next(iter(source)).picture
        expected = turn(pictures(1)[0])
        assert picture.shape == expected.shape and source.size == expected.shape[1::-1]
    assert np.abs(picture.astype(int) - expected).mean() < 8


def test_a_video_of_a_varying_rate_is_not_called_damaged(tmp_path, caplog):
    path = tmp_path / "slow.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for pts, shot in zip(np.cumsum([0, 1, 9, 2, 8] * 6), pictures(30), strict=True):
            frame = av.VideoFrame.from_ndarray(shot, format="rgb24")
            frame.pts = int(pts)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with VideoSource(path) as source:
        assert len(list(source)) == 30 and source.damaged is None and "damaged" not in caplog.text


@pytest.mark.parametrize("name", ["cut.mkv", "cut.mp4"])
def test_a_file_cut_in_the_middle_gives_what_is_there(tmp_path, caplog, name):
    noise = [np.random.default_rng(i).integers(0, 255, (48, 64, 3), dtype=np.uint8) for i in range(60)]
    mux = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = write_video(tmp_path / name, noise, options={"g": "10"}, mux=mux)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING), VideoSource(path) as source:
        count = len(list(source))
    assert 10 < count < 50
    assert "cut short or damaged" in source.damaged and source.damaged in caplog.text


def test_videos_that_cannot_be_opened(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("This is a letter, not a film.\n" * 50)
    (tmp_path / "notes.txt").write_text("Notes.\n" * 50)
    whole = write_video(tmp_path / "whole.mp4", pictures(10)).read_bytes()
    (tmp_path / "no_index.mp4").write_bytes(whole[: len(whole) // 2])
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    for name, says in {
        "absent.mp4": "no file",
        "empty.mp4": "is empty",
        "text.mp4": "not a video",
        "no_index.mp4": "cut short",
        "sound.wav": "holds no video",
        ".": "is a folder",
        "notes.txt": "video",
    }.items():
        with pytest.raises(UserError, match=says) as caught:
            VideoSource(tmp_path / name)
        assert str(caught.value).count("\n") == 0


def test_images_of_all_kinds(tmp_path, caplog):
    base = np.full((20, 30, 3), (10, 20, 200), np.uint8)  # BGR: red
    cv2.imwrite(str(tmp_path / "shot2.png"), base)
    cv2.imwrite(str(tmp_path / "shot10.jpg"), base)
    cv2.imwrite(str(tmp_path / "shot11.png"), np.full((20, 30), 77, np.uint8))
    cv2.imwrite(str(tmp_path / "shot12.png"), np.full((20, 30, 3), 40000, np.uint16))
    glass = np.dstack([base, np.zeros((20, 30), np.uint8)])
    glass[:10, :, 3] = 255
    cv2.imwrite(str(tmp_path / "shot13.png"), glass)
    (tmp_path / "shot14.png").write_bytes(b"not a picture")
    (tmp_path / "shot15.bmp").touch()
    (tmp_path / "readme.txt").write_text("ignored")
    with caplog.at_level(logging.WARNING), ImageSource(tmp_path) as source:
        frames = list(source)
    assert [f.name for f in frames] == ["shot2.png", "shot10.jpg", "shot11.png", "shot12.png", "shot13.png"]
    assert source.skipped == 2 and "shot14.png" in caplog.text and source.frame_count == 7
    assert all(f.picture.dtype == np.uint8 and f.picture.shape == (20, 30, 3) for f in frames)
    assert frames[0].picture[5, 5].tolist() == [200, 20, 10]
    assert frames[2].picture[5, 5].tolist() == [77] * 3
    assert abs(int(frames[3].picture[5, 5, 0]) - 156) <= 1
    assert frames[4].picture[2, 2].tolist() == [200, 20, 10] and frames[4].picture[15, 2].tolist() == [255] * 3
    assert [f.index for f in frames] == [0, 1, 2, 3, 4] and frames[1].timestamp_ns == 33_333_333


def test_exif_orientation_is_respected(tmp_path):
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :20] = 255  # top left
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + b"\0\0\0\0"
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    (tmp_path / "phone.jpg").write_bytes(data[:2] + segment + data[2:])
    shown = next(iter(ImageSource(tmp_path / "phone.jpg"))).picture
    assert shown.shape == (60, 40, 3)  # orientation 6: shown a quarter turn clockwise
    assert shown[5, 35].min() > 200 and shown[5, 5].max() < 50


def in_jpeg(exif: bytes) -> bytes:
    """A grey picture of 60 x 40 with an EXIF block."""
    data = cv2.imencode(".jpg", np.full((40, 60, 3), 128, np.uint8))[1].tobytes()
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif + data[2:]


@pytest.mark.parametrize(("focal", "degrees"), [(26, 69.4), (50, 39.6), (0, None), (2, None)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_lens_stated_by_exif_is_the_field_of_view(tmp_path, order, focal, degrees):
    own = struct.pack(f"{order}HHHIHHI", 1, 0xA405, 3, 1, focal, 0, 0)
    part = struct.pack(f"{order}HHHII", 1, 0x8769, 4, 1, 26) + bytes(4)  # the other part begins at byte 26
    exif = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8) + part + own
    (tmp_path / "phone.jpg").write_bytes(in_jpeg(exif))
    (frame,) = ImageSource(tmp_path / "phone.jpg")
    assert frame.fov_degrees == (None if degrees is None else pytest.approx(degrees, abs=0.1))


def test_no_exif_says_nothing_of_the_field_of_view(tmp_path):
    for name, exif in (("none", b""), ("cut", b"II*\0\x08\0\0\0\x05\0"), ("loop", b"II*\0\x08\0\0\0")):
        (tmp_path / f"{name}.jpg").write_bytes(in_jpeg(exif))
    assert [frame.fov_degrees for frame in ImageSource(tmp_path)] == [None] * 3


def with_exif(png: bytes, exif: bytes) -> bytes:
    """A PNG file with an eXIf chunk put behind its header."""
    chunk = b"eXIf" + exif
    return png[:33] + struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_orientation_beside_transparency(tmp_path, orientation, order):
    picture = np.random.default_rng(0).integers(0, 255, (4, 6, 4), dtype=np.uint8)
    header = {"<": b"II*\0", ">": b"MM\0*"}[order]
    exif = header + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    for name, channels in (("clear.png", 4), ("solid.png", 3)):
        picture[..., 3] = 255
        (tmp_path / name).write_bytes(with_exif(cv2.imencode(".png", picture[..., :channels])[1].tobytes(), exif))
    clear, solid = (read_picture(tmp_path / name) for name in ("clear.png", "solid.png"))
    assert solid.shape == ((6, 4, 3) if orientation >= 5 else (4, 6, 3))  # OpenCV's own turn
    assert (clear == solid).all() and clear.flags.c_contiguous


@pytest.mark.parametrize("exif", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"nonsense"])
def test_a_damaged_exif_block_leaves_the_picture_as_it_is(tmp_path, exif):
    picture = np.full((4, 6, 4), 255, np.uint8)
    (tmp_path / "a.png").write_bytes(with_exif(cv2.imencode(".png", picture)[1].tobytes(), exif))
    assert read_picture(tmp_path / "a.png").shape == (4, 6, 3)


@pytest.mark.parametrize("make", [VideoSource, ImageSource, check_writable, fresh_name, load_sequence])
def test_impossible_names_take_a_sentence(tmp_path, monkeypatch, make):
    def locked(path, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    for name, says in (("a" * 300 + ".mp4", "name too long"), ("a\0b.mp4", "stray characters")):
        with pytest.raises(UserError, match=says) as caught:
            make(tmp_path / name)
        assert str(caught.value).count("\n") == 0 and "\0" not in str(caught.value)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "stat", locked)
        with pytest.raises(UserError, match="permission denied"):
            make(tmp_path / "locked" / "a.mp4")


def test_a_picture_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    def locked(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "iterdir", locked)
    with pytest.raises(UserError, match="Cannot look into the folder .*permission denied"):
        ImageSource(tmp_path)


def test_image_sources_that_cannot_be_opened(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"x")
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "hollow").mkdir()
    for name, says in {"absent": "no file or folder", "a.txt": "not a picture", "hollow": "holds no pictures"}.items():
        with pytest.raises(UserError, match=says):
            ImageSource(tmp_path / name)
    with pytest.raises(UserError, match="can be read"):
        list(ImageSource(tmp_path / "bad.png"))


@pytest.fixture
def server():
    """A camera whose pictures, 50 per second, are all different for four seconds."""
    camera = Camera([np.full((48, 64, 3), number, np.uint8) for number in range(200)], fps=50.0)
    yield camera
    camera.close()


def wait_for(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_camera_gives_the_newest_picture_and_counts_the_dropped(server):
    with CameraSource(server.url) as source:
        assert source.size == (64, 48) and source.state == "running"
        first = source.read(timeout_s=2)
        time.sleep(0.4)
        late = source.read()
        assert late.index - first.index > 5 and source.dropped >= late.index - first.index - 1
        assert time.monotonic_ns() - late.timestamp_ns < 200_000_000
        frames = list(islice(source, 5))
        assert all(b.index > a.index and b.timestamp_ns > a.timestamp_ns for a, b in pairwise(frames))
    assert source.state == "closed" and list(source) == []


def test_camera_notices_a_stall_and_comes_back(server, caplog):
    with caplog.at_level(logging.INFO), CameraSource(server.url, timeout_ms=600) as source:
        server.mode = "stall"
        assert wait_for(lambda: source.state == "stalled", 2)
        assert wait_for(lambda: source.state == "reconnecting", 3)
        server.mode = "run"
        assert wait_for(lambda: source.state == "running", 6)
        source.read()
        assert source.read(timeout_s=2) is not None
    assert "reconnecting" in caplog.text and "is back" in caplog.text


def test_camera_reconnects_after_a_hang_up(server):
    with CameraSource(server.url, timeout_ms=800) as source:
        server.mode = "close"
        assert wait_for(lambda: source.state == "reconnecting", 3)
        server.mode = "run"
        assert wait_for(lambda: source.state == "running", 6)


@pytest.mark.parametrize(
    "stated, fps",
    [(-1.0, None), (0.0, None), (float("inf"), None), (float("nan"), None), (90_000.0, None), (29.97, 29.97)],
)
def test_camera_fps_is_sensible_or_none(monkeypatch, stated, fps):
    class Capture:
        def get(self, _):
            return stated

        def read(self):
            time.sleep(0.01)
            return True, np.zeros((4, 6, 3), np.uint8)

        def release(self):
            pass

    monkeypatch.setattr(camera, "open_capture", lambda address, timeout_ms: Capture())
    with CameraSource(0) as source:
        assert source.fps == fps


def test_no_camera_is_one_sentence_and_silence(capfd):
    with pytest.raises(UserError, match="No camera 97"):
        CameraSource(97)
    with pytest.raises(UserError, match="sends no pictures"):
        CameraSource("http://127.0.0.1:9/none.mjpg", timeout_ms=500)
    written = capfd.readouterr()
    assert written.err == "" and written.out == ""


def test_frames_are_freed_one_by_one():
    """Without waiting for Python to look for cycles: a picture is megabytes."""
    with VideoSource(DEMO) as source:
        frames = iter(source)
        next(frames)
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                next(frames)
            assert gc.collect() < 10
        finally:
            gc.enable()
