"""Several processes train one network as one process with as large a batch would; all stop and go on together."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import lvd_live.train.lifter
import lvd_live.train.loop
import lvd_live.train.optimiser
from lvd_live.lift.lifter import Lifter
from lvd_live.lift.network import LANDMARKS
from lvd_live.lvd.presets import PRESETS
from lvd_live.synth import dataset
from lvd_live.synth.dataset import Shards, write_shard
from lvd_live.train.batches import draw_batch
from lvd_live.train.lift_samples import LiftBatch
from lvd_live.train.lifter import LifterOptions, LifterRun
from lvd_live.train.loop import Run, train
from lvd_live.train.processes import Processes, SharedBatchNorm
from lvd_live.train.share import Share
from lvd_live.train.task import DESCENT
from tests.test_train import CPU, STILL, K, data, fake_shard, tiny_networks, tiny_options  # noqa: F401 - a fixture

TRAINING = lvd_live.train.loop, lvd_live.train.lifter, lvd_live.train.optimiser
LIFTER = LifterOptions(samples=10_000, warm_up=1, width=32, blocks=1)
ROOT = Path(__file__).resolve().parents[1]


def lifting(seed, count):
    """Landmarks that stand for nothing."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(count, LANDMARKS, 8, generator=random)
    return LiftBatch(x[..., :5], x[:, 0, :4], x[..., 5:])


VARIATION = replace(STILL, shift=0.05, roll=0.2, noise=0.01, no_maps=0.2, one_landmark=0.1)


def normalise(processes):
    """Outputs, gradients of inputs and weights, and running statistics of a batch norm, over two batches, float64."""
    random = torch.Generator().manual_seed(1)
    norm = nn.Sequential(nn.BatchNorm2d(3)).double()
    with torch.no_grad():
        norm[0].weight.copy_(torch.rand(3, generator=random)), norm[0].bias.copy_(torch.rand(3, generator=random))
    processes.share_batch_norm(norm)
    found = []
    for _ in range(2):
        x = 2 + torch.randn(6, 3, 4, 5, generator=random, dtype=torch.float64)
        wanted = torch.randn(6, 3, 4, 5, generator=random, dtype=torch.float64)
        x, wanted = (processes.share.of(part) for part in (x, wanted))
        x = x.clone().requires_grad_()
        y = norm(x)
        (y - wanted).square().mean().backward()
        found += [y.detach(), x.grad / processes.share.count]
    processes.average_([p.grad for p in norm.parameters()])
    assert isinstance(norm.eval()[0], SharedBatchNorm) != processes.alone
    return [*found, *(p.grad.float() for p in norm.parameters()), *norm.state_dict().values(), norm(x).detach()]


def learn(folder, out, processes, batch):
    """A step of training, by its losses and gradients; three steps into `out`, the second and third by going on from
    the first; and three of training the lifter."""
    options = tiny_options(1, batch=batch, variation=VARIATION, warm_up=1, sizes=((1.0, 32),), share=processes.share)
    shards, places = Shards.open(folder), {"device": CPU, "workers": [], "processes": processes}
    run = Run(*tiny_networks(), torch.ones(K), options, CPU, DESCENT, processes)
    drawn = draw_batch(shards, np.random.default_rng(7), batch, 32, VARIATION, share=processes.share)
    losses = run.learn(drawn)
    gradient = torch.cat([p.grad.flatten() for p in run.network.parameters()])
    for steps in (1, 3):
        options = replace(options, steps=steps)
        train(*tiny_networks(), shards, shards, torch.ones(K), out, options, task=DESCENT, **places)
    lifter = LifterRun(LIFTER, CPU, processes)
    share, lifter_losses = processes.share, []
    for step in range(3):
        whole = lifting(step, batch * share.count)
        parts = (share.of(x) for x in (whole.landmarks, whole.camera, whole.truth))
        lifter_losses.append(lifter.learn(LiftBatch(*parts)))
    assert lifter.samples == 3 * batch * share.count
    lifter.save(out / "lifter.pt")
    return {"losses": torch.tensor([*losses, *lifter_losses]), "gradient": gradient, "norm": normalise(processes)}


def one_of_two(rank, port, folder, out):
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    for module in TRAINING:
        module.has_bfloat16 = lambda device: False
    with Processes.joined(CPU) as processes:
        assert processes.share == Share(rank, 2)
        torch.save(learn(folder, out, processes, 4), out / f"found{rank}.pt")
        mine = [torch.full((3,), float(rank + 1)), torch.eye(2) * rank]
        processes.average_(mine)
        assert mine[0].tolist() == [1.5] * 3 and mine[1].tolist() == [[0.5, 0], [0, 0.5]]
        assert processes.load(out / "nothing.pt", CPU) is None
        assert processes.load(out / "checkpoint.pt", CPU)["step"] == 3
        with processes.interruptible():
            os.kill(os.getpid(), signal.SIGTERM if rank else signal.SIGINT)
            assert processes.told_to_stop


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def moved(before, one, two):
    """How far apart two states are, of how far the first has come."""
    names = [name for name, value in one.items() if value.is_floating_point()]
    apart = sum(float((one[name] - two[name]).abs().sum()) for name in names)
    return apart / sum(float((one[name] - before[name]).abs().sum()) for name in names)


