"""Writing a sequence as a stream: what is kept when a run is cut short, and what reading it back gives."""

import errno
import json
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib

import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.session.sequence import SPECS, SequenceWriter, load_sequence
from lvd_live.storage import npz_stream
from lvd_live.storage.zip_records import join_checksums

N = 12
FACES = np.array([[0, 1, 2], [9, 10, 11]], np.int32)
K = np.array([[500.0, 0, 320], [0, 500.0, 240], [0, 0, 1]])


def write_frames(writer, count, missing=(), start=0):
    for index in range(start, start + count):
        common = {"timestamp_ns": index * 33_000_000, "frame_index": index, "image_size": (640, 480)}
        if index in missing:
            writer.append(**common)
            continue
        vertices = np.full((N, 3), index + 0.5, np.float32)
        landmarks = np.full((33, 3), index, np.float32)
        writer.append(
            vertices=vertices, vertex_std=np.full(N, 0.01), intrinsics=K, iterations=3, landmarks=landmarks, **common
        )


def leftovers(folder, *expected):
    return sorted(name for name in os.listdir(folder) if name not in expected)


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "clip.npz"
    writer = SequenceWriter(path, FACES, N, {"preset": "live", "name": "é"}, fps=29.97)
    write_frames(writer, 5, missing=(0, 2))
    writer.close(ending="complete")
    sequence = load_sequence(path)
    assert len(sequence) == 5 and sequence.fps == 29.97
    assert sequence.tracked.tolist() == [False, True, False, True, True]
    assert (sequence.vertices[:, 0, 0] == [0, 1.5, 0, 3.5, 4.5]).all() and sequence.vertices.dtype == np.float32
    assert isinstance(sequence.vertices, np.memmap)
    assert (sequence.faces == FACES).all() and sequence.timestamps_ns.tolist() == [33_000_000 * i for i in range(5)]
    assert sequence.intrinsics.shape == (5, 3, 3) and (sequence.intrinsics == K).all()
    assert (sequence.image_size == (640, 480)).all()
    assert sequence.meta == {"preset": "live", "name": "é", "ending": "complete"}
    assert leftovers(tmp_path) == ["clip.npz"]


def test_the_file_is_a_plain_npz_with_the_promised_keys(tmp_path):
    writer = SequenceWriter(tmp_path / "clip.npz", FACES, N, {})
    write_frames(writer, 3)
    writer.close()
    assert zipfile.ZipFile(tmp_path / "clip.npz").testzip() is None
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file}
    assert arrays.keys() == SPECS.keys()
    assert arrays["intrinsics"].shape == (3, 3) and arrays["image_size"].tolist() == [640, 480]
    assert arrays["landmarks"].shape == (3, 33, 3) and arrays["vertex_std"].shape == (3, N)
    assert arrays["tracked"].dtype == bool
    assert json.loads(str(arrays["meta"])) == {} and arrays["lvd_schema"] == 1


@pytest.mark.parametrize("what", ["size", "camera"])
def test_changing_pictures_keep_a_camera_per_frame(tmp_path, what):
    writer = SequenceWriter(tmp_path / "clip.npz", FACES, N, {})
    for index in range(3):
        size = (640 + index * (what == "size"), 480)
        intrinsics = K + np.diag([index * (what == "camera"), 0, 0])
        writer.append(
            timestamp_ns=index, frame_index=index, image_size=size, vertices=np.ones((N, 3)), intrinsics=intrinsics
        )
    writer.close()
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as file:
        assert file["intrinsics"].shape == (3, 3, 3) and file["image_size"].shape == (3, 2)
        assert file["image_size"][2, 0] == 640 + 2 * (what == "size")
    assert load_sequence(tmp_path / "clip.npz").intrinsics[2, 0, 0] == 500 + 2 * (what == "camera")


def test_untracked_frames_do_not_break_a_constant_camera(tmp_path):
    writer = SequenceWriter(tmp_path / "clip.npz", FACES, N, {})
    write_frames(writer, 4, missing=(0, 3))
    writer.close()
    assert (np.load(tmp_path / "clip.npz")["intrinsics"] == K).all()


def test_a_run_without_a_frame_leaves_nothing(tmp_path):
    SequenceWriter(tmp_path / "clip.npz", FACES, N, {}).close()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    "change",
    [
        {"vertices": np.full((N, 3), np.nan)},
        {"vertex_std": np.full(N, np.inf)},
        {"landmarks": np.full((33, 3), np.nan)},
        {"vertices": np.ones((N + 1, 3))},
    ],
)
def test_bad_numbers_and_shapes_never_reach_the_file(tmp_path, change):
    writer = SequenceWriter(tmp_path / "clip.npz", FACES, N, {})
    write_frames(writer, 2)
    frame = {"vertices": np.ones((N, 3)), "intrinsics": K, "timestamp_ns": 0, "frame_index": 0, "image_size": (4, 4)}
    with pytest.raises(ValueError):
        writer.append(**frame | change)
    writer.close()
    assert len(load_sequence(tmp_path / "clip.npz")) == 2


