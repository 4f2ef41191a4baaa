"""The loss, the variation of samples, and a short run that is interrupted and goes on."""

import csv
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lvd_live.body.model import BodyModel
from lvd_live.body.skeleton import BODY_PARTS, JOINT
from lvd_live.errors import UserError
from lvd_live.evaluate.regressor import Regressor, rotations_from_6d
from lvd_live.lvd.backbones.fpn import FPN
from lvd_live.lvd.features import CropFeatures
from lvd_live.lvd.field import Field, soft_clip
from lvd_live.lvd.network import LANDMARKS, LVD, warp_map
from lvd_live.lvd.presets import PRESETS
from lvd_live.paths import MODELS
from lvd_live.synth.dataset import Shards, write_shard
from lvd_live.train import ablations, cli
from lvd_live.train.average import Average
from lvd_live.train.baseline import REGRESSION
from lvd_live.train.batches import Variation, draw_batch, vary
from lvd_live.train.lock import only_training
from lvd_live.train.loop import Run, train
from lvd_live.train.loss import LossOptions, descent_loss
from lvd_live.train.networks import importance_of, read_body
from lvd_live.train.optimiser import Muon, MuonAdamW, as_matrix
from lvd_live.train.options import TrainingOptions
from lvd_live.train.task import DESCENT, Task
from tests.conftest import ROOT

K = 40
CPU = torch.device("cpu")
STILL = Variation(
    shift=0,
    scale=0,
    roll=0,
    no_landmarks=0,
    no_maps=0,
    one_landmark=0,
    true_landmarks=0,
    true_mask=0,
    noise=0,
    depth_noise=0,
)


