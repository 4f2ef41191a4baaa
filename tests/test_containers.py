"""Video files as people have them: what is healthy is not called damaged, and what is lost is said."""

from __future__ import annotations

import logging
import os
import random
from fractions import Fraction

import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.pipeline.offline import process
from lvd_live.session.sequence import load_sequence
from lvd_live.sources import VideoSource
from lvd_live.sources.clock import Clock
from tests.fakes import FakeFinder, FakeTracker
from tests.films import count_frames, ffmpeg, film, h264, needs_ffmpeg

pytestmark = needs_ffmpeg


def read(path):
    """The frames of a file, and its source, closed."""
    with VideoSource(path) as source:
        return list(source), source


def steps_s(frames) -> np.ndarray:
    return np.diff([frame.timestamp_ns for frame in frames]) / 1e9


def trimmed(folder, name="trim.mp4"):
    """A film that begins between two key frames by an edit list: pictures before it are stored and not shown."""
    whole = h264(folder / "whole.mp4", "-g", 60, seconds=4)
    ffmpeg("-ss", 1.8, "-i", whole, "-c", "copy", folder / name)
    return folder / name


DROPPED = ("-vf", "setpts=PTS+floor(N/10)*5/30/TB", "-fps_mode", "passthrough")
HEALTHY = {
    "edit list mp4": trimmed,
    "edit list mov": lambda folder: trimmed(folder, "trim.mov"),
    "long sound mkv": lambda folder: h264(folder / "a.mkv", "-c:a", "aac", sound=3),
    "long sound webm": lambda folder: film(folder / "a.webm", "-c:v", "libvpx", "-c:a", "libopus", sound=3),
    "long sound flv": lambda folder: h264(folder / "a.flv", "-c:a", "aac", sound=3),
    "long sound wmv": lambda folder: film(folder / "a.wmv", sound=3),
    "late wmv": lambda folder: film(folder / "a.wmv", "-output_ts_offset", 3.5),
    "long sound avi": lambda folder: film(folder / "a.avi", "-c:v", "mpeg4", "-c:a", "mp2", sound=3),
    "long sound ts": lambda folder: h264(folder / "a.ts", "-c:a", "mp2", sound=3),
    "short sound mkv": lambda folder: h264(folder / "a.mkv", "-c:a", "aac", sound=1),
    "late matroska": lambda folder: h264(folder / "a.mkv", "-output_ts_offset", 10),
    "late flv": lambda folder: h264(folder / "a.flv", "-output_ts_offset", 5),
    "dropped avi": lambda folder: film(folder / "a.avi", "-c:v", "mpeg4", *DROPPED),
    "dropped mjpeg avi": lambda folder: film(folder / "a.avi", "-c:v", "mjpeg", *DROPPED),
    "fragments": lambda folder: h264(folder / "a.mp4", "-movflags", "frag_keyframe+empty_moov"),
    "vob": lambda folder: film(folder / "a.vob", "-c:v", "mpeg2video"),
    "avi with b-frames": lambda folder: film(folder / "a.avi", "-c:v", "mpeg4", "-bf", 2),
    "gif": lambda folder: film(folder / "a.gif", fps="10"),
}


@pytest.mark.parametrize("kind", HEALTHY)
def test_what_is_healthy_is_not_called_damaged(tmp_path, caplog, kind):
    path = HEALTHY[kind](tmp_path)
    frames, source = read(path)
    assert len(frames) == count_frames(path) and source.damaged is None and not caplog.text
    assert (steps_s(frames) > 0.005).all()


def test_the_expected_frames_are_those_that_are_shown(tmp_path):
    assert VideoSource(trimmed(tmp_path)).frame_count == 66
    assert VideoSource(h264(tmp_path / "a.mkv", "-c:a", "aac", sound=3)).frame_count == 60
    assert VideoSource(h264(tmp_path / "late.mkv", "-output_ts_offset", 10)).frame_count == 60


