"""The recorder: what goes in comes out, on one clock; what cannot be kept is counted, marked and said."""

import errno
import os
import re
import shutil
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.session import live_video, reserve, session_writer
from lvd_live.session import recorder as module
from lvd_live.session.facts import read_facts
from lvd_live.session.layout import LOCK, list_segments
from lvd_live.session.library import list_sessions
from lvd_live.session.reader import open_session
from lvd_live.session.recorder import Recorder
from lvd_live.session.recover import recover
from tests.fakes import FACES, SHAPE
from tests.recording import FPS, SIZE, make_fit, make_frame, make_person, record


def test_what_is_recorded_is_read_back(tmp_path):
    recorder = record(tmp_path, 100, untracked={0, 41, 42})
    assert (recorder.frames, recorder.dropped, recorder.problem) == (100, 0, "")
    assert recorder.seconds == pytest.approx(3.3)
    session = open_session(recorder.path)
    assert len(session) == 100 and session.fps == FPS and session.name == "walk"
    assert session.meta == {"tracker": {"preset": "fake"}}
    assert np.flatnonzero(~session.tracked).tolist() == [0, 41, 42] and (session.faces == FACES).all()
    assert session.timestamps_ns.tolist() == [make_frame(index).timestamp_ns for index in range(100)]
    for index in (1, 40, 43, 99):
        assert np.abs(session.vertices[index] - make_fit(index).vertices).max() <= 1e-4
        assert np.abs(session.vertex_std[index] - 0.001 * index).max() <= 2.51e-4
    assert not session.vertices[41].any() and not session.intrinsics[41].any()
    assert (session.intrinsics[40] == make_fit(40).intrinsics).all() and (session.landmarks[99] == 99).all()
    assert session.image_size[7].tolist() == list(SIZE) and session.iterations[5] == 2
    assert recover(recorder.path).code == 0


def test_picture_and_mesh_share_a_clock(tmp_path):
    session = open_session(record(tmp_path, 40, absent={7, 8}).path)
    rows = list(session.frames())
    assert [row for row, _ in rows] == list(range(38))
    for row, frame in rows:
        assert frame.index == session.frame_index[row] and frame.timestamp_ns == session.timestamps_ns[row]
        assert abs(int(frame.picture.mean()) - (16 + 2 * frame.index)) <= 2


def test_the_arrays_behave_like_arrays(tmp_path):
    session = open_session(record(tmp_path, 50, untracked={3}).path)
    whole = np.asarray(session.vertices)
    assert whole.shape == session.vertices.shape == (50, len(SHAPE), 3) and len(session.vertices) == 50
    assert whole.dtype == session.vertices.dtype
    keys = [5, -1, np.int64(7), slice(2, 30, 3), [1, 40, 3], session.tracked]
    keys += [(4, 2), (slice(None), 5, 2), (Ellipsis, 2), (session.tracked, slice(3))]
    for key in keys:
        assert (session.vertices[key] == whole[key]).all() and session.vertices[key].shape == whole[key].shape
    assert (np.stack(list(session.vertices)) == whole).all()
    assert session.vertex_std[session.tracked].shape == (49, len(SHAPE))
    with pytest.raises(IndexError):
        session.vertices[50]


def test_frames_that_never_came_are_marked_where_they_are_missing(tmp_path):
    recorder = Recorder(tmp_path, faces=FACES, meta={}, fps=FPS)
    for index in (0, 1, 5, 6):
        recorder.add(make_frame(index), None, None)
    recorder.missed(4)
    recorder.add(make_frame(7), None, None)
    session = open_session(recorder.stop())
    assert session.missed.tolist() == [0, 0, 3, 0, 4] and not session.dropped.any()
    assert read_facts(recorder.path)["missed"] == 7


def test_a_slow_disk_drops_frames_and_never_blocks(tmp_path, monkeypatch):
    write, gate = live_video.LiveVideo.write, threading.Event()

    def slow(self, *arguments):
        gate.wait(10)
        return write(self, *arguments)

    monkeypatch.setattr(live_video.LiveVideo, "write", slow)
    recorder = Recorder(tmp_path, faces=FACES, meta={}, fps=FPS)
    longest = 0.0
    for index in range(100):
        started = time.perf_counter()
        recorder.add(make_frame(index), make_person(index), make_fit(index))
        longest = max(longest, time.perf_counter() - started)
    gate.set()
    while recorder.waiting:
        time.sleep(0.01)
    recorder.add(make_frame(100), None, None)
    session = open_session(recorder.stop())
    assert longest < 0.2 and recorder.dropped >= 60 and recorder.frames + recorder.dropped == 101
    assert session.dropped.sum() == recorder.dropped and not session.missed.any()
    assert session.dropped[-1] == 100 - session.frame_index[-2] - 1


