"""The lifter: its samples, its training, and what it says of landmarks."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from lvd_live.body.model import BodyModel, axis_angle_to_matrix
from lvd_live.errors import UserError
from lvd_live.lift import over_time
from lvd_live.lift import plain as plain_lift
from lvd_live.lift.conditioning import lift_in_crop, lift_in_crops
from lvd_live.lift.lifter import EXCHANGED, Cameras, Lifter, View, read_network
from lvd_live.lift.network import LANDMARKS, LiftNetwork, laplace_loss, symmetric
from lvd_live.lift.over_time import TimeNetwork
from lvd_live.lift.steady import SteadyLifter
from lvd_live.paths import MODELS
from lvd_live.person.crop import Crop
from lvd_live.synth.lifted import in_picture, lift_rows
from lvd_live.train import lifter as training
from lvd_live.train.lift_noise import Noise, ObservedErrors, Seen, nearness_of
from lvd_live.train.lift_samples import Film, LiftSamples
from lvd_live.train.lift_sequences import FRAMES, LiftSequences
from lvd_live.train.lifter import LifterOptions, LifterRun, train_lifter, write_weights
from lvd_live.train.lifter_over_time import TimeOptions, TimeRun

CPU = torch.device("cpu")
VIEW = View(focal=900.0, width=1280, height=720, known=True)
SMALL = LifterOptions(samples=64 * 40, batch=64, width=32, blocks=1, warm_up=5, save_s=1e9)


@pytest.fixture(scope="module")
def observed():
    return ObservedErrors.load(MODELS / "synth" / "landmark_errors.npz", CPU)


@pytest.fixture(scope="module")
def samples(observed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lvd_live.train.lift_samples.FIRST_POSES", 256)
        return LiftSamples(MODELS, Noise(observed, seed=0, device=CPU), held_out=True)


@pytest.fixture(scope="module")
def lifter():
    return Lifter.shipped()


def clear(samples, count):
    """People wholly in the picture, seen without any error but with no depth: a film, and it as pixels of VIEW
    (count, 33, 4)."""
    rotations = axis_angle_to_matrix(samples.poses(40 * count))
    film = samples.film(samples.pose_landmarks(samples.shapes(40 * count), rotations))
    whole = torch.nonzero(film.shows(film.rays).all(1) & (film.rays.abs().amax((1, 2)) < 0.35))[:count, 0]
    assert len(whole) == count
    film = Film(film.points[whole], film.edges[whole])
    pixels = film.rays.numpy() * (VIEW.focal, -VIEW.focal) + ((VIEW.width - 1) / 2, (VIEW.height - 1) / 2)
    rest = np.tile(np.float32([0, 0.98]), (count, 33, 1))
    return film, np.concatenate([pixels, rest], 2).astype(np.float32)


def nearness(film):
    """f (D − d) / D for a focal length of 1: (B, 33)."""
    return nearness_of(film.points).numpy()


def test_landmarks_are_where_skinning_has_them(samples):
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    pose, betas = samples.poses(6), samples.shapes(6)
    vertices, joints = body(betas, pose)
    expected = torch.einsum("kn,bnc->bkc", body.landmarks, vertices)
    found = samples.pose_landmarks(betas, axis_angle_to_matrix(pose))
    shift = expected - found  # the pelvis' place alone
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift), atol=2e-5, rtol=0)
    torch.testing.assert_close(shift[:, 0], joints[:, 0], atol=2e-5, rtol=0)


def test_a_batch_is_in_the_frame_of_its_box(samples):
    batch = samples.draw(200)
    assert batch.landmarks.shape == (200, LANDMARKS, 5) and batch.camera.shape == (200, 4)
    assert batch.truth.shape == (200, LANDMARKS, 3)
    low, high = batch.landmarks[..., :2].amin(1), batch.landmarks[..., :2].amax(1)
    torch.testing.assert_close(low + high, torch.zeros_like(low), atol=1e-4, rtol=0)
    torch.testing.assert_close((high - low).amax(1), torch.full((200,), 2.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(batch.truth[:, [23, 24], 2].mean(1), torch.zeros(200), atol=1e-5, rtol=0)
    cut_off = (batch.landmarks[..., 4] == 0).any(1).float().mean()
    assert 0.1 < cut_off < 0.8 and set(batch.landmarks[..., 4].unique().tolist()) == {0.0, 1.0}
    assert ((batch.landmarks[..., 3] >= 0) & (batch.landmarks[..., 3] <= 1)).all()
    deep = (batch.landmarks[..., 2] != 0).any(1)
    assert 0.6 < deep.float().mean() < 0.95
    said, truth = batch.landmarks[deep][..., 2], batch.truth[deep][..., 2]
    assert np.corrcoef(said.flatten(), truth.flatten())[0, 1] > 0.7
    assert 0.6 < batch.camera[:, 3].mean() < 0.95
    assert (batch.landmarks[..., :2] - batch.truth[..., :2]).norm(dim=-1).median() < 0.1


def test_people_are_before_the_camera_which_knows_their_nearness(samples):
    film, _ = clear(samples, 4)
    assert (film.points[..., 2] < 0).all()
    batch = samples.in_box(film, Seen(film.rays, nearness_of(film.points), torch.ones(4, LANDMARKS)))
    half = (film.rays.amax(1) - film.rays.amin(1)).amax(1)[:, None].numpy() / 2
    np.testing.assert_allclose(batch.truth[..., 2].numpy() * half, nearness(film), atol=1e-5)
    torch.testing.assert_close(batch.truth, batch.landmarks[..., :3], atol=1e-5, rtol=0)


def test_errors_are_drawn_of_people_who_face_the_same_way(observed):
    facing = torch.arange(8).repeat(50)
    chosen = observed.like(facing, torch.linspace(0, 1, 400))
    place = torch.empty_like(observed.order)
    place[observed.order] = torch.arange(len(observed.order))
    begins = torch.cat([torch.zeros(1), observed.ends[:-1]])
    assert (place[chosen] >= begins[facing]).all() and (place[chosen] <= observed.ends[facing]).all()


def test_the_loss_is_least_at_the_truth_with_the_right_scale():
    truth = torch.zeros(1, LANDMARKS, 3)
    off = truth + 0.1
    scales = torch.linspace(-5, 1, 61)
    losses = torch.stack([laplace_loss(off, torch.full((1, LANDMARKS, 2), float(s)), truth) for s in scales])
    assert float(scales[losses.argmin()]) == pytest.approx(np.log(0.1), abs=0.06)
    assert laplace_loss(truth, torch.zeros(1, LANDMARKS, 2), truth) < laplace_loss(
        off, torch.zeros(1, LANDMARKS, 2), truth
    )


def test_fifty_steps_lower_the_loss(samples):
    run, batch = LifterRun(replace(SMALL, samples=64 * 50), CPU), samples.draw(64)
    losses = [run.learn(batch) for _ in range(50)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5
    assert run.progress == 1.0 and run.step == 50


def test_training_is_interrupted_goes_on_and_writes_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("lvd_live.train.lift_samples.FIRST_POSES", 64)
    monkeypatch.setattr(training, "VALIDATION", 64)
    steps, learn = iter(range(15)), LifterRun.learn

    def pressed(run, batch):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return learn(run, batch)

    with monkeypatch.context() as patch:
        patch.setattr(LifterRun, "learn", pressed)
        with pytest.raises(KeyboardInterrupt):
            train_lifter(MODELS, tmp_path, SMALL, device=CPU)
    again = LifterRun(SMALL, CPU)
    again.resume(tmp_path / "checkpoint.pt")
    assert again.step == 15 and again.samples == 15 * 64 and again.optimiser.state
    path = train_lifter(MODELS, tmp_path, SMALL, device=CPU)
    with (tmp_path / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [40] and np.isfinite(float(rows[0]["loss"]))
    points = Lifter.load(path)(np.random.default_rng(0).uniform(0, 500, (33, 4)), VIEW).points
    assert points.shape == (33, 3) and np.isfinite(points).all()


def test_a_file_that_holds_no_lifter_is_refused(tmp_path):
    with pytest.raises(UserError, match="There is no lifter"):
        Lifter.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(UserError, match="does not hold"):
        Lifter.load(tmp_path / "text.safetensors")


def test_the_shipped_lifter_is_small_and_knows_depth(samples, lifter):
    assert (MODELS / "lift" / "lifter.safetensors").stat().st_size < 8 << 20
    film, pixels = clear(samples, 64)
    found = lifter.lift_readings(pixels, VIEW)
    truth = VIEW.focal * nearness(film)
    size = np.ptp(pixels[..., :2], axis=1).max(1)
    wrong = np.array([np.abs(f.points[:, 2] - t).mean() for f, t in zip(found, truth, strict=True)]) / size
    flat = np.abs(truth).mean(1) / size
    assert wrong.mean() < 0.6 * flat.mean()
    correction = np.array(
        [np.linalg.norm(f.points[:, :2] - p[:, :2], axis=1).mean() for f, p in zip(found, pixels, strict=True)]
    )
    assert (correction / size).mean() < 0.03
    assert all((f.scale > 0).all() for f in found)


def test_the_shipped_lifter_is_surer_of_the_right_reading(samples, lifter):
    _, pixels = clear(samples, 64)
    pairs = [lifter.readings(p, VIEW) for p in pixels]
    assert np.mean([as_is.doubt < exchanged.doubt for as_is, exchanged in pairs]) > 0.85
    as_is, exchanged = lifter.readings(pixels[0][EXCHANGED], VIEW)
    assert exchanged.doubt == pytest.approx(pairs[0][0].doubt, abs=1e-5)
    assert as_is.doubt == pytest.approx(pairs[0][1].doubt, abs=1e-5)


def test_depth_as_the_finder_has_it_helps(samples, lifter):
    film, pixels = clear(samples, 64)
    truth = VIEW.focal * nearness(film)
    told = pixels.copy()
    told[..., 2] = truth
    without, knowing = (
        np.mean([np.abs(f.points[:, 2] - t).mean() for f, t in zip(lifter.lift_readings(p, VIEW), truth, strict=True)])
        for p in (pixels, told)
    )
    assert knowing < 0.8 * without


def test_training_starts_from_weights_of_its_size(tmp_path):
    path = write_weights(LiftNetwork(32, 1), tmp_path / "lifter.safetensors", 5)
    run = LifterRun(SMALL, CPU)
    run.start_from(path)
    expected = read_network(path, LiftNetwork).state_dict()
    for network in (run.network, run.average):
        for name, value in network.state_dict().items():
            torch.testing.assert_close(value, expected[name])
    assert all(p.requires_grad for p in run.network.parameters())
    with pytest.raises(
        UserError, match="^.*lifter.safetensors is a network of .*32.* and one of .*64.* is trained[.]$"
    ):
        LifterRun(replace(SMALL, width=64), CPU).start_from(path)


def test_partners_are_partners():
    assert (EXCHANGED[EXCHANGED] == np.arange(LANDMARKS)).all() and (EXCHANGED != np.arange(LANDMARKS)).sum() == 32


def test_a_crop_and_the_picture_are_told_the_same(samples, lifter):
    _, pixels = clear(samples, 3)
    crop = Crop(np.array([700.0, 300.0]), 250.0)
    for landmarks in pixels:
        in_picture, none = landmarks[:, [0, 1, 3]], np.zeros((33, 3))
        lifted = lift_in_crop(lifter, in_picture, none, crop, (VIEW.width, VIEW.height), VIEW.focal, VIEW.known)
        assert lifted.shape == (33, 4) and lifted.dtype == np.float32
        assert (lifted[:, 3] > 0).all() and (lifted[:, 3] <= 1).all()
        in_picture_frame = lifter(landmarks, VIEW)
        np.testing.assert_allclose(crop.to_picture(lifted[:, :2]), in_picture_frame.points[:, :2], atol=0.05)
        np.testing.assert_allclose(lifted[:, 2] * crop.half, in_picture_frame.points[:, 2], atol=0.05)


def test_a_mirrored_person_is_lifted_to_the_mirror_image(samples, lifter):
    batch = samples.draw(6)
    mirrored = batch.landmarks[:, EXCHANGED] * torch.tensor([-1, 1, 1, 1, 1])
    _, points, log_scale = symmetric(lifter.network, batch.landmarks, batch.camera)
    _, other, other_scale = symmetric(lifter.network, mirrored, batch.camera * torch.tensor([-1, 1, 1, 1]))
    back = other[:, EXCHANGED] * torch.tensor([-1, 1, 1])
    torch.testing.assert_close(back, points, atol=1e-5, rtol=0)
    torch.testing.assert_close(other_scale[:, EXCHANGED], log_scale, atol=1e-5, rtol=0)
    alone, _ = lifter.network(batch.landmarks, batch.camera)
    assert (alone - points).abs().max() > 1e-3  # the network alone is not so


def test_plain_arrays_say_what_the_networks_say(samples, lifter):
    batch, rng = samples.draw(6), np.random.default_rng(0)
    with torch.inference_mode():
        said = symmetric(lifter.network, batch.landmarks, batch.camera)
    plain = lifter.symmetric(batch.landmarks.numpy(), batch.camera.numpy())
    for one, other in zip(said, plain, strict=True):
        np.testing.assert_allclose(other, one.numpy(), atol=2e-5)
    seconds = rng.uniform(0.01, 0.1, 40).cumsum().astype(np.float32)
    known = over_time.neighbours(torch.from_numpy(seconds)[None])
    answers, half = rng.normal(0, 0.5, (40, 33, 3)).astype(np.float32), rng.uniform(0.4, 0.6, 40).astype(np.float32)
    for frame in (0, 3, 20, 39):
        which, apart, there = plain_lift.neighbours(seconds, frame)
        for one, other in zip(known, (which, apart, there), strict=True):
            np.testing.assert_array_equal(other, one[0, frame].numpy())
        moved = plain_lift.differences(answers[which], half[which], plain[1][0], half[frame])
        tensors = (torch.from_numpy(x) for x in (answers[which], half[which], plain[1][0]))
        np.testing.assert_allclose(moved, over_time.differences(*tensors, torch.tensor(half[frame])).numpy(), atol=1e-6)
        inputs = plain[0][0], plain[1][0], plain[2][0], moved, apart, there
        with torch.inference_mode():
            expected = lifter.over_time(*(torch.from_numpy(x)[None] for x in inputs))
        for one, other in zip(expected, lifter.through_time(*inputs), strict=True):
            np.testing.assert_allclose(other, one[0].numpy(), atol=2e-5)


def test_crops_are_lifted_at_once_as_one_by_one(lifter):
    rng = np.random.default_rng(0)
    landmarks, inside = rng.uniform(-1, 1, (5, 33, 4)), rng.random((5, 33)) < 0.9
    cameras = Cameras(rng.uniform(1, 4, 5).astype(np.float32), rng.normal(0, 0.3, (5, 2)), np.ones(5, bool))
    at_once = lift_in_crops(lifter, landmarks, inside, cameras)
    for i in range(5):
        one = Cameras(cameras.focal[i : i + 1], cameras.principal[i : i + 1], cameras.known[i : i + 1])
        alone = lift_in_crops(lifter, landmarks[i : i + 1], inside[i : i + 1], one)
        np.testing.assert_allclose(alone[0], at_once[i], atol=1e-4)


def test_landmarks_at_one_place_are_lifted_to_finite_ones(lifter):
    camera = Cameras(np.ones(1, np.float32), np.zeros((1, 2), np.float32), np.zeros(1, bool))
    lifted = lift_in_crops(lifter, np.zeros((1, 33, 4)), np.ones((1, 33), bool), camera)
    assert np.isfinite(lifted).all()


def test_landmarks_that_are_absent_stay_so(lifter):
    landmarks = np.random.default_rng(0).uniform(-1, 1, (1, 33, 4))
    landmarks[..., 3] = np.arange(33) % 2
    camera = Cameras(np.ones(1, np.float32), np.zeros((1, 2), np.float32), np.zeros(1, bool))
    confidence = lift_in_crops(lifter, landmarks, np.ones((1, 33), bool), camera)[0, :, 3]
    assert (confidence[::2] == 0).all() and (confidence[1::2] > 0).all()


def test_samples_of_shards_are_lifted_with_their_cameras(samples, lifter):
    film, _ = clear(samples, 16)
    focal, half = 2.5, 1.0  # crop units; the crop's middle is the optical axis
    rest = np.tile([0, 0.98], (16, 33, 1))
    flat = np.concatenate([focal * film.rays.numpy() / half, rest], 2)
    row = {"focal": np.float32(focal), "offset": np.zeros(2, np.float32), "picture": np.ones((32, 32, 3), np.uint8)}
    lifted = lift_rows(lifter, [row] * 16, flat)
    truth = focal * nearness(film)
    assert np.abs(lifted[..., 2] - truth).mean() < 0.6 * np.abs(truth).mean()


def test_what_a_crop_does_not_cover_is_outside_the_picture():
    crop = np.ones((32, 32, 3), np.uint8)
    crop[:, :8] = 0  # the picture begins at x = -0.5
    points = np.array([[-0.6, 0.0], [-0.4, 0.0], [3.0, 0.0], [0.0, -3.0]])
    assert in_picture(crop, points).tolist() == [False, True, True, True]
    assert in_picture(np.zeros((32, 32, 3), np.uint8), points).all()


def test_a_network_starts_from_the_landmarks_as_they_are():
    torch.manual_seed(0)
    landmarks = torch.rand(4, LANDMARKS, 5)
    points, log_scale = LiftNetwork(32, 2)(landmarks, torch.zeros(4, 4))
    assert (points[..., :2] - landmarks[..., :2]).abs().max() < 0.5 and log_scale.shape == (4, LANDMARKS, 2)


@pytest.fixture(scope="module")
def sequences(observed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lvd_live.train.lift_samples.FIRST_POSES", 256)
        return LiftSequences(MODELS, Noise(observed, seed=0, device=CPU), held_out=True)


def test_sequences_are_motions_of_one_person(sequences):
    batch = sequences.draw_sequences(24)
    assert batch.landmarks.shape == (24, FRAMES, 33, 5) and (batch.times.diff(dim=1) > 0.016).all()
    parts = batch.landmarks, batch.camera, batch.truth
    assert all(torch.isfinite(part).all() for part in parts) and (batch.camera[..., 3].std(1) == 0).all()
    still = (batch.truth[:, 1:] - batch.truth[:, :-1]).norm(dim=-1).median()
    apart = (batch.truth[1:] - batch.truth[:-1]).norm(dim=-1).median()
    assert still < 0.3 * apart
    error = (batch.landmarks[..., :2] - batch.truth[..., :2]).flatten(2)
    kept = (error[:, 1:] * error[:, :-1]).mean() / (error**2).mean()
    assert 0.5 < kept < 0.99  # errors last, in part


def test_over_time_learns_to_steady_and_saves(sequences, lifter, tmp_path):
    torch.manual_seed(0)
    run = TimeRun(
        replace(TimeOptions(), samples=10**6, warm_up=5), lifter.network, Noise(None, seed=0, device=CPU), CPU
    )
    batch = sequences.draw_sequences(24)
    before = run.validate(batch)
    assert before["one shake"] == before["past shake"] == before["both shake"]
    for _ in range(40):
        run.learn(batch)
    run.average.load_state_dict(run.network.state_dict())
    after = run.validate(batch)
    assert after["one depth"] == before["one depth"]  # alone, a frame stays as it is
    assert after["both shake"] < after["past shake"] < 0.95 * before["past shake"]
    path = write_weights(run.average, tmp_path / "over_time.safetensors", run.samples)
    read = read_network(path, TimeNetwork).state_dict()
    assert all(torch.allclose(read[name], value, atol=1e-3) for name, value in run.average.state_dict().items())


def test_a_video_is_lifted_steadily(samples, lifter):
    _, people = clear(samples, 6)
    rng, inside, cameras = np.random.default_rng(0), np.ones((40, 33), bool), VIEW.cameras(40)

    def cameras_of(rows):
        return Cameras(cameras.focal[rows], cameras.principal[rows], cameras.known[rows])

    def steadily(video, ahead):
        steady = SteadyLifter(lifter)
        rows = [slice(i, i + 1 + ahead) for i in range(40 - ahead)]
        return np.stack([steady(video[r], inside[r], cameras_of(r), np.arange(40)[r] / 30)[0] for r in rows])

    shakes = []
    for still in people:  # who seem to move, as the finder errs
        noisy = still + np.pad(rng.normal(0, 2.0, (40, 33, 2)), ((0, 0), (0, 0), (0, 2))).astype(np.float32)
        video = noisy * np.float32([1, -1, 1, 1])
        alone, _, _ = lifter.lift(video, inside, cameras)
        past, both = steadily(video, 0), steadily(video, 4)
        np.testing.assert_allclose(past[0], alone[0], rtol=1e-4, atol=1e-2)  # the first one has no past
        first, _ = SteadyLifter(Lifter(lifter.network))(video[:1], inside[:1], cameras_of(slice(1)), np.zeros(1))
        np.testing.assert_allclose(first, alone[0], rtol=1e-4, atol=1e-2)
        shakes.append([np.linalg.norm(np.diff(p[8:36], axis=0), axis=-1).mean() for p in (alone, past, both)])
    one, past, both = np.mean(shakes, 0)
    assert both < past < 0.85 * one