@pytest.mark.parametrize("name", ["a.mkv", "a.flv", "a.avi", "faststart.mp4"])
def test_what_is_cut_is_said_to_end_early_beside_longer_sound_too(tmp_path, name):
    sound = ["-c:a", "aac"] if not name.endswith("avi") else ["-c:a", "mp2"]
    path = h264(tmp_path / name, "-g", 10, *sound, *(["-movflags", "faststart"] * name.endswith("mp4")), sound=2.5)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, source = read(path)
    assert 5 < len(frames) < 55 and "ends early" in source.damaged


@pytest.mark.parametrize("name, codec", [("a.ts", "libx264"), ("a.vob", "mpeg2video"), ("a.mpg", "mpeg1video")])
def test_a_clock_that_steps_back(tmp_path, caplog, name, codec):
    path = film(tmp_path / name, "-c:v", codec, "-pix_fmt", "yuv420p", seconds=1)
    joined = tmp_path / ("joined" + path.suffix)
    joined.write_bytes(path.read_bytes() * 3)
    frames, source = read(joined)
    assert len(frames) == 90 and np.allclose(steps_s(frames), 1 / 30, atol=0.002)
    assert source.damaged is None and len(source.notes) == 1 and "restarts at 1.0 s" in source.notes[0]
    assert caplog.text.count("restarts") == 1
    summary = process(
        VideoSource(joined), FakeFinder(), FakeTracker(), output=tmp_path / "a.npz", progress=False, meta={}
    )
    sequence = load_sequence(summary.output)
    assert sequence.timestamps_ns[-1] > 2.9e9 and "restarts" in sequence.meta["notes"][0]


@pytest.mark.parametrize("name", ["a.mp4", "f.mp4", "a.mov", "a.flv"])
def test_a_second_film_behind_the_first_is_said(tmp_path, caplog, name):
    options = ["-movflags", "frag_keyframe+empty_moov"] if name == "f.mp4" else []
    path = h264(tmp_path / name, *options, seconds=1)
    assert not read(path)[1].notes
    path.write_bytes(path.read_bytes() * 2)
    frames, source = read(path)
    assert len(frames) == 30 and source.damaged is None
    assert "holds another film" in source.notes[0] and caplog.text.count("holds another film") == 1


def test_ogg_films_that_are_joined(tmp_path):
    path = film(tmp_path / "a.ogv", "-c:v", "libtheora", seconds=1)
    path.write_bytes(path.read_bytes() * 2)
    frames, source = read(path)
    assert len(frames) == 60 and source.damaged is None and np.allclose(steps_s(frames), 1 / 30, atol=0.002)


def later(folder, name, seconds, *options):
    """Two seconds of film whose second second is later by so many."""
    move = ("-vf", f"setpts=PTS+gte(N\\,30)*{seconds}/TB", "-fps_mode", "passthrough")
    return h264(folder / name, *move, *options)


@pytest.mark.parametrize(
    "name, seconds, is_leap",
    [("a.ts", 4, False), ("a.ts", 5000, True), ("a.mkv", 20, False), ("a.mp4", 20, False), ("a.mkv", 5000, True)],
)
def test_a_pause_is_kept_and_a_leap_is_none(tmp_path, caplog, name, seconds, is_leap):
    frames, source = read(later(tmp_path, name, seconds))
    assert len(frames) == 60 and source.damaged is None
    assert steps_s(frames)[29] == pytest.approx(1 / 30 if is_leap else seconds + 1 / 30, abs=0.003)
    assert np.allclose(np.delete(steps_s(frames), 29), 1 / 30, atol=0.002)
    assert len(source.notes) == is_leap and caplog.text.count("leaps forward at 1.0 s") == is_leap
    with VideoSource(source.path) as fresh:
        wanted = frames[45]
        found = next(fresh.frames_from(wanted.timestamp_ns))
        assert found.timestamp_ns == wanted.timestamp_ns and (found.picture == wanted.picture).all()


def test_a_step_far_beyond_the_stated_end_is_a_leap():
    clock = Clock(10.0, end_ns=4_000_000_000)
    assert [clock.time_ns(pts, Fraction(1, 10)) / 1e8 for pts in (0, 1, 100, 101, 900, 901)] == [
        0,
        1,
        100,
        101,
        102,
        103,
    ]
    assert clock.leaps == 1 and clock.restarts == 0