def test_two_programs_started_at_once_have_folders_of_their_own(tmp_path):
    recorders = [Recorder(tmp_path, "same", faces=FACES, meta={}) for _ in range(4)]
    assert len({recorder.path for recorder in recorders}) == 4
    for recorder in recorders:
        recorder.add(make_frame(0), None, None)
    assert all(len(open_session(recorder.stop())) == 1 for recorder in recorders)


@pytest.mark.parametrize(
    "name", ["", "../../etc", "a/b\\c", "\N{SNOWMAN}" * 300, "Größe 1,78 m", "nul\0", "-", "é" * 200]
)
def test_any_name_gives_a_folder_in_its_place(tmp_path, name):
    recorder = record(tmp_path, 3, name)
    assert recorder.path.parent == tmp_path and open_session(recorder.path).name == name


def test_without_a_frame_nothing_is_left(tmp_path):
    recorder = Recorder(tmp_path, "x", faces=FACES, meta={})
    assert recorder.path.is_dir() and reserve.is_being_recorded(recorder.path)
    assert not recorder.stop().exists() and not os.listdir(tmp_path)


def test_pictures_of_odd_and_changing_sizes(tmp_path):
    recorder = Recorder(tmp_path, faces=FACES, meta={}, fps=FPS)
    for index, size in enumerate([(63, 49), (63, 49), (40, 80), (63, 49)]):
        recorder.add(make_frame(index, size), None, None)
    session = open_session(recorder.stop())
    assert not recorder.problem
    assert [(row, frame.picture.shape) for row, frame in session.frames()] == [(row, (49, 63, 3)) for row in (0, 1, 3)]


def test_times_that_do_not_rise_are_put_in_order(tmp_path):
    recorder = Recorder(tmp_path, faces=FACES, meta={}, fps=FPS)
    for index in (5, 6, 0, 1):
        recorder.add(make_frame(index), None, None)
    session = open_session(recorder.stop())
    assert (np.diff(session.timestamps_ns) > 0).all() and (np.diff(session.video_ms) > 0).all()
    assert len(list(session.frames())) == 4


def test_nan_and_giants_are_kept_out_or_kept_well(tmp_path):
    recorder = Recorder(tmp_path, faces=FACES, meta={}, fps=FPS)
    for index in range(3):
        fit = make_fit(index)
        fit.vertices[:] = {0: np.nan, 1: fit.vertices, 2: fit.vertices * 20}[index]
        recorder.add(make_frame(index), make_person(index), fit)
    session = open_session(recorder.stop())
    assert session.tracked.tolist() == [False, True, True]
    assert np.abs(session.vertices[1] - make_fit(1).vertices).max() <= 0.5001e-4 + 1e-6
    assert np.abs(session.vertices[2] - 20 * make_fit(2).vertices).max() < 1e-3


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("a\0b")):
        with pytest.raises(UserError, match="Cannot record to .*\\.$"):
            Recorder(place, faces=FACES, meta={})
    with pytest.raises(UserError, match=r"Cannot record to [^:]*: less than \d+ MB are free on the disk\.$"):
        Recorder(tmp_path / "new", faces=FACES, meta={}, min_free=1 << 60)
    assert not os.listdir(tmp_path / "new")


def test_little_room_ends_the_recording_before_the_disk_is_full(tmp_path, monkeypatch):
    recorder = Recorder(tmp_path, faces=FACES, meta={}, fps=FPS)
    nearly_full = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(session_writer.shutil, "disk_usage", lambda path: nearly_full)
    for index in range(200):
        recorder.add(make_frame(index), make_person(index), make_fit(index))
        time.sleep(0.002)
    recorder.stop()
    session = open_session(recorder.path)
    assert recorder.problem.startswith("Recording stopped: less than 64 MB are free")
    assert 15 < len(session) == recorder.frames < 200
    assert read_facts(recorder.path)["state"] == "stopped" and recover(recorder.path).code == 0


class Full:
    """A disk that takes `room` more bytes; what the reserve gives back is room again."""

    def __init__(self, monkeypatch, room):
        self.room = room
        raw, whole, release = os.write, session_writer.write_whole, reserve.Reserve.release

        def take(size):
            if size > self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= size

        def write_whole(path, data):
            try:
                take(len(data))
            except OSError as error:
                raise UserError(f"Could not write {path}: no space left on device.", exit_code=1) from error
            whole(path, data)

        def write(handle, data):
            take(len(data))
            return raw(handle, data)

        def released(space, full=True):
            given = release(space, full)
            self.room += self.reserve if given else 0
            return given

        self.reserve = reserve.RESERVE
        monkeypatch.setattr(os, "write", write)
        monkeypatch.setattr(session_writer, "write_whole", write_whole)
        monkeypatch.setattr(reserve.Reserve, "release", released)


