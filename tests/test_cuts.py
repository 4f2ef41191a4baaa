"""Hard cuts: recognised where one shot follows another, nowhere else; the fit begins anew there."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from lvd_live.lift.lifter import EXCHANGED
from lvd_live.paths import DEMO
from lvd_live.pipeline.offline import process
from lvd_live.session.sequence import load_sequence
from lvd_live.sources import VideoSource
from lvd_live.sources.cuts import CutFinder
from lvd_live.tracking.jump import JumpFinder
from tests.fakes import FakeFinder, FakeSource, FakeTracker
from tests.films import needs_ffmpeg
from tests.test_sources import write_video


def scene(seed, height=96, width=128):
    """A blurred pattern, as different from another seed's as two rooms are."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def with_person(picture, at):
    """A tall dark figure at a share of the picture's width."""
    height, width = picture.shape[:2]
    picture = picture.copy()
    left = int(at * width)
    picture[height // 10 :, left : left + width // 4] = (60, 40, 30)
    return picture


def cuts(pictures):
    finder = CutFinder()
    return [number for number, picture in enumerate(pictures) if finder.is_cut(picture)]


def test_a_cut_between_two_scenes():
    shots = [with_person(scene(1), 0.1 + 0.02 * n) for n in range(10)]
    shots += [with_person(scene(2), 0.5 + 0.02 * n) for n in range(10)]
    assert cuts(shots) == [10]
    assert cuts([scene(number) for number in range(1)]) == []


def test_a_fade_through_black_is_one_cut():
    first = [scene(1)] * 5 + [(scene(1) * share).astype(np.uint8) for share in (0.6, 0.3, 0.0, 0.0)]
    assert cuts(first + [(scene(2) * share).astype(np.uint8) for share in (0.3, 0.6, 1.0, 1.0)]) == [9]
    assert cuts(first + [scene(1)] * 4) == []


def test_motion_light_and_panning_are_no_cuts():
    wide = scene(3, 96, 1024)
    assert cuts([wide[:, 12 * n : 12 * n + 128] for n in range(40)]) == []
    assert cuts([with_person(scene(1), (0.2 * n) % 0.75) for n in range(20)]) == []
    flashes = [scene(1) // 2 + 100 * (n % 5 == 0) for n in range(20)]
    assert cuts([picture.astype(np.uint8) for picture in flashes]) == []


def test_no_cut_in_the_bundled_clip():
    with VideoSource(DEMO) as source:
        assert not any(frame.new_shot for frame in source)


@needs_ffmpeg
@pytest.mark.parametrize("size", [(96, 128), (540, 960)])
def test_a_cut_in_a_file_is_a_cold_start_and_marked(tmp_path, size):
    shots = [with_person(scene(1, *size), 0.3)] * 8 + [with_person(scene(2, *size), 0.5)] * 8
    path = write_video(tmp_path / "two.mp4", shots, fps=25)
    finder, tracker = FakeFinder(), FakeTracker()
    summary = process(VideoSource(path), finder, tracker, output=tmp_path / "two.npz", progress=False)
    sequence = load_sequence(summary.output)
    assert sequence.meta["cuts"] == [8] and finder.resets == 1
    assert sequence.iterations.tolist() == [6] + [2] * 7 + [6] + [2] * 7


STANDING = np.random.default_rng(4).uniform(-1, 1, (33, 3)) * (40, 100, 0) + (300, 200, 1)  # landmarks, pixels
STANDING[[11, 12, 23, 24], :2] = (330, 150), (270, 150), (320, 230), (280, 230)  # a torso of 80 pixels


def jumps(places, seconds=1 / 30):
    """The numbers of the frames that begin with a jump; places : (F, 33, 3) or None where nobody is."""
    finder, found = JumpFinder(), []
    for number, landmarks in enumerate(places):
        if landmarks is None:
            finder.reset()
        elif finder.is_jump(landmarks, round(number * seconds * 1e9)):
            found.append(number)
    return found


def moved(*pixels):
    return [STANDING + np.array([x, 0, 0]) for x in pixels]


def test_a_person_who_jumps_in_an_unchanged_scene():
    assert jumps(moved(0, 2, 4, 6, 60, 62, 64)) == [4]
    assert jumps(moved(0, 2, 4, 60, 62, 0, 2)) == [3, 5]
    turned = STANDING * (-1, 1, 1) + (600, 0, 0)
    turned[:, 1] = STANDING[::-1, 1]
    assert jumps([*moved(0, 1, 2), turned]) == [3]


def test_fast_people_panning_cameras_and_slow_rates_are_no_jumps():
    assert jumps(moved(0, 20, 40, 60, 80, 60, 30)) == []
    assert jumps(moved(0, 25, 60, 120, 180, 240, 300)) == []  # the camera turns faster and faster
    assert jumps(moved(0, 60, 120), seconds=0.2) == []
    assert jumps([*moved(0, 1), None, *moved(90)]) == []
    waving = STANDING.copy()
    waving[[15, 17, 19, 21], :2] += (0, -80)
    assert jumps([STANDING, waving, STANDING]) == []
    assert jumps([STANDING, STANDING[EXCHANGED], STANDING]) == []  # the finder mistakes left and right
    assert jumps([STANDING, STANDING * 0]) == [1] and jumps([STANDING * 0, STANDING * 0]) == []


def test_a_jump_is_marked_in_the_file(tmp_path):
    class Jumping(FakeTracker):
        def step(self, frame, person, *, later=()):
            return replace(super().step(frame, person), jumped=frame.index == 5)

    summary = process(FakeSource(count=8), FakeFinder(), Jumping(), output=tmp_path / "a.npz", progress=False)
    assert load_sequence(summary.output).meta["cuts"] == [5]