def fake_shard(rng, n=12, size=64, vertices=K):
    """Grey people: a blob whose place in the picture is where all its vertices are."""
    centre = rng.uniform(-0.4, 0.4, (n, 2))
    at = (2 * np.arange(size) + 1) / size - 1
    distance = (at[None, None] - centre[:, :1, None]) ** 2 + (-at[None, :, None] - centre[:, 1:, None]) ** 2
    blob = (distance < 0.06).astype(np.uint8) * 255
    middle = np.concatenate([np.repeat(centre[:, None], vertices, 1), np.zeros((n, vertices, 1))], 2)
    mesh = middle + 0.2 * np.random.default_rng(0).normal(size=(vertices, 3))
    fine = np.zeros((n, 48, 32, 32), np.uint8)
    fine[:, 0] = blob[:, 1 :: size // 32, 1 :: size // 32]
    landmarks = np.concatenate([np.repeat(centre[:, None], 33, 1), np.zeros((n, 33, 1)), np.ones((n, 33, 1))], 2)
    return {
        "picture": np.repeat(blob[..., None], 3, 3),
        "alpha": blob,
        "mask": blob,
        "landmarks": landmarks.astype(np.float16),
        "truth": landmarks[..., :3].astype(np.float16),
        "fine": fine,
        "coarse": np.zeros((n, 288, 8, 8), np.uint8),
        "region": np.tile(np.float32([[1, 0, 0], [0, -1, 0]]), (n, 1, 1)),
        "observed": np.ones(n, bool),
        "vertices": mesh.astype(np.float16),
        "pose": np.zeros((n, 24, 3), np.float32),
        "betas": np.zeros((n, 20), np.float32),
        "focal": np.full(n, 2.5, np.float32),
        "offset": np.zeros((n, 2), np.float32),
        "t": np.tile(np.float32([0, 0, -3]), (n, 1)),
        "R": np.tile(np.eye(3, dtype=np.float32), (n, 1, 1)),
    }


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        write_shard(tmp_path / "data" / f"{i:05d}.npy", fake_shard(rng))
    return tmp_path / "data"


class Oracle(Field):
    """A field that knows where the vertices are."""

    def __init__(self, vertices, clip):
        super().__init__(4, 8, vertices.shape[1], clip)
        self.known = vertices

    def forward(self, points, crop, targets):
        return self._toward(self.known[:, None, targets], points[:, :, None])

    def diagonal(self, points, crop, targets=None):
        return self._toward(self.known[:, targets], points)

    def _toward(self, there, here):
        return (there - here).clamp(-0.288, 0.288) if self.clip is None else soft_clip(there - here, self.clip)


@pytest.mark.parametrize("clip", [None, 0.288])
def test_only_the_truth_costs_nothing(clip):
    vertices = torch.rand(2, K, 3) - 0.5
    crop, importance = CropFeatures(torch.zeros(2, 4, 8, 8)), torch.ones(K)
    for field, free in ((Oracle(vertices, clip), True), (Oracle(vertices + 0.05, clip), False)):
        everyone, itself = descent_loss(field, crop, vertices, importance, 0.288, LossOptions(targets=K, own=64))
        assert (float(everyone) < 1e-6) == free and (float(itself) < 1e-6) == free


@pytest.mark.parametrize("preset", ["live", "paper"])
def test_hands_feet_and_head_neither_vanish_nor_rule(preset):
    body, served = read_body(MODELS), PRESETS[preset].vertices
    importance = importance_of(body, served).numpy()
    assert importance.shape == (served,) and importance.mean() == pytest.approx(1, abs=1e-5)
    assert 0.1 < importance.min() and importance.max() < 6
    labels = body["part_labels"] if served == len(body["part_labels"]) else body["part_labels"][body["control"]]
    ends = np.isin(labels, [JOINT[j] for part in ("hands", "feet", "head") for j in BODY_PARTS[part]])
    assert 0.25 < importance[ends].sum() / importance.sum() < 0.5


def test_importance_weighs_the_loss():
    vertices = torch.rand(1, K, 3)
    wrong = vertices.clone()
    wrong[:, :10] += 0.1
    importance = torch.ones(K)
    importance[:10] = 0
    crop = CropFeatures(torch.zeros(1, 4, 8, 8))
    everyone, itself = descent_loss(Oracle(wrong, None), crop, vertices, importance, 0.288, LossOptions())
    assert float(everyone) < 1e-6 and float(itself) < 1e-6


def test_a_sample_moves_as_one():
    """Turning, scaling and shifting a sample keeps picture, mask, landmarks, maps and vertices on each other."""
    row = {k: v[0] for k, v in fake_shard(np.random.default_rng(1)).items()}
    moving = replace(STILL, shift=0.15, scale=0.2, roll=0.7)
    for seed in range(8):
        picture, mask, landmarks, vertices, _, _, fine, _, region = vary(row, 64, np.random.default_rng(seed), moving)
        rows, columns = np.nonzero(mask > 127)
        centre = np.array([(2 * columns.mean() + 1) / 64 - 1, 1 - (2 * rows.mean() + 1) / 64])
        np.testing.assert_allclose(landmarks[0, :2], centre, atol=0.03)
        moved = warp_map(torch.from_numpy(fine[None]), torch.from_numpy(region[None]), 64)[0, 0].numpy()
        assert np.abs(moved - mask).mean() < 12
        assert picture.shape == (64, 64, 3) and landmarks.shape == (len(LANDMARKS), 4)
        before = np.linalg.norm((row["vertices"][0] - row["vertices"][1]).astype(float))
        scale = np.linalg.norm(vertices[0] - vertices[1]) / before
        spread = np.sqrt((mask > 127).sum() / (row["mask"] > 127).sum())
        assert scale == pytest.approx(spread, rel=0.05)


def test_landmarks_are_dropped_as_often_as_told(data):
    shards = Shards.open(data)
    batch = draw_batch(shards, np.random.default_rng(0), 300, 32, replace(STILL, no_landmarks=0.3, one_landmark=0.2))
    confidence = batch.landmarks[..., 3]
    none = (confidence == 0).all(1)
    assert float(none.float().mean()) == pytest.approx(0.3, abs=0.08)
    assert float((confidence[~none] == 0).float().mean()) == pytest.approx(0.2, abs=0.04)


def test_feature_maps_are_dropped_as_often_as_told(data):
    batch = draw_batch(Shards.open(data), np.random.default_rng(0), 300, 32, replace(STILL, no_maps=0.3))
    assert float((batch.maps.fine == 0).all(-1).all(-1).all(-1).float().mean()) == pytest.approx(0.3, abs=0.08)


def test_shards_join_while_being_made(data):
    shards = Shards.open(data)
    (data / ".00003.npy.123").touch()  # a worker is at it
    assert shards.refresh() == 3
    write_shard(data / "00003.npy", fake_shard(np.random.default_rng(9)))
    assert shards.refresh() == 4


def test_the_average_lags_and_follows():
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    average = Average(network, 0.9)
    with torch.no_grad():
        network.weight.fill_(1.0)
    for _ in range(200):
        average.update(network)
    torch.testing.assert_close(average.state["weight"], network.weight.detach(), atol=1e-4, rtol=0)


def test_a_kernel_steps_in_all_directions_alike():
    """Muon's step of a kernel has equal singular values whatever the gradient's were, and moves the kernel itself, not
    a copy; the head and single numbers are AdamW's."""
    network = nn.ModuleDict({"body": nn.Conv2d(6, 4, 3), "head": nn.Linear(4, 3)}).to(memory_format=torch.channels_last)
    optimiser = MuonAdamW(network, rate=0.1, weight_decay=0.0)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    kernel, others = network["body"].weight, [p for name, p in network.named_parameters() if name != "body.weight"]
    (100 * kernel[0].sum() + kernel.square().sum() + sum(p.sum() for p in others)).backward()
    optimiser.step()
    steps = {name: p.detach() - before[name] for name, p in network.named_parameters()}
    values = torch.linalg.svdvals(as_matrix(steps["body.weight"]))
    assert values.min() > 0.5 * values.max() > 0
    for name in ("body.bias", "head.weight", "head.bias"):
        torch.testing.assert_close(steps[name], torch.full_like(steps[name], -0.1), atol=1e-3, rtol=0)
    optimiser.zero_grad()
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("bfloat16", [False, True])
def test_muon_steps_as_the_library_does(bfloat16, monkeypatch):
    """In float32 up to the library's bfloat16, and in bfloat16 alike."""
    monkeypatch.setattr("lvd_live.train.optimiser.has_bfloat16", lambda device: bfloat16)
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(p) for p in torch.randn(1, 24, 40).expand(2, -1, -1).clone())
    before = ours.detach().clone()
    options = {"lr": 0.01, "weight_decay": 0.1}
    pair = Muon([ours], **options), torch.optim.Muon([theirs], **options, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        ours.grad = torch.randn(24, 40)
        theirs.grad = ours.grad.clone()
        for optimiser in pair:
            optimiser.step()
    moved = (theirs.detach() - before).abs().mean()
    assert (ours - theirs).abs().max() < (0.001 if bfloat16 else 0.1) * moved


@pytest.mark.parametrize("fast", [False, True])
def test_bfloat16_only_where_it_is_fast(data, monkeypatch, fast):
    monkeypatch.setattr("lvd_live.train.loop.has_bfloat16", lambda device: fast)

    def loss(network, batch, importance, options):
        out = network(torch.ones(1, 3))
        assert out.dtype == (torch.bfloat16 if fast else torch.float32)
        return out.float().sum(), out.float().square().sum()

    network, average = nn.Linear(3, 2), nn.Linear(3, 2)
    trial = Run(network, average, torch.ones(K), TrainingOptions(), CPU, Task(loss, None))
    trial.learn(draw_batch(Shards.open(data), np.random.default_rng(0), 2, 32, STILL))


def tiny_networks():
    """A network and room for its average, always the same."""
    torch.manual_seed(0)
    preset = replace(PRESETS["live"], vertices=K)
    network, average = LVD(preset), LVD(preset)
    network.backbone, average.backbone = (
        FPN(4, 2 * len(LANDMARKS) + 48, 288, width=16, whole=8, widths=(8, 8, 16, 16)) for _ in range(2)
    )
    network.field, average.field = (Field(16, 32, K, preset.clip, 8, len(LANDMARKS)) for _ in range(2))
    return network, average


def tiny_options(steps, **changes):
    small = LossOptions(uniform=8, near=8, targets=K, own=32)
    options = TrainingOptions(
        steps=steps,
        batch=8,
        warm_up=5,
        rate=4e-3,
        ema=0.9,
        sizes=((0.5, 32), (1.0, 64)),
        validate_every=40,
        save_every=10,
        loss=small,
        variation=STILL,
    )
    return replace(options, **changes)


def run(data, out, steps, **changes):
    (network, average), shards, options = tiny_networks(), Shards.open(data), tiny_options(steps, **changes)
    train(network, average, shards, shards, torch.ones(K), out, options, task=DESCENT, device=CPU, workers=[])
    return {table: list(csv.DictReader((out / f"{table}.csv").open())) for table in ("losses", "validation")}


@pytest.mark.slow
def test_a_run_learns_is_interrupted_and_goes_on(data, tmp_path, monkeypatch):
    batches = iter(range(55))

    def pressed(*args):
        if next(batches, None) is None:
            raise KeyboardInterrupt
        return draw_batch(*args)

    with monkeypatch.context() as patch:
        patch.setattr("lvd_live.train.loop.draw_batch", pressed)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "run", 120)
    assert 50 <= torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] <= 55
    tables = run(data, tmp_path / "run", 120)
    steps = [int(row["step"]) for row in tables["validation"] if row["conditioning"] == "all"]
    assert steps == [40, 80, 120] and int(tables["validation"][-1]["samples"]) == 960
    first, last = (float(tables["losses"][i]["second"]) for i in (0, -1))
    assert last < 0.8 * first
    error = [float(row["v2v_6"]) for row in tables["validation"] if row["conditioning"] == "all"]
    assert error[-1] < error[0]


