"""What is made for onnxruntime is kept for the next start, and only ever used for what it was made of."""

import errno
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import PRESETS
from lvd_live.lvd.runtime import kept, onnx
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.paths import DEMO, ROOT
from lvd_live.storage import files

WEIGHTS = "ab" * 32


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return LVD(replace(PRESETS["live"], vertices=60)).eval()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kept.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path / "lvd_live" / "networks"


@pytest.fixture
def exports(monkeypatch):
    """The exports that were made, in their order."""
    made, export = [], onnx.export
    monkeypatch.setattr(onnx, "export", lambda *arguments: made.append(export(*arguments)) or made[-1])
    return made


def encoded(network, weights=WEIGHTS, size=64):
    picture, mask = np.full((1, size, size, 3), 90, np.uint8), np.full((1, size, size), 255, np.uint8)
    return Runtime(network, device="cpu", engine="onnxruntime", weights=weights).encode(picture, mask).rows


def test_a_network_is_made_once(network, folder, exports):
    first, second = encoded(network), encoded(network)
    assert len(exports) == 1 and torch.equal(first, second)
    (file,) = folder.iterdir()
    assert file.read_bytes().endswith(exports[0])


@pytest.mark.parametrize("damage", ["cut", "one bit", "a folder"])
def test_a_damaged_file_is_made_anew(network, folder, exports, damage):
    whole = encoded(network)
    (file,) = folder.iterdir()
    data = file.read_bytes()
    if damage == "a folder":
        file.unlink()
        file.mkdir()
    else:
        half = len(data) // 2
        flipped = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
        file.write_bytes({"cut": data[:half], "one bit": flipped}[damage])
    assert torch.equal(encoded(network), whole) and len(exports) == 2
    if damage != "a folder":
        assert file.read_bytes() == data


def test_other_weights_are_another_network(network, folder, exports):
    other = LVD(replace(PRESETS["live"], vertices=60)).eval()
    a, b = encoded(network), encoded(other, weights="cd" * 32)
    assert len(exports) == 2 and not torch.equal(a, b)
    assert torch.equal(encoded(other, weights="cd" * 32), b) and len(exports) == 2


def test_all_that_a_network_is_made_of_is_in_its_name(monkeypatch):
    shapes, ranges = [(4, 64, 64)], {"x0": (0.0, 1.0)}
    names = [kept.name_of(WEIGHTS, shapes, None), kept.name_of(WEIGHTS, shapes, ranges)]
    names += [kept.name_of("cd" * 32, shapes, None), kept.name_of(WEIGHTS, [(4, 96, 96)], None)]
    names.append(kept.name_of(WEIGHTS, shapes, {"x0": (0.0, 2.0)}))
    assert kept.name_of(WEIGHTS, shapes, None) == names[0]
    for owner, fact in ((torch, "__version__"), (kept.onnxruntime, "__version__")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, fact, "0")
            names.append(kept.name_of(WEIGHTS, shapes, None))
    monkeypatch.setattr(kept, "_code", lambda: "changed")
    names.append(kept.name_of(WEIGHTS, shapes, None))
    assert len(set(names)) == len(names)


def test_a_full_disk_loses_nothing(network, folder, exports, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    assert torch.equal(encoded(network), encoded(network)) and len(exports) == 2
    assert list(folder.iterdir()) == []


def test_a_network_without_a_file_is_not_kept(network, folder):
    encoded(network, weights="")
    assert not folder.exists()


def test_the_newest_are_kept(folder):
    for number in range(kept.KEPT + 2):
        assert kept.kept(f"n{number}", lambda number=number: b"%d" % number) == b"%d" % number
        os.utime(folder / f"n{number}.onnx", (number, number))
    assert {file.stem for file in folder.iterdir()} == {f"n{number}" for number in range(2, kept.KEPT + 2)}
    assert kept.kept("n3", lambda: b"never") == b"3"


def test_a_start_imports_what_it_needs(tmp_path):
    """The second start with a network that onnxruntime runs: neither what exports it nor scipy."""
    program = f"""if True:
        import sys, lvd_live
        from lvd_live.sources import VideoSource
        with VideoSource({str(DEMO)!r}) as source:
            frame = next(iter(source))
        assert lvd_live.load(engine="onnxruntime", hands=True).step(frame) is not None
        unwanted = {{"scipy", "onnx", "torch.onnx", "torch._dynamo", "sympy", "matplotlib", "PySide6"}}
        print(*(unwanted & set(sys.modules)))
    """
    environment = os.environ | dict.fromkeys(("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), str(tmp_path))
    for expected in ({"onnx", "torch.onnx"}, set()):
        run = [sys.executable, "-c", program]
        done = subprocess.run(run, cwd=ROOT, env=environment, check=True, timeout=120, capture_output=True, text=True)
        assert set(done.stdout.split()) == expected