def test_one_time_that_is_wrong_costs_a_frame_and_no_time():
    clock = Clock(10.0, 10_000_000_000)
    assert [clock.time_ns(pts, Fraction(1, 10)) / 1e8 for pts in (0, 1, 5000, 3, 4)] == [0, 1, 2, 3, 4]


def test_seeking_in_a_file_whose_clock_restarts(tmp_path):
    path = h264(tmp_path / "a.ts", seconds=1)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(path.read_bytes() * 2)
    with VideoSource(joined) as source:
        whole = list(source)
        for wanted in (whole[10], whole[45]):
            for fresh in (source, VideoSource(joined)):
                found = next(fresh.frames_from(wanted.timestamp_ns))
                assert found.timestamp_ns == wanted.timestamp_ns and (found.picture == wanted.picture).all()


def test_times_that_are_jumbled_rise_and_do_not_drift():
    def times(*ticks):
        clock = Clock(10.0)
        return [round(clock.time_ns(pts, Fraction(1, 10)) / 1e8, 3) for pts in ticks], clock.restarts

    assert times(0, 1, 2, 3) == ([0, 1, 2, 3], 0)
    assert times(0, 1, 3, 2, 4, 5) == ([0, 1, 3, 3.5, 4, 5], 0)
    assert times(5, 5, 7, 7, 9) == ([0, 1, 2, 3, 4], 0)
    assert times(7, 7, 7, 7, 7, 7, 7) == ([0, 1, 2, 3, 4, 5, 6], 0)
    assert times(100, 101, 102, 0, 1, 2) == ([0, 1, 2, 3, 4, 5], 1)
    assert times(0, 9, 0, 9, 0) == ([0, 9, 10, 19, 20], 2)
    assert times(None, None, None) == ([0, 1, 2], 0)
    assert times(100, None, 102) == ([0, 1, 2], 0)