def test_a_run_that_is_told_to_end_does_what_ctrl_c_does(data, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "make_shards", lambda *_, **__: None)
    monkeypatch.setattr(cli, "train", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    try:
        places = ["--data", str(data), "--out", str(tmp_path)]
        with pytest.raises(KeyboardInterrupt):
            cli.main([*places, "--workers", "0", "--start-from", str(MODELS / "weights" / "live.safetensors")])
    finally:
        signal.signal(signal.SIGTERM, before)


def test_two_trainings_do_not_share_a_folder(tmp_path, monkeypatch):
    out, trained = tmp_path / "out", []
    hold = "import sys, pathlib, lvd_live.train.lock as lock\nwith lock.only_training(pathlib.Path(sys.argv[1])): "
    hold += "print('held', flush=True), sys.stdin.read()"
    command, pipe = [sys.executable, "-c", hold, str(out)], subprocess.PIPE
    monkeypatch.setattr("lvd_live.train.lifters.train_lifter", lambda *_, **__: trained.append(1))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="^Another process is training in .*: wait .* another --out[.]$"):
            cli.main(["--lifter", "--out", str(out)])
        cli.main(["--lifter", "--out", str(tmp_path / "elsewhere")])
        assert len(trained) == 1
        other.kill()  # without a chance to remove anything
    for _ in range(2):
        cli.main(["--lifter", "--out", str(out)])
    assert len(trained) == 3


