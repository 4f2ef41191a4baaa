"""The low-pass of exports: what it leaves, what it takes, and what it must not mix."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from lvd_live.export import export
from lvd_live.export.low_pass import HALF, LowPass
from lvd_live.export.mesh_frames import meshes
from lvd_live.export.motion import BodyMotion
from lvd_live.export.options import SMOOTH, ExportOptions
from lvd_live.export.take import Take
from lvd_live.session.sequence import Sequence
from tests.test_export import FPS, perform, truth, write_take

RATE = 60.0


def low_pass(frames, seconds=SMOOTH, weights=None, shots=None, fps=RATE):
    return LowPass(
        seconds,
        fps,
        np.ones(frames) if weights is None else weights,
        np.zeros(frames, int) if shots is None else shots,
    )


def test_it_is_a_butterworth_filter_run_forward_and_back():
    noise = np.random.default_rng(0).normal(size=(400, 3))
    found = low_pass(400).values(noise)
    filter_ = butter(2, HALF / SMOOTH, fs=RATE, output="sos")
    expected = sosfiltfilt(filter_, noise, axis=0)
    assert np.abs(found - expected)[50:-50].mean() < 0.03 * noise.std()  # they differ near half the frame rate
    assert found.std() < 0.5 * noise.std()


@pytest.mark.parametrize("hertz, left", [(0.5, 1.0), (HALF / SMOOTH, 0.5), (20.0, 0.015)])
def test_what_it_leaves_of_a_swing_without_delay(hertz, left):
    t = np.arange(600) / RATE
    swing = np.cos(2 * np.pi * hertz * (t - t[300]))
    found = low_pass(600).values(swing)
    assert found[300] == pytest.approx(left, abs=0.02) and found[200:401] == pytest.approx(found[400:199:-1], abs=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
def test_even_motion_stays_as_it_is_to_both_ends(frames):
    line = np.linspace([0.0, 1.0], [2.0, -3.0], frames)
    assert low_pass(frames, 0.15).values(line) == pytest.approx(line, abs=1e-8)
    assert low_pass(frames, 0.0).values(line) is line


def test_nothing_is_mixed_across_a_cut():
    shots = np.repeat([0, 1, 2], [20, 1, 19])
    step = np.where(shots == 1, 9.0, shots.astype(float))
    assert low_pass(40, 0.1, shots=shots).values(step) == pytest.approx(step, abs=1e-8)


def test_what_is_not_to_be_believed_counts_less():
    values, weights = np.zeros(40), np.ones(40)
    values[20], weights[20] = 1.0, 0.1
    assert abs(low_pass(40, weights=weights).values(values)[20]) < 0.3 * low_pass(40).values(values)[20]


def test_a_window_has_the_shares_of_the_smoothed_value():
    rng = np.random.default_rng(1)
    values, weights = rng.normal(size=(80, 2)), rng.choice([0.1, 1.0], 80, p=[0.1, 0.9])
    some = low_pass(80, weights=weights, shots=np.arange(80) // 50)
    for frame in (0, 3, 40, 49, 50, 79):
        window, shares = some.window(frame)
        assert shares.sum() == pytest.approx(1)
        assert shares @ values[window] == pytest.approx(some.values(values)[frame], abs=0.02)
    assert low_pass(80, 0.0).window(7) == (range(7, 8), [1.0])


def test_places_are_smoothed_harder_in_their_distance():
    t = np.arange(240) / RATE
    swing = 0.05 * np.cos(2 * np.pi * 3 * t)
    far, aside = np.zeros((240, 3)), np.zeros((240, 3))
    far[:, 2], aside[:, 2], aside[:, 0] = 3 + swing, 3, swing
    found = [low_pass(240).places(points) for points in (far, aside)]
    assert np.ptp(found[0][40:-40, 2]) < 0.1 * np.ptp(swing) and np.ptp(found[1][40:-40, 0]) > 0.85 * np.ptp(swing)


def test_a_take_that_shakes_in_depth_is_exported_steady(body, tmp_path):
    """By default, and as the mesh as tracked, too: what shakes is gone, what moves is there."""
    times = np.arange(24) / FPS
    vertices, joints = perform(body, times)
    shake = 0.01 * np.random.default_rng(0).choice([-1, 1], (24, 1, 1)) * joints[:, :1]
    take = Take.open(write_take(tmp_path / "take.npz", body, vertices + shake, times, FPS))

    def error(motion):
        return np.linalg.norm(motion.pelvis - truth(joints)[:, 0], axis=1)

    raw, steady = (BodyMotion(take, ExportOptions(origin="camera", smooth=s)) for s in (0.0, SMOOTH))
    assert ExportOptions().smooth == SMOOTH
    jitter = [np.abs(np.diff(motion.pelvis[:, 2], n=2)).mean() for motion in (raw, steady)]
    assert jitter[1] < 0.1 * jitter[0] and error(steady).mean() < 0.7 * error(raw).mean()
    tracked = BodyMotion(take, ExportOptions(origin="camera", mesh="fitted"))
    centres = np.array([mesh[0].mean(0) for mesh in meshes(tracked)])
    skinned = np.array([mesh[0].mean(0) for mesh in meshes(steady)])
    assert np.linalg.norm(centres - skinned, axis=1).max() < 0.002


def test_shots_are_read_from_whatever_the_meta_holds():
    def shots(cuts):
        sequence = SimpleNamespace(alone=False, meta={"cuts": cuts}, frame_index=np.array([4, 5, 6, 7]))
        return Sequence.shots.fget(sequence).tolist()

    pictures = SimpleNamespace(alone=True, meta={}, frame_index=np.array([0, 1]))
    assert Sequence.shots.fget(pictures).tolist() == [0, 1]
    assert shots([5, 7]) == [0, 1, 1, 2] and shots([9]) == [0, 0, 0, 0]
    for junk in (None, "no", 5, [None, "5", 5.0, True, 10**30], {"5": 1}):
        assert shots(junk) == [0, 0, 0, 0]


def test_pictures_on_their_own_are_not_mixed(body, tmp_path):
    vertices, _ = perform(body, np.arange(5) / 2)
    meta = {"names": list("abcde")}
    take = Take.open(write_take(tmp_path / "stills.npz", body, vertices, np.arange(5) * 1e-9, 0.0, meta=meta))
    found, raw = (BodyMotion(take, ExportOptions(origin="camera", smooth=s)).joints for s in (SMOOTH, 0.0))
    np.testing.assert_allclose(found, raw, atol=1e-6)
    notes = " ".join(export(take, tmp_path / "stills.bvh").notes)
    assert "smoothed" not in notes and "camera" not in notes