def test_the_film_is_the_best_stream_and_no_cover(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=300x300", "-frames:v", 1, tmp_path / "cover.jpg")
    clip = h264(tmp_path / "clip.mp4")
    first = ["-i", tmp_path / "cover.jpg", "-i", clip, "-map", "0:v", "-map", "1:v", "-c:v:0", "mjpeg"]
    for name, extra in (("thumb.mkv", []), ("thumb.mp4", []), ("cover.mp4", ["-disposition:v:0", "attached_pic"])):
        ffmpeg(*first, "-c:v:1", "copy", *extra, tmp_path / name)
        frames, source = read(tmp_path / name)
        assert len(frames) == 60 and source.size == (64, 48) and source.damaged is None


def test_a_song_with_a_cover_is_no_video(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=300x300", "-frames:v", 1, tmp_path / "cover.jpg")
    tone = ["-f", "lavfi", "-i", "sine=duration=1", "-i", tmp_path / "cover.jpg", "-map", 0, "-map", 1]
    ffmpeg(*tone, "-c:v", "mjpeg", "-disposition:v", "attached_pic", tmp_path / "song.mp3")
    with pytest.raises(UserError, match="holds no video") as caught:
        VideoSource(tmp_path / "song.mp3")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "aspect, shown", [("4/3", (64, 36)), ("3/4", (48, 48)), ("16/15", (51, 36)), ("1", (48, 36)), ("0", (48, 36))]
)
def test_pixels_become_square(tmp_path, aspect, shown):
    frames, source = read(h264(tmp_path / "a.mp4", "-vf", f"scale=48:36,setsar={aspect}", seconds=0.2))
    assert source.size == shown and {frame.picture.shape for frame in frames} == {(shown[1], shown[0], 3)}


def test_pixels_that_change_their_shape(tmp_path):
    """As where a broadcast goes from 4:3 to 16:9 and back."""
    parts = [h264(tmp_path / f"{n}.ts", "-vf", f"setsar={a}", "-bf", 2, seconds=1) for n, a in enumerate(("1", "4/3"))]
    first, second = (part.read_bytes() for part in parts)
    (tmp_path / "joined.ts").write_bytes(first + second + first)
    for _ in range(2):
        frames, _ = read(tmp_path / "joined.ts")
        assert [frame.picture.shape[1] for frame in frames] == [64] * 30 + [85] * 30 + [64] * 30


def test_no_frame_is_lost_where_a_file_breaks_off(tmp_path):
    path = h264(tmp_path / "a.ts", "-bf", 3)
    path.write_bytes(path.read_bytes() + bytes(200_000))
    frames, source = read(path)
    assert len(frames) >= 59 and "ends early" not in (source.damaged or "")
    assert np.allclose(steps_s(frames)[:-1], 1 / 30, atol=0.002)  # FFmpeg leaves a packet out


def test_square_pixels_of_a_turned_film(tmp_path):
    path = h264(tmp_path / "a.mp4", "-vf", "scale=48:36,setsar=4/3", seconds=0.2)
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    data[start : start + 20] = np.array([0, 65536, 0, -65536, 0], ">i4").tobytes()
    path.write_bytes(data)
    frames, source = read(path)
    assert source.size == (36, 64) and frames[0].picture.shape == (64, 36, 3)


@pytest.mark.parametrize("name, codec", [("a.mp4", "libx264"), ("a.ts", "libx264"), ("a.mpg", "mpeg2video")])
def test_frames_that_the_decoder_calls_corrupt_are_counted_and_marked(tmp_path, name, codec):
    path = film(tmp_path / name, "-c:v", codec, "-pix_fmt", "yuv420p", seconds=3, size="320x240")
    data = bytearray(path.read_bytes())
    numbers = random.Random(1)
    for _ in range(8):
        data[numbers.randrange(len(data) // 3, 2 * len(data) // 3)] ^= 0x55
    path.write_bytes(data)
    source = VideoSource(path)
    summary = process(source, FakeFinder(), FakeTracker(), output=tmp_path / "a.npz", progress=False)
    meta = load_sequence(summary.output).meta
    assert "is damaged inside" in source.damaged and "came out damaged" in source.damaged
    assert "ends early" not in source.damaged and meta["damaged"] == source.damaged
    assert meta["corrupt_frames"] and all(0 <= index < summary.frames for index in meta["corrupt_frames"])


def test_a_recording_that_starts_between_two_key_frames_is_healthy(tmp_path):
    path = h264(tmp_path / "a.ts", "-g", 30)
    packets = path.stat().st_size // 188
    path.write_bytes(path.read_bytes()[188 * (packets // 8) :])
    frames, source = read(path)
    assert 20 < len(frames) < 60 and source.damaged is None


def test_rates_nobody_believes(tmp_path, caplog):
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=720x576:rate=25:duration=1", "-target", "pal-dv", tmp_path / "a.dv")
    frames, source = read(tmp_path / "a.dv")
    assert source.fps == 25 and source.frame_count == 25 and np.allclose(steps_s(frames), 0.04)
    frames, source = read(h264(tmp_path / "a.h264"))
    assert source.fps == 30 and np.allclose(steps_s(frames), 1 / 30) and not source.notes
    with caplog.at_level(logging.WARNING):
        frames, source = read(film(tmp_path / "a.mjpeg", "-c:v", "mjpeg", "-f", "mjpeg", seconds=1))
    assert source.fps == 25 and len(frames) == 30 and "25 frames per second are assumed" in source.notes[0]
    assert caplog.text.count("assumed") == 1


def test_a_name_with_colons_is_a_path(tmp_path, monkeypatch):
    if os.name == "nt":
        pytest.skip("Windows has no colons in names")
    monkeypatch.chdir(tmp_path)
    clip = h264(tmp_path / "clip.mp4", seconds=0.2)
    for name in ("2024-01-01T12:00:00.mp4", "concat:a.mp4", "clip%03d.mp4", "-a.mp4"):
        clip.rename(tmp_path / name)
        assert len(read(name)[0]) == 6
        clip = tmp_path / name