def test_a_folder_that_cannot_be_written_to_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="^Cannot write to .*file: file exists[.]$"):
        with only_training(tmp_path / "file"):
            raise AssertionError("it was")


def test_another_optimisers_checkpoint_is_refused_in_one_sentence(data, tmp_path):
    run(data, tmp_path, 50)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    torch.save({**saved, "optimiser": {"state": {}, "param_groups": []}}, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match="--start-from"):
        run(data, tmp_path, 60)


def test_an_ablation_trains_blindfolded_on_a_share(data, tmp_path, monkeypatch):
    backbone = partial(FPN, width=16, whole=8, widths=(8, 8, 16, 16))
    preset = replace(PRESETS["live"], vertices=K, backbone=backbone, hidden=32)
    batches, shares = [], set()

    def drawn(shards, *rest):
        shares.add(len(shards.maps))
        batches.append(draw_batch(shards, *rest))
        return batches[-1]

    monkeypatch.setattr("lvd_live.train.loop.draw_batch", drawn)
    small = {"loss": LossOptions(uniform=8, near=8, targets=K, own=32), "batch": 8, "sizes": ((1.0, 32),)}
    change = ablations.Change(options=small, hidden=("fine", "coarse"), share=0.1)
    found = ablations.try_one(change, preset, LVD, (data, data), torch.ones(K), tmp_path, 1.0)
    assert set(found) == {"samples", "all", "maps", "picture"} and found == ablations.results(tmp_path)
    assert int(found["samples"]) >= 8 and shares == {1}
    assert batches and not any(batch.maps.fine.any() or batch.maps.coarse.any() for batch in batches)
    assert any(batch.landmarks.any() for batch in batches)
    with pytest.raises(UserError):
        ablations.main(["--seconds", "0"])


def baseline():
    columns, mix = torch.zeros(6890, 8, dtype=torch.long), torch.full((6890, 8), 0.125)
    return Regressor(BodyModel.load(MODELS / "body" / "lvd_body.npz"), torch.arange(0, 6890, 173)[:K], columns, mix)


def test_six_numbers_make_a_rotation():
    R = rotations_from_6d(torch.randn(50, 6))
    torch.testing.assert_close(R @ R.transpose(1, 2), torch.eye(3).expand(50, 3, 3), atol=1e-5, rtol=0)
    assert torch.allclose(torch.linalg.det(R), torch.ones(50), atol=1e-5)


def test_the_baseline_starts_as_an_upright_body_in_the_crop():
    vertices, rotations, betas = baseline().eval()(torch.zeros(2, 4, 64, 64))
    assert vertices.shape == (2, K, 3) and vertices.abs().max() < 1.3
    assert vertices[..., 1].max() > 0.4 and vertices[..., 1].min() < -0.5


@pytest.mark.slow
def test_the_baseline_learns(data, tmp_path):
    torch.manual_seed(0)
    options = TrainingOptions(
        steps=60,
        batch=8,
        warm_up=5,
        rate=1e-3,
        ema=0.9,
        sizes=((1.0, 32),),
        validate_every=30,
        save_every=50,
        variation=STILL,
    )
    shards = Shards.open(data)
    network, average = baseline(), baseline()
    train(network, average, shards, shards, torch.ones(K), tmp_path, options, task=REGRESSION, device=CPU, workers=[])
    rows = [r for r in csv.DictReader((tmp_path / "validation.csv").open()) if r["conditioning"] == "picture"]
    assert float(rows[-1]["v2v_1"]) < float(rows[0]["v2v_1"]) and int(rows[-1]["samples"]) == 480