@pytest.mark.slow
def test_two_processes_learn_what_one_does_from_twice_the_batch(data, tmp_path, monkeypatch):  # noqa: F811
    one, two, port = tmp_path / "one", tmp_path / "two", free_port()
    processes = [get_context("spawn").Process(target=one_of_two, args=(rank, port, data, two)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for module in TRAINING:
        monkeypatch.setattr(module, "has_bfloat16", lambda device: False)
    alone = learn(data, one, Processes(), 8)
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    found = [torch.load(two / f"found{rank}.pt", weights_only=True) for rank in (0, 1)]
    for each in found:
        torch.testing.assert_close(each["losses"], alone["losses"], rtol=1e-5, atol=0)
        apart = (each["gradient"] - alone["gradient"]).abs().sum() / alone["gradient"].abs().sum()
        assert apart < 2e-3  # absolute errors have kinks: one of them on the other side of 0 is worth 5e-4
    normed = [*map(torch.cat, zip(*(each["norm"][:4] for each in found), strict=True)), *found[0]["norm"][4:-1]]
    for ours, theirs in zip(alone["norm"], [*normed, torch.cat([each["norm"][-1] for each in found])], strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=1e-9)
    ours, theirs = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (one, two))
    assert ours["step"] == theirs["step"] == 3 and ours["samples"] == theirs["samples"] == 24
    start = tiny_networks()[0].state_dict()
    for state in ("network", "average"):  # where a gradient is nearly 0, AdamW's first step is a toss-up
        assert moved(start, ours[state], theirs[state]) < 0.02
    lifters = [torch.load(folder / "lifter.pt", weights_only=True)["network"] for folder in (one, two)]
    assert moved(LifterRun(LIFTER, CPU).network.state_dict(), *lifters) < 1e-3
    rows = [list(csv.DictReader((folder / "validation.csv").open())) for folder in (one, two)]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]  # by the first process alone
    for ours_row, theirs_row in zip(*rows, strict=True):
        assert float(ours_row["v2v_8"]) == pytest.approx(float(theirs_row["v2v_8"]), rel=1e-3)


def test_a_share_is_a_part_in_its_place():
    whole = torch.arange(12).view(6, 2)
    parts = [Share(rank, 3).of(whole) for rank in range(3)]
    assert torch.equal(torch.cat(parts), whole) and all(len(part) == 2 for part in parts)


def test_workers_of_all_processes_divide_the_shards(tmp_path, monkeypatch):
    """Whether they write to one folder or each machine's to its own."""
    made = []

    class Process:
        def __init__(self, target, args, daemon):
            made.append(list(args[4]))

        def start(self): ...

    monkeypatch.setattr(dataset.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(dataset.multiprocessing, "get_context", lambda kind: SimpleNamespace(Process=Process))
    for rank in range(3):
        dataset.start_workers(tmp_path, tmp_path, 64, 20, 2, part=(rank, 3))
    assert len(made) == 6 and sorted(sum(made, [])) == list(range(20))


def torchrun(folder, *arguments):
    """The real command on two processes."""
    places = ["--data", str(folder / "data"), "--out", str(folder / "out"), "--workers", "0", "--device", "cpu"]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(free_port()),
    ]
    command += ["-m", "lvd_live", "train", "--batch", "1", "--sizes", "1:32", *places, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals as Unix sends them")
def test_torchrun_trains_is_interrupted_and_goes_on(tmp_path):
    vertices, rng = PRESETS["live"].vertices, np.random.default_rng(0)
    for name, count in (("data", 2), ("data-held-out", 4)):
        for i in range(count):
            write_shard(tmp_path / name / f"{i:05d}.npy", fake_shard(rng, n=4, vertices=vertices))
    run = torchrun(tmp_path, "--steps", "100000")
    end, table = time.monotonic() + 150, tmp_path / "out" / "losses.csv"
    while not table.exists() and run.poll() is None and time.monotonic() < end:
        time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert table.exists(), errors[-2000:]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "checkpoint.pt",
        "lock",
        "losses.csv",
        "options.json",
    }
    step = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["step"]
    assert step >= 50
    run = torchrun(tmp_path, "--steps", str(step + 2))
    _, errors = run.communicate(timeout=150)
    assert run.returncode == 0, errors[-2000:]
    saved = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
    assert saved["step"] == step + 2 and saved["samples"] == 2 * saved["step"]
    assert (tmp_path / "out" / "live.safetensors").exists()


@pytest.mark.slow
def test_torchrun_trains_the_lifter(tmp_path):
    run = torchrun(tmp_path, "--lifter", "--samples", "8192")
    _, errors = run.communicate(timeout=150)
    assert run.returncode == 0, errors[-2000:]
    saved = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
    assert saved["stand"][:2] == (2, 8192)  # two steps of two batches
    with (tmp_path / "out" / "validation.csv").open(newline="") as file:
        assert [row["samples"] for row in csv.DictReader(file)] == ["8192"]
    assert Lifter.load(tmp_path / "out" / "lifter.safetensors")
