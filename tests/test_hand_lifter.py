"""The hand lifter: its frame, its samples, its training, and what it makes of a hand."""

import numpy as np
import pytest
import torch

from lvd_live.errors import UserError
from lvd_live.lift.hand_network import FEATURES, HandLiftNetwork
from lvd_live.lift.hands import HandFrames, HandLifter, HandViews, hand_features
from lvd_live.paths import MODELS
from lvd_live.train import cli
from lvd_live.train.hand_lifter import HandLifterRun, HandSamples, hand_options, train_hand_lifter
from lvd_live.train.lifter import LifterOptions, write_weights

CPU = torch.device("cpu")


def views(seed=0, count=5):
    """Hands at random, none of them possible."""
    rng = np.random.default_rng(seed)
    landmarks = rng.normal(0, 20, (count, 21, 3)) + [300, 200, 0]
    landmarks[:, 0, 2] = 0
    forearm = rng.normal(0, 1, (count, 3))
    forearm /= np.linalg.norm(forearm, axis=1, keepdims=True)
    ones = np.ones(count)
    return HandViews(landmarks, rng.normal(0, 0.05, (count, 21, 3)), 0.9 * ones, 0.8 * ones, 80 * ones, forearm, ones)


def mirrored(v):
    """The same hands in the mirror."""
    flip = np.array([-1.0, 1, 1])
    return HandViews(
        v.landmarks * flip, v.world * flip, v.presence, v.right_side, v.length, v.forearm * flip, 1 - v.side
    )


def turned(v, angle):
    """The same hands in a picture that is turned; the third axis stays."""
    c, s = np.cos(angle), np.sin(angle)
    R = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    return HandViews(v.landmarks @ R, v.world @ R, v.presence, v.right_side, v.length, v.forearm @ R, v.side), R


def test_the_frame_is_upright_and_leads_back():
    v = views()
    frames = HandFrames.of(v.landmarks, v.side)
    placed = frames.placed(v.landmarks)
    up = (placed[:, 5] + placed[:, 13]) / 4 + placed[:, 9] / 2 - placed[:, 0]
    assert np.allclose(up[:, 0], 0, atol=1e-9) and (up[:, 1] < 0).all()
    assert np.allclose(np.ptp(placed[..., :2], axis=1).max(1), 2)
    assert np.allclose(frames.in_picture(placed), v.landmarks)
    assert hand_features(v, frames).shape == (5, FEATURES)


def test_a_mirrored_or_turned_hand_is_lifted_to_the_same():
    """Turned, but for the little that the picture's upright tells: whether it says so is the network's to learn."""
    v, lifter = views(), HandLifter.shipped()
    points, scale = lifter(v)
    in_mirror, scale_there = lifter(mirrored(v))
    assert np.allclose(in_mirror * [-1, 1, 1], points, atol=1e-3) and np.allclose(scale_there, scale, atol=1e-3)
    t, R = turned(v, 0.7)
    frames, again = HandFrames.of(v.landmarks, v.side), HandFrames.of(t.landmarks, t.side)
    assert np.allclose(hand_features(v, frames)[:, :-2], hand_features(t, again)[:, :-2], atol=1e-5)
    assert np.allclose(again.in_picture(frames.placed(v.landmarks)), v.landmarks @ R, atol=1e-9)


def test_an_untrained_network_leaves_the_picture_as_it_is():
    torch.manual_seed(0)
    v = views()
    points, scale = HandLifter(HandLiftNetwork())(v)
    assert np.abs(points - v.landmarks).mean() < 5 and (scale > 0).all()


def test_it_learns_from_rendered_hands_and_goes_on(tmp_path):
    """Two people's hands are rendered, once; training goes on from the checkpoint and writes weights."""
    pytest.importorskip("moderngl")
    options = LifterOptions(samples=2_560, batch=64, warm_up=5, width=32, blocks=1)
    try:
        path = train_hand_lifter(MODELS, tmp_path, options, device=CPU, people=2)
    except UserError as error:
        pytest.skip(str(error))  # no OpenGL here
    with np.load(tmp_path / "looks.npz") as file:
        looks = {name: file[name] for name in file.files}
    assert len(looks["side"]) > 20 and set(looks["person"]) == {0, 1} and set(looks["side"]) == {0, 1}
    off = np.linalg.norm(looks["landmarks"][..., :2] - looks["drawn"], axis=-1) / looks["length"][:, None]
    assert np.median(off) < 0.1  # of a hand's length: the truth is where the network sees it
    assert np.allclose(looks["truth"][:, 0, 2], 0, atol=1e-4)
    untrained, trained = HandLifterRun(options, CPU), HandLifter.load(path).network
    batch = HandSamples(looks, CPU).all()
    with torch.no_grad():
        before, after = (
            float((network(batch.landmarks)[0] - batch.truth).abs().mean()) for network in (untrained.average, trained)
        )
    assert after < 0.9 * before
    rendered = (tmp_path / "looks.npz").stat().st_mtime_ns
    train_hand_lifter(MODELS, tmp_path, options, device=CPU, people=2)
    assert (tmp_path / "looks.npz").stat().st_mtime_ns == rendered


def test_the_shipped_one_is_small():
    path = MODELS / "lift" / "hands.safetensors"
    assert path.stat().st_size < 300_000 and hand_options().width == HandLifter.shipped().network.shape["width"]


def test_a_file_that_holds_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="no hand lifter"):
        HandLifter.load(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="does not hold"):
        HandLifter.load(tmp_path / "bad.safetensors")
    good = write_weights(HandLiftNetwork(16, 1), tmp_path / "good.safetensors", 5)
    assert HandLifter.load(good).network.shape == {"width": 16, "blocks": 1}


def test_options_that_the_hand_lifter_does_not_take_are_refused():
    for option in (["--start-from", "x.safetensors"], ["--rate", "0.001"]):
        with pytest.raises(UserError, match="not for --hands"):
            cli.main(["--lifter", "--hands", *option])
