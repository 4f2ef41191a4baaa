"""Synthetic scans, learning from them, and the errors of the forward pass."""

import csv
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
import torch

from lvd_live.body.model import BodyModel
from lvd_live.errors import UserError
from lvd_live.evaluate import cli as evaluate_cli
from lvd_live.evaluate.scans import HeldOutScans, errors_of, forward_pass, tables, turned_copies, validate_scans
from lvd_live.lvd.presets import SCAN_PRESETS
from lvd_live.lvd.volume.network import VolumeLVD
from lvd_live.lvd.volume.pyramids import PYRAMIDS, Conv, ScanPyramid
from lvd_live.lvd.weights import load_volume_network
from lvd_live.paths import MODELS
from lvd_live.scan.network import ScanNetwork
from lvd_live.synth import cli as synth_cli
from lvd_live.synth.dataset import Shards, write_shard
from lvd_live.synth.scans.posed import Poser, pose_points
from lvd_live.synth.scans.samples import KINDS, ScanSamples, held_out_scans, random_turn
from lvd_live.synth.scans.scanner import CLEAN, Scanner, occluder, scan, seen, visible
from lvd_live.synth.scans.surfaces import SurfaceMaker, make_surfaces
from lvd_live.train import cli
from lvd_live.train.optimiser import MuonAdamW, orthogonal
from lvd_live.train.options import TrainingOptions

SHIPPED = MODELS / "weights" / "scan.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two shards of three dressed people."""
    out, maker = tmp_path_factory.mktemp("people"), SurfaceMaker(MODELS)
    for i in range(2):
        write_shard(out / f"{i:05d}.npy", maker.make(i, 2_000, people=3))
    return out


@pytest.fixture(scope="module")
def samples():
    return ScanSamples(MODELS, vertices=np.arange(0, 6890, 40))


def rng():
    return np.random.default_rng(0)


def ball(count=2_000, radius=0.5):
    points = rng().normal(size=(count, 3))
    return radius * points / np.linalg.norm(points, axis=1, keepdims=True)


def test_a_person_of_a_shard_depends_on_seed_and_number_alone_and_held_out_ones_differ():
    maker = SurfaceMaker(MODELS)
    first, again = (maker.make(3, 500, people=1) for _ in range(2))
    assert all((first[key] == again[key]).all() for key in first)
    assert (first["weight"].sum(-1, dtype=int) == 255).all() and first["joint"].max() < 24
    held_out = SurfaceMaker(MODELS, held_out=True)
    assert not {tuple(b) for b in held_out.people.population} & {tuple(b) for b in maker.people.population}
    assert (held_out.make(3, 500, people=1)["betas"] != first["betas"]).any()


def test_clothes_and_body_are_posed_alike(folder):
    """A dressed person's points lie near its posed body: cloth is centimetres away from skin."""
    row = {k: v[1] for k, v in Shards.open(folder).rows(Shards.open(folder).maps[0], slice(None)).items()}
    poser, motion = Poser.of(BodyModel.load(MODELS / "body" / "lvd_body.npz")), ScanSamples(MODELS).motion
    pose, betas = torch.from_numpy(motion.sample(rng())[None]).float(), torch.from_numpy(row["betas"])[None]
    bones = poser.bones(betas, pose)
    body = poser.vertices(betas, bones)[0]
    points = pose_points(*(torch.from_numpy(row[k]) for k in ("points", "joint", "weight")), bones[0])
    assert torch.cdist(points, body).min(1).values.quantile(0.9) < 0.06
    whole, _ = poser.body(betas, pose)
    pelvis = (poser.joints + torch.einsum("jcb,nb->njc", poser.joint_shapes, betas))[0, 0]
    torch.testing.assert_close(body, whole[0] - pelvis, atol=1e-4, rtol=0)