def test_the_older_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "clip.npz"
    path.write_bytes(b"old")
    writer = SequenceWriter(path, FACES, N, {})
    write_frames(writer, 2)
    assert path.read_bytes() == b"old"
    writer.abort()
    assert path.read_bytes() == b"old" and leftovers(tmp_path) == ["clip.npz"]


def test_an_interrupt_inside_a_frame_keeps_the_whole_ones(tmp_path, monkeypatch):
    writer = SequenceWriter(tmp_path / "clip.npz", FACES, N, {})
    write_frames(writer, 3)
    calls, write = [], npz_stream.write_all

    def interrupted(file, data):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(npz_stream, "write_all", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_frames(writer, 1, start=3)
    writer.close()
    assert zipfile.ZipFile(tmp_path / "clip.npz").testzip() is None
    assert load_sequence(tmp_path / "clip.npz").vertices[:, 0, 0].tolist() == [0.5, 1.5, 2.5]


def test_a_disk_that_fills_up_stops_the_run_and_keeps_every_frame(tmp_path):
    """On a real full disk where one can be mounted (Linux as root), the space is 24 MiB and frames are 240 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", disk]
    may_mount = sys.platform == "linux" and os.geteuid() == 0
    if not may_mount or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here; the next test feigns one")
    try:
        n = 15_000
        writer = SequenceWriter(disk / "clip.npz", FACES, n, {})
        with pytest.raises(UserError, match="disk is full") as caught:
            for index in range(1000):
                writer.append(
                    timestamp_ns=0, frame_index=index, image_size=(4, 4), vertices=np.full((n, 3), index), intrinsics=K
                )
        assert caught.value.exit_code == 1 and str(disk / "clip.npz") in str(caught.value)
        kept = writer.frames
        assert kept > 60
        writer.close()
        sequence = load_sequence(disk / "clip.npz")
        assert len(sequence) == kept and (sequence.vertices[:, 7, 2] == np.arange(kept)).all()
        assert leftovers(disk) == ["clip.npz"]
        del sequence
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_write_that_fails_is_told_and_what_was_written_is_kept(tmp_path, monkeypatch):
    writer = SequenceWriter(tmp_path / "clip.npz", FACES, N, {})
    write_frames(writer, 4)

    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(npz_stream, "write_all", full)
        with pytest.raises(UserError, match="frame 4 .*disk is full"):
            write_frames(writer, 1)
    writer.close()
    assert len(load_sequence(tmp_path / "clip.npz")) == 4


def test_a_close_that_fails_leaves_the_old_file_and_says_where_the_frames_are(tmp_path, monkeypatch):
    (tmp_path / "clip.npz").write_bytes(b"old")
    writer = SequenceWriter(tmp_path / "clip.npz", FACES, N, {})
    write_frames(writer, 4)

    def failing(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(npz_stream.os, "replace", failing)
    with pytest.raises(UserError, match="raw frames are left in") as caught:
        writer.close()
    folder = str(caught.value).rsplit(" ", 1)[1].rstrip(".")
    assert caught.value.exit_code == 1 and os.path.getsize(os.path.join(folder, "vertices")) > 4 * N * 12
    assert (tmp_path / "clip.npz").read_bytes() == b"old"


def test_unwritable_places_are_found_at_once(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "none" / "clip.npz", tmp_path / "file" / "clip.npz", "/proc/clip.npz"):
        with pytest.raises(UserError, match="Cannot write") as caught:
            SequenceWriter(path, FACES, N, {})
        assert caught.value.exit_code == 2


def test_checksums_join_as_if_read_in_one_go():
    rng = np.random.default_rng(0)
    for first, second in ((0, 0), (0, 9), (9, 0), (1, 1), (192, 100_003), (5, 1 << 16)):
        a, b = rng.bytes(first), rng.bytes(second)
        joined = join_checksums(zlib.crc32(a), zlib.crc32(b), len(b))
        assert joined == zlib.crc32(a + b)


def test_memory_does_not_grow_with_the_clip():
    """300 MB of vertices through a fresh process whose peak memory grows by less than 40 MB."""
    script = """
import resource, sys, numpy as np
from lvd_live.session.sequence import SequenceWriter, load_sequence
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
n = 7000
writer = SequenceWriter(sys.argv[1], np.array([[0, 1, 2]], np.int32), n, {})
frame = np.random.default_rng(0).random((n, 3), np.float32)
def go(count):
    for i in range(count):
        writer.append(timestamp_ns=i, frame_index=i, image_size=(4, 4), vertices=frame, intrinsics=np.eye(3))
go(20)
before = peak()
go(3600)
writer.close()
assert peak() - before < 40, (before, peak())
"""
    resource = pytest.importorskip("resource", reason="Windows does not tell a process its peak memory")
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run([sys.executable, "-c", script, f"{folder}/clip.npz"], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert os.path.getsize(f"{folder}/clip.npz") > 300e6
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert load_sequence(f"{folder}/clip.npz").vertices.shape == (3620, 7000, 3)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000
