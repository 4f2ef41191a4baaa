"""The main job with stand-ins for finder and tracker: every way in which a run can end."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lvd_live import render
from lvd_live.errors import UserError
from lvd_live.pipeline.offline import process
from lvd_live.session.sequence import load_sequence
from lvd_live.session.video import VideoWriter
from lvd_live.storage import npz_stream
from tests.fakes import SHAPE, FakeFinder, FakeSource, FakeTracker


def run(folder: Path, source=None, finder=None, tracker=None, **options):
    given = {"output": folder / "clip.npz", "progress": False} | options
    return process(source or FakeSource(), finder or FakeFinder(), tracker or FakeTracker(), **given)


def read_video(path):
    with av.open(str(path)) as file:
        return [(frame.to_ndarray(format="rgb24"), frame.time) for frame in file.decode(video=0)]


def test_a_whole_run_writes_sequence_overlay_and_sheet(tmp_path):
    summary = run(tmp_path, overlay=tmp_path / "clip.mp4", sheet=tmp_path / "clip.png", meta={"source": "x"})
    assert summary.exit_code == 0 and (summary.frames, summary.tracked) == (6, 6) and not summary.trouble
    sequence = load_sequence(summary.output)
    assert np.allclose(sequence.vertices[4], SHAPE + [0.04, 0, 0]) and sequence.iterations.tolist() == [
        6,
        2,
        2,
        2,
        2,
        2,
    ]
    assert sequence.fps == 25 and sequence.timestamps_ns[5] == 200_000_000 and sequence.tracked.all()
    assert sequence.meta["tracker"] == {"preset": "fake"} and sequence.meta["person"]["provider"] == "fake"
    assert sequence.meta["source"] == "x" and sequence.meta["ending"] == "complete"
    frames = read_video(summary.overlay)
    assert len(frames) == 6 and frames[5][1] == pytest.approx(0.2)
    mask = render.silhouette(sequence.vertices[0], sequence.faces, sequence.intrinsics[0], (64, 48))
    changed = np.abs(frames[0][0].astype(int) - 90).max(-1) > 12
    assert (changed == mask).mean() > 0.95
    assert cv2.imread(str(summary.sheet)).shape[2] == 3
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "clip.npz", "clip.png"]


def test_frames_without_a_person_are_zeros_and_start_afresh_after(tmp_path):
    tracker = FakeTracker()
    summary = run(tmp_path, finder=FakeFinder(missing={0, 3}), tracker=tracker)
    sequence = load_sequence(summary.output)
    assert sequence.tracked.tolist() == [False, True, True, False, True, True]
    assert not sequence.vertices[3].any() and sequence.iterations.tolist() == [0, 6, 2, 0, 6, 2]
    assert np.load(summary.output)["intrinsics"].shape == (3, 3)


def test_a_video_without_anybody_is_finished_and_exits_with_1(tmp_path):
    summary = run(
        tmp_path, finder=FakeFinder(missing=range(6)), overlay=tmp_path / "clip.mp4", sheet=tmp_path / "clip.png"
    )
    assert (
        summary.exit_code == 1
        and not load_sequence(summary.output).tracked.any()
        and len(read_video(summary.overlay)) == 6
    )


def test_nan_never_leaves_the_tracker(tmp_path):
    tracker = FakeTracker(broken={2})
    summary = run(tmp_path, tracker=tracker)
    sequence = load_sequence(summary.output)
    assert summary.rejected == 1 and sequence.tracked.tolist() == [True, True, False, True, True, True]
    assert sequence.iterations[3] == 6 and sequence.meta["rejected_frames"] == 1


def test_a_fit_that_does_not_settle_keeps_its_landmarks_and_is_counted(tmp_path):
    class Unsettled(FakeTracker):
        def step(self, frame, person, *, later=()):
            if frame.index not in (0, 3):
                return super().step(frame, person)
            return self.forget_mesh()  # as a tracker does

    summary = run(tmp_path, finder=FakeFinder(missing={5}), tracker=Unsettled(), overlay=tmp_path / "clip.mp4")
    sequence = load_sequence(summary.output)
    assert (summary.rejected, summary.tracked, summary.frames) == (2, 3, 6) and sequence.meta["rejected_frames"] == 2
    assert sequence.tracked.tolist() == [False, True, True, False, True, False] and not sequence.vertices[3].any()
    assert (sequence.landmarks[3] == 0.5).all() and not sequence.landmarks[5].any() and sequence.iterations[4] == 6


def test_a_camera_that_states_no_pace_keeps_its_times_in_the_overlay(tmp_path):
    summary = run(tmp_path, FakeSource(fps=None), overlay=tmp_path / "clip.mp4")
    assert load_sequence(summary.output).fps == 0
    assert [time for _, time in read_video(summary.overlay)] == pytest.approx([0.04 * k for k in range(6)], abs=1e-3)


def test_ctrl_c_keeps_what_is_done(tmp_path):
    summary = run(tmp_path, FakeSource(count=10, stop=4), overlay=tmp_path / "clip.mp4", sheet=tmp_path / "clip.png")
    assert summary.exit_code == 130 and summary.interrupted and summary.frames == 4
    assert len(load_sequence(summary.output)) == 4 and len(read_video(summary.overlay)) == 4 and summary.sheet.exists()
    assert load_sequence(summary.output).meta["ending"] == "interrupted"


def test_ctrl_c_before_the_first_frame_writes_nothing(tmp_path):
    summary = run(tmp_path, FakeSource(stop=0), overlay=tmp_path / "clip.mp4", sheet=tmp_path / "clip.png")
    assert (
        summary.exit_code == 130
        and summary.output is summary.overlay is summary.sheet is None
        and not os.listdir(tmp_path)
    )


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_spoil_the_closing(tmp_path, monkeypatch, kind):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    close = npz_stream.NpzStream.close

    def impatient(self, *arguments, **options):
        signal.raise_signal(kind)
        close(self, *arguments, **options)

    monkeypatch.setattr(npz_stream.NpzStream, "close", impatient)
    before = signal.signal(kind, signal.default_int_handler)  # as main.py sets both
    try:
        summary = run(tmp_path, FakeSource(stop=3))
        assert len(load_sequence(summary.output)) == 3
        assert signal.getsignal(kind) is signal.default_int_handler
    finally:
        signal.signal(kind, before)


def test_a_full_disk_ends_the_run_and_says_what_is_kept(tmp_path, monkeypatch):
    append = npz_stream.NpzStream.append

    def full(self, **frame):
        if self.frames == 3:
            raise UserError("the disk is full.", exit_code=1)
        append(self, **frame)

    monkeypatch.setattr(npz_stream.NpzStream, "append", full)
    with pytest.raises(UserError, match="disk is full. The 3 frames before it are in") as caught:
        run(tmp_path)
    assert caught.value.exit_code == 1 and len(load_sequence(tmp_path / "clip.npz")) == 3


def test_a_mistake_in_the_program_keeps_what_is_done_and_is_not_hidden(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, FakeSource(stop=2, error=ZeroDivisionError))
    assert load_sequence(tmp_path / "clip.npz").meta["ending"].startswith("stopped")


def test_a_source_that_fails_at_once_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="no picture.*Nothing was written") as caught:
        run(tmp_path, FakeSource(stop=0, error=UserError("There is no picture in it.")))
    assert caught.value.exit_code == 2 and not os.listdir(tmp_path)


def test_unwritable_outputs_are_found_before_the_first_frame(tmp_path):
    for name in ("output", "overlay", "sheet"):
        finder = FakeFinder()
        with pytest.raises(UserError, match="Cannot write"):
            run(tmp_path, finder=finder, **{name: tmp_path / "none" / "x"})
        assert finder.calls == 0 and not os.listdir(tmp_path)


def test_pictures_are_each_a_cold_start_with_a_camera_of_their_own(tmp_path):
    tracker, finder = FakeTracker(), FakeFinder()
    source = FakeSource(sizes=((64, 48), (31, 77), (1, 1)))
    summary = run(
        tmp_path, source, finder, tracker, independent=True, overlay=tmp_path / "clip.mp4", sheet=tmp_path / "clip.png"
    )
    sequence = load_sequence(summary.output)
    assert (
        (sequence.iterations == 6).all() and finder.resets == tracker.resets == 6 and len(sequence.meta["names"]) == 6
    )
    with np.load(summary.output) as file:
        assert file["image_size"].tolist()[1] == [31, 77] and file["intrinsics"].shape == (6, 3, 3)
    frames = read_video(summary.overlay)
    assert len(frames) == 6 and frames[1][0].shape == (48, 64, 3) and frames[1][1] == pytest.approx(1.0)


def test_a_very_large_picture_is_drawn_small_and_in_register(tmp_path):
    source = FakeSource(count=1, sizes=((7680, 4320),))
    summary = run(tmp_path, source, overlay=tmp_path / "clip.mp4")
    sequence = load_sequence(summary.output)
    frame = read_video(summary.overlay)[0][0]
    assert frame.shape == (1080, 1920, 3) and sequence.image_size[0].tolist() == [7680, 4320]
    mask = render.silhouette(sequence.vertices[0], sequence.faces, sequence.intrinsics[0], (7680, 4320))[2::4, 2::4]
    changed = np.abs(frame.astype(int) - 90).max(-1) > 12
    assert (changed == mask).mean() > 0.99


def test_memory_of_a_long_run_is_flat(tmp_path):
    def peak(count):
        tracemalloc.start()
        run(tmp_path, FakeSource(count=count), overlay=tmp_path / "clip.mp4", sheet=tmp_path / "clip.png")
        value = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return value

    peak(40)
    assert peak(240) < peak(40) + 1_500_000


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (641, 479), (640, 480)])
def test_video_of_any_size_is_padded_to_even(tmp_path, size):
    with VideoWriter(tmp_path / "v.mp4", 29.97, size) as video:
        for shade in (40, 200, 40):
            video.write(np.full((size[1], size[0], 3), shade, np.uint8))
    frames = read_video(tmp_path / "v.mp4")
    assert frames[0][0].shape == (size[1] + size[1] % 2, size[0] + size[0] % 2, 3) and len(frames) == 3
    assert abs(int(frames[1][0][-1, -1, 0]) - 200) < 12
    assert frames[2][1] == pytest.approx(2 / 29.97, abs=1e-3)


def test_video_keeps_irregular_times_and_an_old_file_until_the_end(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"old")
    video = VideoWriter(path, 30, (32, 32))
    for time_ns in (5_000_000_000, 5_100_000_000, 5_100_000_000, 7_000_000_000):
        video.write(np.zeros((32, 32, 3), np.uint8), time_ns)
    assert path.read_bytes() == b"old"
    video.close()
    times = [time for _, time in read_video(path)]
    assert len(times) == 4 and times[1] == pytest.approx(0.1, abs=1e-3) and times[3] == pytest.approx(2.0, abs=1e-3)


def test_video_refuses_what_it_cannot_write(tmp_path):
    for path in (tmp_path / "v.xyz", tmp_path / "none" / "v.mp4", tmp_path):
        with pytest.raises(UserError) as caught:
            VideoWriter(path, 30, (32, 32))
        assert caught.value.exit_code == 2
    assert not os.listdir(tmp_path)


def test_an_overlay_on_a_full_disk_is_told(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = sys.platform == "linux" and os.geteuid() == 0
    if (
        not mounted
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True).returncode
    ):
        pytest.skip("no small disk can be mounted here")
    try:
        rng = np.random.default_rng(0)
        with pytest.raises(UserError, match="overlay video.*disk is full") as caught:
            with VideoWriter(disk / "v.mp4", 30, (320, 240)) as video:
                for _ in range(200):
                    video.write(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8))
        assert caught.value.exit_code == 1 and not (disk / "v.mp4").exists()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_looking_ahead_changes_nothing_but_the_time():
    """Frames come in order, finder and caller work side by side, an error comes after the frames before it."""
    from lvd_live.pipeline.prefetch import prefetch

    def find(frame):
        time.sleep(0.05)
        return frame.index

    began, seen = time.monotonic(), []
    with pytest.raises(UserError, match="cut"):
        for frame, person in prefetch(FakeSource(count=12, stop=10, error=UserError("cut")), find):
            time.sleep(0.05)
            seen.append((frame.index, person))
    assert seen == [(i, i) for i in range(10)] and time.monotonic() - began < 0.8
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())


class StalledCamera(FakeSource):
    """Gives three frames, then none until it is closed."""

    live = True

    def __init__(self):
        super().__init__()
        self.closed = threading.Event()

    def __iter__(self):
        yield from itertools.islice(super().__iter__(), 3)
        self.closed.wait()

    def close(self):
        self.closed.set()


def test_a_camera_that_stalls_does_not_hold_the_end():
    from lvd_live.pipeline import encoding

    frames = encoding.encode(StalledCamera(), FakeFinder(), FakeTracker())
    assert [next(frames)[0].index for _ in range(3)] == [0, 1, 2]
    time.sleep(0.1)  # it waits for the fourth one
    frames.close()
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())


def test_of_a_camera_the_next_person_is_found_and_the_next_frame_encoded_while_one_is_fitted():
    """Finding, encoding and fitting take 0.05 s each; the frame found next is the newest one then."""
    from lvd_live.pipeline import encoding

    class Camera(FakeSource):
        live = True

    class Slow(FakeFinder):
        def find(self, picture):
            time.sleep(0.05)
            return super().find(picture)

    class SlowTracker(FakeTracker):
        def encode(self, frame, person, **options):
            time.sleep(0.05)
            return super().encode(frame, person, **options)

    began = time.monotonic()
    for _ in encoding.encode(Camera(count=12), Slow(), SlowTracker()):
        time.sleep(0.05)
    assert 12 * 0.05 < time.monotonic() - began < 12 * 0.05 + 0.4  # one after the other 12 * 0.15


def test_leaving_early_ends_the_thread_that_looks_ahead():
    from lvd_live.pipeline.prefetch import prefetch

    found = prefetch(FakeSource(count=1000), lambda frame: None)
    next(found)
    found.close()
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())


@pytest.mark.parametrize("where", ["write", "draw"])
def test_ctrl_c_in_the_middle_of_a_frame_leaves_as_many_frames_in_overlay_as_in_sequence(tmp_path, monkeypatch, where):
    """The signal comes as the third frame is written, or drawn: the frame is finished everywhere."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    owner, name = (npz_stream.NpzStream, "append") if where == "write" else (VideoWriter, "write")
    whole, calls = getattr(owner, name), []

    def interrupted(self, *arguments, **options):
        calls.append(name)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        whole(self, *arguments, **options)

    monkeypatch.setattr(owner, name, interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        summary = run(tmp_path, FakeSource(count=50), overlay=tmp_path / "clip.mp4")
    finally:
        signal.signal(signal.SIGINT, before)
    assert summary.exit_code == 130 and summary.frames == 3
    assert len(load_sequence(summary.output)) == len(read_video(summary.overlay)) == 3


def test_an_overlay_in_matroska_says_nothing_of_options(tmp_path, capfd, caplog):
    summary = run(tmp_path, overlay=tmp_path / "clip.mkv")
    assert len(read_video(summary.overlay)) == 6 and not caplog.text and capfd.readouterr().err == ""
