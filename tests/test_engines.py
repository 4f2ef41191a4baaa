"""What runs the network is chosen by measurement, once, and kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from lvd_live import threads as thread_limits
from lvd_live.errors import UserError
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import PRESETS
from lvd_live.lvd.runtime import autoselect, onednn, onnx
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.paths import MODELS, ROOT
from lvd_live.person.onnx import make_session
from lvd_live.threads import both, limit_threads, network_threads


class Takes:
    """A runtime that encodes in so many milliseconds of the processor."""

    def __init__(self, ms):
        self.ms = ms

    def encode(self, *crop):
        assert torch.get_num_threads() == network_threads()
        end = time.thread_time() + self.ms / 1000
        while time.thread_time() < end:
            pass


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(autoselect.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path / "lvd_live" / "engines.json"


@pytest.fixture(scope="module")
def network():
    return LVD(replace(PRESETS["live"], vertices=60)).eval()


def test_the_fastest_that_works_is_taken(network, cache):
    def make(name):
        if name == "bfloat16":
            raise RuntimeError("not on this machine")
        return Takes({"float32": 40, "onnxruntime": 2}[name])

    threads = torch.get_num_threads()
    assert autoselect.fastest(network, make) == "onnxruntime" and torch.get_num_threads() == threads
    (times,) = json.loads(cache.read_text()).values()
    assert times.keys() == {"float32", "onnxruntime"} and times["float32"] >= 40


def test_it_is_measured_once_for_each_network(network, cache, monkeypatch):
    measured = []
    times = {"float32": 2.0, "bfloat16": 1.0}
    monkeypatch.setattr(autoselect, "measure", lambda network, make: measured.append(network) or times)
    assert [autoselect.fastest(network, None) for _ in range(3)] == ["bfloat16"] * 3 and len(measured) == 1
    other = LVD(replace(PRESETS["live"], vertices=61))
    assert autoselect.fastest(other, None) == "bfloat16" and measured == [network, other]
    assert autoselect.fastest(network, None) == "bfloat16" and len(measured) == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 60000, "[1, 2]", '{"a": 3}', '{"a": {"bfloat16": "soon"}}', "\x00\x01", "1" * 70000]
)
def test_a_damaged_cache_is_made_anew(text, network, cache, monkeypatch):
    monkeypatch.setattr(autoselect, "measure", lambda network, make: {"float32": 2.0})
    cache.parent.mkdir()
    cache.write_text(text)
    assert autoselect.fastest(network, None) == "float32"
    assert [*autoselect.read(cache).values()] == [{"float32": 2.0}]


def test_impossible_times_are_measured_again(network, cache, monkeypatch):
    measured = []
    monkeypatch.setattr(autoselect, "measure", lambda network, make: measured.append(network) or {"float32": 2.0})
    autoselect.fastest(network, None)
    known = json.loads(cache.read_text())
    for bad in ({}, {"abacus": 1.0}, {"float32": -1.0}, {"float32": float("nan")}):
        cache.write_text(json.dumps(dict.fromkeys(known, bad)))
        assert autoselect.fastest(network, None) == "float32"
    assert len(measured) == 5


def test_a_cache_that_cannot_be_written_costs_a_measurement(network, cache, monkeypatch):
    monkeypatch.setattr(autoselect, "measure", lambda network, make: {"bfloat16": 2.0})
    cache.parent.write_text("a file where the folder should be")
    assert autoselect.fastest(network, None) == "bfloat16"


def test_the_cache_stays_small(cache, monkeypatch, network):
    monkeypatch.setattr(autoselect, "measure", lambda network, make: {"float32": 2.0})
    cache.parent.mkdir()
    cache.write_text(json.dumps({str(i): {"float32": 1.0} for i in range(40)}))
    autoselect.fastest(network, None)
    assert len(json.loads(cache.read_text())) == autoselect.KEPT


def test_a_runtime_takes_what_was_measured(network, cache, monkeypatch):
    monkeypatch.setattr(autoselect, "measure", lambda network, make: {"float32": 2.0, "onnxruntime": 1.0})
    runtime = Runtime(network, device="cpu")
    assert (runtime.engine, runtime.provider) == ("onnxruntime", "onnxruntime cpu float32")
    assert Runtime(network, device="cpu", engine="float32").provider == "torch cpu float32"
    with pytest.raises(ValueError, match="engine must be"):
        Runtime(network, device="cpu", engine="abacus")


def test_every_engine_can_be_measured_here(network, monkeypatch):
    monkeypatch.setattr(autoselect, "SECONDS", 0.0)
    times = autoselect.measure(network, lambda name: Runtime(network, device="cpu", engine=name))
    assert {"float32", "onnxruntime"} <= times.keys() and all(ms > 0 for ms in times.values())
    assert "bfloat16" in times or not onednn.has_bfloat16(torch.device("cpu"))


@pytest.mark.parametrize("cores, threads", [(None, 1), (1, 1), (2, 1), (4, 2), (8, 4), (64, 4)])
def test_the_fit_leaves_cores_to_the_finder(cores, threads, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # Linux alone says what this process may use
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert network_threads() == threads
    assert network_threads(cores) == threads
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores or 1), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert network_threads() == threads


@pytest.mark.parametrize("cores, ahead", [(1, False), (2, False), (3, False), (4, True), (16, True)])
def test_a_thread_more_encodes_where_there_are_cores(cores, ahead, monkeypatch):
    monkeypatch.setattr(thread_limits, "count_cores", lambda: cores)
    assert thread_limits.encodes_ahead() is thread_limits.encodes_ahead(cores) is ahead


@pytest.mark.parametrize("before, after", [(1, 1), (2, 2), (8, 4)])
def test_a_process_of_one_thread_stays_one(before, after, monkeypatch):
    """As those of `batch`, one for each core."""
    now = torch.get_num_threads()
    monkeypatch.setattr(thread_limits, "network_threads", lambda: 4)
    try:
        limit_threads(before)
        thread_limits.leave_cores_free()
        assert torch.get_num_threads() == after
    finally:
        limit_threads(now)


def test_two_things_at_a_time():
    met = threading.Barrier(2, timeout=20)
    assert both(lambda: (met.wait(), "one")[1], lambda: (met.wait(), "other")[1]) == ("one", "other")
    for fails, works in (((lambda: 1 / 0), (lambda: 1)), ((lambda: 1), (lambda: 1 / 0))):
        with pytest.raises(ZeroDivisionError):
            both(fails, works)


def test_onnxruntime_takes_the_threads_that_pytorch_has(network, monkeypatch):
    counts, before = [], torch.get_num_threads()

    def counted(file, threads):
        counts.append(threads)
        return make_session(file, threads=threads)

    monkeypatch.setattr(onnx, "make_session", counted)
    picture, mask = np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 64, 64), np.uint8)
    try:
        for count in (2, 1):
            limit_threads(count)
            Runtime(network, device="cpu", engine="onnxruntime").encode(picture, mask)
    finally:
        limit_threads(before)
    assert counts == [2, 1]


def test_a_processor_without_bfloat16_says_so(network, monkeypatch):
    def refuse(module):
        raise RuntimeError("bf16 path needs the cpu support avx512bw")

    monkeypatch.setattr(onednn, "pack", refuse)
    monkeypatch.setattr(onednn, "available", lambda device: True)
    with pytest.raises(UserError, match="choose another engine"):
        Runtime(network, device="cpu", engine="bfloat16")


def test_onnxruntime_is_for_the_cpu(network):
    with pytest.raises(UserError, match="CPU alone"):
        Runtime(network, device="meta", engine="onnxruntime")


def test_onnxruntime_leaves_nothing_in_the_users_folders(tmp_path):
    """Neither a device id nor a database of events to report."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    folders = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "LOCALAPPDATA", "TEMP"), str(tmp_path))
    network = str(MODELS / "blazepose" / "pose_detector.onnx")
    program = f"import pathlib; from lvd_live.person import onnx; onnx.open_network(pathlib.Path({network!r}))"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment | folders, check=True, timeout=60)
    assert list(tmp_path.rglob("*")) == []