def test_samples_are_in_the_cube_with_their_truth(folder, samples):
    shards = Shards.open(folder)
    batch = samples.draw(shards, rng(), 8, CLEAN, exact_cube=True)
    assert len(batch) == 8 and batch.vertices.shape == (8, 173, 3)
    for cloud, vertices, half in zip(batch.clouds, batch.vertices, batch.half, strict=True):
        assert cloud.abs().max() < 1.2 and len(cloud) == 2_000
        distance = torch.cdist(vertices, cloud).min(1).values * half
        assert distance.quantile(0.9) < 0.08  # metres
    again = samples.draw(shards, rng(), 8, CLEAN, exact_cube=True)
    torch.testing.assert_close(again.vertices, batch.vertices)
    yaws = [random_turn(np.random.default_rng(i)) @ [0, 0, 1] for i in range(200)]
    assert np.abs(np.mean(yaws, 0)).max() < 0.2  # they face everywhere
    uprights = [(random_turn(np.random.default_rng(i)) @ [0, 1, 0])[1] for i in range(200)]
    assert np.cos(0.61) < min(uprights) < 0.95


def test_held_out_scans_are_always_the_same(folder, samples):
    pair = [held_out_scans(samples, Shards.open(folder), "one-sided", 3, batch=2) for _ in range(2)]
    assert [len(batch) for batch in pair[0]] == [2, 1]
    torch.testing.assert_close(pair[0][1].clouds[0], pair[1][1].clouds[0])


def test_one_camera_sees_the_side_that_faces_it():
    points = ball(20_000)
    toward = np.array([0.0, 0.0, 1.0])
    shown = visible(points, toward)
    assert shown[points[:, 2] > 0.3].all() and shown[points[:, 2] < -0.1].mean() < 0.03
    hidden = occluder(points, toward, rng())
    assert 0 < (visible(points, toward, hidden) & hidden).sum() + hidden.sum() < len(points)
    assert not (visible(points, toward, hidden) & hidden).any()


