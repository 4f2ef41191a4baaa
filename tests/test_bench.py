"""The benchmark's arithmetic, and a whole run on a few frames."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from lvd_live.bench import check, cli, contenders, graph_check, measure, roofline, scaling, stages
from lvd_live.bench.reference import ITERATIONS, Reference
from lvd_live.bench.variants import PLAIN, build, variants
from lvd_live.errors import UserError
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import PRESETS
from lvd_live.lvd.runtime.graph_step import GraphStep
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.paths import DEMO, ROOT


def test_work_is_counted():
    x, w = torch.randn(50, 30), torch.randn(30, 20)
    gflop, gbyte = roofline.work(lambda: x @ w)
    assert gflop == pytest.approx(2 * 50 * 30 * 20 / 1e9)
    assert gbyte == pytest.approx(4 * (50 * 30 + 30 * 20 + 50 * 20) / 1e9)
    assert roofline.work(lambda: x.T)[1] == 0


def test_work_of_a_runtime_is_what_its_layers_need():
    runtime = Runtime(LVD(PRESETS["live"]), device="cpu", engine="float32", pack=False)
    prepared, v = scaling.prepare_noise(runtime), torch.zeros(1, 1723, 3)
    gflop, _ = roofline.work(lambda: runtime.descend(prepared, v, iterations=1))
    assert gflop == pytest.approx(2 * 1723 * 256 * (256 + 3) / 1e9, rel=0.01)


def test_the_roofline_is_the_slower_of_arithmetic_and_memory():
    assert roofline.fraction(1.0, 0.01, 10.0, peak=200.0, bandwidth=20.0) == pytest.approx(0.5)
    assert roofline.fraction(0.1, 0.1, 10.0, peak=200.0, bandwidth=20.0) == pytest.approx(0.5)


def test_a_camera_keeps_its_pace():
    frames, times = stages.decode(DEMO, 3)
    assert len(frames) == len(times) == 3 and min(times) > 0
    played = list(stages.Camera(frames, fps=100, seconds=0.1))
    assert len(played) == 10 and played[-1].timestamp_ns - played[0].timestamp_ns >= 85e6


@pytest.mark.slow
def test_a_run_says_what_the_issue_asks_for(tmp_path, capsys, monkeypatch):
    """On the demo's first frames, the paper's network left out, which takes seconds."""

    class NoPaper:
        times, change_mm = {"eager float32": [100.0]}, {"eager float32": 0.0}

        def __init__(self, device, compiled): ...
        def round(self): ...

    monkeypatch.setattr(measure, "Paper", NoPaper)
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr(
        Reference,
        "__call__",
        lambda self, plain=True: {"demo_loop_ms": 2000.0} | ({"plain_ms": 9000.0} if plain else {}),
    )
    monkeypatch.setattr(stages, "sustained", lambda *_: 30.0)
    monkeypatch.setattr(stages, "live", lambda *_: {"live_fits_per_second": 30.0, "live_latency_ms": 40.0})
    short = ["--frames", "4", "--rounds", "1", "--device", "cpu", "--threads", "1", "2"]
    assert cli.main([*short, "--json", str(tmp_path / "b.json")]) == 0
    results = json.loads((tmp_path / "b.json").read_text())
    assert {"live", "paper"} == {r["preset"] for r in results} and all(r["device"] == "cpu" for r in results)
    for r in results:
        assert {"frame_ms", "demo_loop_ms", "plain_ms", "ratio_to_demo_loop", "fits_per_second"} <= r.keys()
        assert r["ratio_to_demo_loop"] == pytest.approx(r["demo_loop_ms"] / r["frame_ms"])
    assert [(r["threads"], r["preset"]) for r in results if r["variant"] == "eager float32"] == [
        (1, "live"),
        (1, "paper"),
        (2, "live"),
        (2, "paper"),
    ]
    assert {1, 2} <= set(asked)
    best, _ = [r for r in results if "roofline" in r]
    assert {"decode", "person", "crop", "features", "iteration", "uncertainty", "parameters", "draw", "record"} <= best[
        "stages_ms"
    ].keys()
    assert [r["stage"] for r in best["roofline"]] == ["features", "iteration", "uncertainty"] and 0 < best["roofline"][
        1
    ]["fraction"] < 1
    out = capsys.readouterr().out
    assert "| **frame**" in out and "1 thread(s)" in out and "2 thread(s)" in out


def test_the_paper_network_as_one_step_is_the_paper_network():
    """What is timed on CUDA as a graph gives the same mesh; here a small one, on the CPU."""
    paper = contenders.Paper("cpu", network=LVD(replace(PRESETS["paper"], vertices=60, size=64)).eval())
    runtime = paper.runtimes[PLAIN]
    step = GraphStep(runtime, 1, iterations=ITERATIONS)
    torch.testing.assert_close(paper.replay(step), paper.fit(runtime), atol=1e-5, rtol=0)


def test_accuracy_of_every_variant_beside_the_plain_formula(capsys):
    """On held-out people, where there are some."""
    folder = ROOT / "runs" / "data-held-out"
    if not any(folder.glob("*.npy")):
        pytest.skip("there are no held-out people in runs/data-held-out")
    assert cli.main(["--accuracy", str(folder), "--people", "8"]) == 0
    lines = [
        line.split("|")
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("| ") and "variant" not in line
    ]
    figures = {cells[1].strip(): [float(c) for c in cells[2:5]] for cells in lines}
    plain = figures.pop("plain formula")
    assert plain[1] == 0 and 10 < plain[0] < 1000
    for name, (v2v, apart, worst) in figures.items():
        assert (
            0 < worst < (10 if "bfloat16" in name else 0.05) and apart <= worst and abs(v2v - plain[0]) < apart + 0.02
        )


def test_compiled_variants_where_they_are_asked_for(monkeypatch):
    """torch.compile itself takes a compiler and a minute."""

    class Compiled(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module, self.calls = module, 0

        def forward(self, *inputs):
            self.calls += 1
            return self.module(*inputs)

    monkeypatch.setattr(torch, "compile", Compiled)
    named = variants("cpu", compiled=True)
    assert named.keys() - variants("cpu").keys() == {
        name for name in ("compiled float32", "compiled bfloat16") if name.split()[1] in named
    }
    runtime = build(LVD(PRESETS["live"]), "cpu", **named["compiled float32"])
    assert runtime.network.backbone.calls == 1  # compiled before anything is timed

    def fails(*_):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(Compiled, "forward", fails)
    with pytest.raises(UserError, match="leave --compiled out"):
        build(LVD(PRESETS["live"]), "cpu", **named["compiled float32"])


def test_mistakes_take_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        cli.main(["--accuracy", str(tmp_path / "none")])
    with pytest.raises(UserError, match="at least 1"):
        cli.main(["--rounds", "0"])
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no CUDA"):
            cli.main(["--device", "cuda"])


class NoPaper:
    """Takes no seconds."""

    def __init__(self, device):
        self.times, self.change_mm = {PLAIN: [100.0]}, {PLAIN: 0.0}

    def round(self): ...


@pytest.fixture
def small_check(monkeypatch):
    monkeypatch.setattr(check, "FRAMES", 4)
    monkeypatch.setattr(check, "Paper", NoPaper)
    monkeypatch.setattr(check.stages, "live", lambda *_, **__: {"live_fits_per_second": 30.0})
    monkeypatch.setattr(graph_check, "SIZES", {"cpu": (1, 2)})
    monkeypatch.setattr(graph_check, "TIMED", 1)
    named = variants("cpu")
    monkeypatch.setattr(check, "variants", lambda device: {PLAIN: named[PLAIN], "float32": named["float32"]})


@pytest.mark.skipif("float32" not in variants("cpu"), reason="no oneDNN here")
def test_a_device_is_checked_in_one_command(small_check, tmp_path, capsys):
    file = tmp_path / "check.json"
    assert cli.main(["--check", "--device", "cpu", "--json", str(file)]) == 0
    [found] = json.loads(file.read_text())
    assert found["passed"] and found["within_five_minutes"] and found["machine"]["torch"] == torch.__version__
    assert all(row["passed"] and not row["problems"] for row in found["checks"].values())
    figures = {name: row["figures"] for name, row in found["checks"].items()}
    assert figures["parity"][PLAIN]["mean_mm"] == 0 <= figures["parity"]["float32"]["mean_mm"] < 0.1
    for row in figures["graph"].values():
        assert row["apart_mm"] < 0.1 < 1 < row["pairs_apart_mm"]
    assert figures["batches"]["float32"].keys() == {"1", "2"}
    assert figures["end to end"]["finder"] == "cpu" and figures["end to end"]["landmarks_apart_px"] < 1e-3
    assert "ok   parity" in capsys.readouterr().out


@pytest.mark.skipif("float32" not in variants("cpu"), reason="no oneDNN here")
def test_what_fails_of_a_check_is_told_and_the_rest_goes_on(small_check, tmp_path, capsys, monkeypatch):
    def off(network, device, **options):
        runtime = build(network, device, **options)
        with torch.no_grad():
            runtime.field.b_head += 0.05 * options.get("pack", True)
        return runtime

    def fails(*_, **__):
        raise RuntimeError("the driver is too old\nfor this")

    monkeypatch.setattr(check, "build", off)
    monkeypatch.setattr(check, "graph", fails)
    file = tmp_path / "check.json"
    assert cli.main(["--check", "--device", "cpu", "--json", str(file)]) == 1
    [found] = json.loads(file.read_text())
    failed = {name: row["problems"] for name, row in found["checks"].items() if not row["passed"]}
    assert failed["graph"] == ["RuntimeError: the driver is too old"] and "mm from float32" in failed["parity"][0]
    assert failed.keys() == {"graph", "parity"} and not found["passed"]
    out = capsys.readouterr().out
    assert "FAIL graph" in out and "NOT all is well" in out


@pytest.mark.slow
def test_bfloat16_is_left_out_where_onednn_may_not_use_it(tmp_path):
    """Neither what was measured before nor the processor's own word offers it."""
    program = "import torch; from lvd_live.bench.variants import variants; from lvd_live.lvd.network import LVD; "
    program += "from lvd_live.lvd.presets import PRESETS; from lvd_live.lvd.runtime.runtime import Runtime; "
    program += "print(*variants('cpu')); print(Runtime(LVD(PRESETS['live']), device='cpu').engine)"
    limits = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    for limited in ({}, limits):
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)} | limited
        run = [sys.executable, "-c", program]
        said = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert "eager float32" in said and "bfloat16" not in said
