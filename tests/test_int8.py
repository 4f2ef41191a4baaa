"""The backbone in eight bits: near the float one, of these weights alone, and taken where it is worth it."""

import io
import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from lvd_live.errors import UserError
from lvd_live.lvd.network import LVD
from lvd_live.lvd.presets import PRESETS
from lvd_live.lvd.runtime import autoselect, int8, ranges
from lvd_live.lvd.runtime.onnx import OnnxBackbone, export
from lvd_live.lvd.runtime.runtime import Runtime
from lvd_live.lvd.weights import load_network
from lvd_live.paths import MODELS
from lvd_live.person.onnx import make_session


@pytest.fixture(scope="module")
def shipped():
    return load_network(MODELS / "weights" / "live.safetensors")[0]


def crop(size=192, seed=0):
    rng = np.random.default_rng(seed)
    picture = np.full((1, size, size, 3), 90, np.uint8)
    picture[:, 40:150, 70:120] = rng.integers(60, 200, (1, 110, 50, 3), np.uint8)
    mask = np.zeros((1, size, size), np.uint8)
    mask[:, 40:150, 70:120] = 255
    maps = rng.integers(0, 60, (1, 48, 32, 32), np.uint8), rng.integers(0, 60, (1, 288, 8, 8), np.uint8)
    return (
        picture,
        mask,
        rng.uniform(-0.5, 0.5, (1, 33, 4)).astype(np.float32),
        (*maps, np.eye(2, 3, dtype=np.float32)[None]),
    )


@pytest.mark.skipif(not ranges.path_of(LVD(PRESETS["live"])).is_file(), reason="no ranges are shipped")
def test_the_shipped_weights_run_in_eight_bits(shipped, tmp_path):
    exact, eight = (Runtime(shipped, device="cpu", engine=name) for name in ("float32", "int8"))
    assert eight.provider == "onnxruntime cpu int8"
    a, b = (runtime.encode(*crop()).rows for runtime in (exact, eight))
    error, size = (a - b).norm(), (a - a.mean()).norm()
    assert 0 < error < 0.15 * size
    backbone = eight.network.backbone
    assert isinstance(backbone, OnnxBackbone)
    kinds = {node.op_type for node in _optimised(backbone, tmp_path / "optimised.onnx").node}
    assert "QLinearConv" in kinds and "Conv" not in kinds  # integers, not floats brought back


def _optimised(backbone, path):
    """The graph as onnxruntime runs it."""
    inputs = [torch.zeros(1, 4, 192, 192), torch.zeros(1, backbone.conditioning_channels, 48, 48)]
    inputs.append(torch.zeros(1, backbone.context_channels, 12, 12))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath, options.log_severity_level = str(path), 4
    network = int8.quantise(export(backbone.backbone, inputs), backbone.ranges)
    ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    return onnx.load(path).graph


def test_fewer_levels_are_rougher():
    layer, file, x = torch.nn.Conv2d(3, 8, 3, padding=1), io.BytesIO(), torch.rand(1, 3, 16, 16)
    two = torch.nn.Sequential(layer, torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 1), torch.nn.Flatten()).eval()
    torch.onnx.export(two, (x,), file, dynamo=False, opset_version=17, input_names=["x0"])
    exported = file.getvalue()
    measured = int8.measure_ranges(exported, [[x.numpy()]])
    assert measured["x0"] == (float(x.min()), float(x.max()))

    def error(levels):
        session = make_session(int8.quantise(exported, measured, levels=levels))
        return float(np.abs(session.run(None, {"x0": x.numpy()})[0] - two(x).detach().numpy()).mean())

    assert 0 < error(int8.MOST) < error(31) < error(7)  # also where a processor sums two products in 16 bits
    with pytest.raises(UserError, match="another network"):
        int8.quantise(exported, {})


@pytest.mark.parametrize("channels", [1, 5, 6])
def test_sums_of_two_products_fit_16_bits(channels):
    file, x = io.BytesIO(), torch.rand(1, channels, 8, 8)
    layer = torch.nn.Sequential(torch.nn.Conv2d(channels, 8, 3), torch.nn.Flatten()).eval()
    with torch.no_grad():
        layer[0].weight.uniform_(0.5, 1.0).mul_(torch.tensor([-1.0, 1.0]).repeat(4)[:, None, None, None])
    torch.onnx.export(layer, (x,), file, dynamo=False, opset_version=17, input_names=["x0"])
    network = onnx.load_from_string(int8.quantise(file.getvalue(), {"x0": (0.0, 1.0)} | _any_range(file)))
    whole = next(onnx.numpy_helper.to_array(c) for c in network.graph.initializer if c.name.endswith("weight.q"))
    rows = np.moveaxis(whole, 1, -1).reshape(8, -1).astype(int)
    if rows.shape[1] % 2:
        rows = np.pad(rows, ((0, 0), (0, 1)))
    sums = rows[:, ::2] + rows[:, 1::2]
    assert whole.dtype == np.int8 and 255 * sums.max() <= 32767 and 255 * sums.min() >= -32768
    assert (np.abs(rows).max(1) > 60).all()  # no coarser than it has to be


def _any_range(file):
    """Of all values, for a network whose numbers do not matter."""
    return {name: (0.0, 1.0) for node in onnx.load_from_string(file.getvalue()).graph.node for name in node.output}


def test_other_weights_have_no_ranges(shipped):
    other = LVD(replace(PRESETS["live"], vertices=60)).eval()
    assert not ranges.has_ranges(other)
    with pytest.raises(UserError, match="another engine"):
        Runtime(other, device="cpu", engine="int8")


@pytest.mark.parametrize("text", ["", "[", "{}", '{"fingerprint": 1}', '{"fingerprint": "x", "ranges": []}'])
def test_a_damaged_file_of_ranges_is_a_sentence(shipped, text, tmp_path, monkeypatch):
    path = tmp_path / "live.int8.json"
    path.write_text(text)
    monkeypatch.setattr(ranges, "path_of", lambda network: path)
    with pytest.raises(UserError, match="another engine"):
        ranges.ranges_of(shipped)


def test_ranges_come_back_as_written(shipped, tmp_path, monkeypatch):
    path = tmp_path / "live.int8.json"
    for module in (int8, ranges):
        monkeypatch.setattr(module, "path_of", lambda network: path)
    int8.write_ranges(shipped, {"a": (-1.0, 2.0)})
    assert ranges.ranges_of(shipped) == {"a": (-1.0, 2.0)} and json.loads(path.read_text())["fingerprint"]


def test_eight_bits_are_taken_where_they_are_worth_it(shipped, tmp_path, monkeypatch):
    monkeypatch.setattr(autoselect.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    for times, best in (({"float32": 10.0, "int8": 9.0}, "float32"), ({"float32": 10.0, "int8": 6.0}, "int8")):
        monkeypatch.setattr(autoselect, "measure", lambda network, make, times=times: times)
        monkeypatch.setattr(autoselect, "read", lambda path: {})
        assert autoselect.fastest(shipped, None) == best