@pytest.mark.parametrize(("kind", "low", "high"), [(0, 1, 1), (1, 0.8, 1), (2, 0.5, 0.98), (3, 0.4, 0.62)])
def test_more_cameras_see_more(kind, low, high):
    sides = tuple(float(i == kind) for i in range(4))
    share = np.mean(
        [len(seen(ball(), replace(CLEAN, sides=sides, occluded=0), np.random.default_rng(i))) / 2_000 for i in range(8)]
    )
    assert low <= share <= high


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ({"noise": 0.02}, lambda a, b: np.linalg.norm(b - a, axis=1).max() > 0.01),
        ({"holes": 1.0, "hole": (0.1, 0.2)}, lambda a, b: 100 < len(b) < len(a)),
        ({"soles": 1.0}, lambda a, b: b[:, 1].min() > a[:, 1].min() + 0.004),
        ({"fused": 1.0}, lambda a, b: (np.abs(b - a)[: len(a) // 2] > 0.004).any() and (b == a)[len(a) // 2 :].all()),
        ({"strays": 1.0}, lambda a, b: len(b) > len(a)),
        ({"object": 1.0}, lambda a, b: len(b) >= len(a) + 100),
        ({"floor": 1.0}, lambda a, b: np.median(b[len(a) :, 1]) < a[:, 1].min() + 0.02),
    ],
)  # fmt: skip
def test_a_scanner_spoils_a_scan_as_told(fault, check):
    points, joint = ball().astype(np.float32), np.repeat([20, 0], 1_000)
    spotless = replace(CLEAN, noise=0)
    np.testing.assert_array_equal(scan(points, joint, spotless, rng()), points)
    assert check(points, scan(points, joint, replace(spotless, **fault), rng()))
    assert np.isfinite(scan(points, joint, Scanner(), rng())).all()


def test_shards_are_made_once_and_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("lvd_live.synth.scans.surfaces.PEOPLE", 1)
    monkeypatch.setattr(SurfaceMaker.make, "__defaults__", (200, 1))
    make_surfaces(tmp_path, MODELS, 200, range(2))
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert sorted(before) == ["00000.npy", "00001.npy"]
    make_surfaces(tmp_path, MODELS, 200, range(2))
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_wide_kernels_are_made_orthogonal_as_others(monkeypatch):
    torch.manual_seed(0)
    wide = torch.randn(16, 400) * torch.logspace(0, -1, 16)[:, None]
    ours = orthogonal(wide)
    monkeypatch.setattr("lvd_live.train.optimiser.WIDE", 1e9)
    torch.testing.assert_close(ours, orthogonal(wide), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(ours.T, orthogonal(wide.T), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("side", [1, 2, 3])
def test_kernels_learn_rightly_on_the_smallest_volumes(side):
    """oneDNN's bfloat16 does not, on volumes smaller than the kernel."""
    torch.manual_seed(0)
    layer = Conv(160, 160).to(memory_format=torch.channels_last_3d)
    x = torch.randn(16, 160, side, side, side).to(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    y.float().square().sum().backward()
    expected = torch.nn.grad.conv3d_weight(x, layer.weight.shape, 2 * y.detach().float(), padding=1)
    assert (layer.weight.grad - expected).norm() < 0.02 * expected.norm()


def test_the_optimiser_takes_kernels_of_volumes():
    network = ScanPyramid(stem=8, widths=(8, 16), blocks=(1, 1), width=8, whole=8)
    with pytest.raises(ValueError, match="channels last"):
        MuonAdamW(network, 1e-3, 0.0)
    MuonAdamW(network.to(memory_format=torch.channels_last_3d), 1e-3, 0.0)


class Tiny(ScanPyramid):
    """A step takes milliseconds."""

    def __init__(self):
        super().__init__(8, (16, 32, 32), (1, 1, 1), 16, 32)


@pytest.fixture
def small(monkeypatch):
    """The preset `scan` with a small network."""
    preset = replace(SCAN_PRESETS["scan"], size=32, hidden=(64, 64))
    monkeypatch.setitem(SCAN_PRESETS, "scan", preset)
    monkeypatch.setitem(PYRAMIDS, "scan", Tiny)
    asked = partial(TrainingOptions.asked, warm_up=5, ema=0.8)
    monkeypatch.setattr("lvd_live.train.scans.TrainingOptions.asked", asked)
    monkeypatch.setattr("lvd_live.evaluate.scans.HELD_OUT_SHARDS", 0)
    return preset


def _train(data, out, steps, *more):
    places = ["--data", str(data), "--out", str(out), "--workers", "0", "--device", "cpu"]
    length = ["--steps", str(steps), "--validate-every", "60" if steps > 60 else "20"]
    cli.main(["--preset", "scan", *places, *length, "--batch", "4", "--sizes", "1:32", "--rate", "4e-3", *more])


@pytest.mark.slow
def test_a_run_on_scans_learns_stops_and_goes_on(small, folder, tmp_path, monkeypatch):
    held_out = folder.with_name(folder.name + "-held-out")
    if not held_out.exists():
        held_out.symlink_to(folder)
    monkeypatch.setattr(validate_scans, "__defaults__", (8,))
    _train(folder, tmp_path, 20)
    _train(folder, tmp_path, 120)
    rows = list(csv.DictReader((tmp_path / "validation.csv").open()))
    assert [int(row["step"]) for row in rows if row["conditioning"] == "full"] == [20, 60, 120]
    assert {row["conditioning"] for row in rows} == {"full", "one-sided"}
    error = [float(row["v2v_8"]) for row in rows if row["conditioning"] == "full"]
    assert error[-1] < 0.7 * error[0]
    network, _, about = load_volume_network(tmp_path / "scan.safetensors")
    assert about["size"] == 32
    scan_network = ScanNetwork(network)
    batch = ScanSamples(MODELS).draw(Shards.open(folder), rng(), 4, CLEAN, exact_cube=True)
    far = batch.half * batch.vertices.norm(dim=-1).mean(1)  # from the centre, where every vertex starts
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    found = errors_of(forward_pass(scan_network), [batch], body)
    assert found.vertex.mean() < 0.6 * 1000 * far.mean()
    assert errors_of(turned_copies(scan_network, 2), [batch], body).sigma.shape == (4, 6890)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sizes", "1:40"], "multiples of 16"),
        (["--preset", "paper-scan", "--sizes", "1:64"], "multiples of 128"),
        (["--baseline"], "choose one"),
        (["--hours", "0"], "--hours"),
    ],
)
def test_options_that_cannot_be_take_a_sentence(options, message):
    with pytest.raises(UserError, match=message):
        cli.main(["--preset", "scan", *options])


def test_a_sheet_of_scans_is_drawn(tmp_path):
    assert synth_cli.main(["--scans", "--sheet", str(tmp_path / "s.png"), "--people", "1"]) == 0
    picture = cv2.imread(str(tmp_path / "s.png"))
    assert picture.shape == (288, 6 * 288, 3) and picture[:, : 4 * 288].any() and not picture[:, 4 * 288 :].any()


def test_scans_are_measured_kind_by_kind_and_part_by_part(folder):
    torch.manual_seed(0)
    preset = replace(SCAN_PRESETS["scan"], size=32, vertices=30, hidden=(16, 16))
    columns = torch.arange(6890)[:, None].expand(-1, 8) % 30
    network = VolumeLVD(preset, torch.arange(30), columns, torch.full((6890, 8), 0.125))
    held_out = HeldOutScans.__new__(HeldOutScans)
    held_out.samples, held_out.shards, held_out._made = ScanSamples(MODELS), Shards.open(folder), {}
    assert {kind: len(errors) for kind, errors in validate_scans(network, held_out, 32, 2).items()} == {
        "full": 8,
        "one-sided": 8,
    }
    found = tables({"forward pass": forward_pass(ScanNetwork(network), 2)}, held_out, 2)
    header, rows = found["overall"]
    assert [row[0] for row in rows] == list(KINDS) and all(len(row) == len(header) for row in rows)
    assert all(float(cell) > 0 for row in found["parts"][1] for cell in row[2:])
    truth = {id(c): v.numpy() for b in held_out.of("full", 2) for c, v in zip(b.clouds, b.vertices, strict=True)}
    perfect = iter(truth.values())
    exact = errors_of(lambda cloud: (next(perfect), None), held_out.of("full", 2), held_out.samples.poser.body)
    assert exact.vertex.max() == 0 and exact.joint.shape == (2, 24)


@pytest.mark.skipif(not SHIPPED.exists(), reason="no weights for scans are shipped yet")
def test_the_shipped_network_fits_a_person(folder):
    scan_network = ScanNetwork.load()
    batch = ScanSamples(MODELS, held_out=True).draw(Shards.open(folder), rng(), 6, CLEAN, exact_cube=True)
    body = BodyModel.load(MODELS / "body" / "lvd_body.npz")
    errors = [errors_of(forward_pass(scan_network, steps), [batch], body).vertex.mean() for steps in (1, 3, 6)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 150
    assert SHIPPED.stat().st_size <= 16 * 2**20


@pytest.mark.skipif(not SHIPPED.exists(), reason="no weights for scans are shipped yet")
@pytest.mark.slow
def test_evaluate_scans_prints_both_tables(folder, capsys, monkeypatch):
    monkeypatch.setattr("lvd_live.evaluate.scans.HELD_OUT_SHARDS", 0)
    assert evaluate_cli.main(["--scans", str(folder), "--count", "2"]) == 0
    printed = capsys.readouterr().out
    assert "forward pass" in printed and "shins" in printed and "one-sided" in printed