@pytest.mark.parametrize("room", [0, 3_000, 20_000, 60_000, 90_000])
def test_a_full_disk_loses_nothing_that_was_taken(tmp_path, monkeypatch, room):
    Full(monkeypatch, room)
    recorder = record(tmp_path, 400)
    session = open_session(recorder.path)
    assert recorder.problem.startswith("Recording stopped: the disk is full.")
    assert 0 < len(session) == recorder.frames < 400
    assert len(list(session.frames())) == len(session) and recover(recorder.path).code == 0
    assert np.abs(session.vertices[-1] - make_fit(len(session) - 1).vertices).max() <= 1e-4


def test_a_disk_without_any_room_is_tried_again_until_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.02)
    disk = Full(monkeypatch, 40_000)
    disk.reserve = 0
    recorder = Recorder(tmp_path, faces=FACES, meta={}, fps=FPS)
    for index in range(200):
        recorder.add(make_frame(index), make_person(index), make_fit(index))
        time.sleep(0.001)
    deadline = time.monotonic() + 5
    while not recorder.problem and time.monotonic() < deadline:
        time.sleep(0.01)
    written = len(list_segments(recorder.path))
    disk.room = 1 << 30  # somebody deletes something
    recorder.stop()
    assert recorder.problem and len(list_segments(recorder.path)) == written + 1
    assert len(open_session(recorder.path)) == recorder.frames


def test_every_frame_that_was_taken_is_written_or_counted_as_lost(tmp_path, monkeypatch):
    take = session_writer.SessionWriter.take

    def fail(self, picture, landmarks, fit, marks):
        if marks["frame_index"] == 5:
            raise UserError("The video broke.")
        take(self, picture, landmarks, fit, marks)

    monkeypatch.setattr(session_writer.SessionWriter, "take", fail)
    recorder = record(tmp_path, 10)
    said = re.search(r"The last (?:(\d+) frames are|frame is) lost[.]", recorder.problem)
    lost = int(said[1] or 1)  # how many were taken before the writer failed is its thread's affair
    assert recorder.frames == len(open_session(recorder.path)) == 5 and lost >= 1 and recorder.dropped == lost


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("mount"),
    reason="only root can make a small disk",
)
def test_a_really_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a disk")
    try:
        recorder = Recorder(disk, faces=FACES, meta={}, fps=FPS, min_free=0)
        noise = np.random.default_rng(0).integers(0, 255, (20, 240, 320, 3), np.uint8)
        for index in range(300):
            frame = replace(make_frame(index), picture=noise[index % 20])
            recorder.add(frame, make_person(index), make_fit(index))
            while recorder.waiting > 2 and not recorder.problem:
                time.sleep(0.002)
            if recorder.problem:
                break
        recorder.stop()
        session = open_session(recorder.path)
        assert recorder.problem.startswith("Recording stopped: the disk is full.")
        assert 0 < len(session) == recorder.frames < 300
        assert len(list(session.frames())) == len(session) and recover(recorder.path).code == 0
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_video_is_one_that_players_read(tmp_path):
    with av.open(str(record(tmp_path, 60).path / "video.mkv")) as file:
        stream = file.streams.video[0]
        assert file.duration == pytest.approx(2e6, rel=0.05)
        assert stream.codec_context.name == "h264" and stream.pix_fmt == "yuv420p"
        keys = [packet.pts for packet in file.demux(stream) if packet.is_keyframe and packet.pts is not None]
        assert max(np.diff(keys)) <= 510


def test_a_mesh_of_another_size_is_the_callers_mistake(tmp_path):
    recorder = Recorder(tmp_path, faces=FACES, meta={})
    fit = make_fit(0)
    with pytest.raises(ValueError, match="vertices"):
        recorder.add(make_frame(0), None, replace(fit, vertices=fit.vertices[:5], vertex_std=fit.vertex_std[:5]))
    recorder.stop()


def test_a_recording_refused_by_a_full_disk_keeps_no_space(tmp_path, monkeypatch):
    """A disk that has less than the reserve gives what it has, then fails: that must be given back at once."""
    opened, real_open = [], os.open

    def open_and_remember(path, *given, **named):
        handle = real_open(path, *given, **named)
        if Path(path).name == LOCK:
            opened.append(handle)
        return handle

    def fill_up(handle, start, length):
        os.ftruncate(handle, 1 << 20)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(reserve.os, "open", open_and_remember)
    monkeypatch.setattr(reserve.os, "posix_fallocate", fill_up, raising=False)
    with pytest.raises(UserError, match=r"^Cannot record to .*no space left on device\.$"):
        Recorder(tmp_path, "walk", faces=FACES, meta={}, fps=FPS)
    assert not list(tmp_path.iterdir()) and len(opened) == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


def test_frames_lost_are_all_that_the_source_gave_and_the_session_lacks(tmp_path):
    recorder = record(tmp_path, 40, absent={7, 8, 20})
    assert (recorder.frames, recorder.dropped, recorder.lost) == (37, 0, 3)
    info = list_sessions(tmp_path)[0]
    assert (info.frames, info.dropped, info.missed, info.lost) == (37, 0, 3, 3)
