"""The shipped landmark network is the original, rearranged."""

import numpy as np
import pytest

from lvd_live.errors import UserError
from lvd_live.paths import MODELS

pytest.importorskip("onnx", reason="onnx is not installed (extra [train])")
import onnx  # noqa: E402

from lvd_live.person.levels import levels_of  # noqa: E402
from lvd_live.person.rearrange import HEAVY, NAME, rearrange_network  # noqa: E402


def test_the_shipped_networks_come_out_bit_for_bit(shared, tmp_path):
    source = shared / "assets" / "blazepose"
    if not source.is_dir():
        pytest.skip("the original network is not beside this checkout")
    rearrange_network(source, tmp_path)
    for name in (NAME, HEAVY):
        assert (tmp_path / name).read_bytes() == (MODELS / "blazepose" / name).read_bytes()


def test_levels_are_near_the_weights():
    weight = (
        np.random.default_rng(0).normal(0, 1, (40, 272, 1, 1)) * np.geomspace(1e-3, 1, 40)[:, None, None, None]
    ).astype(np.float16)
    weight[7] = 0
    levels, step = levels_of(weight)
    assert levels.dtype == np.int8 and levels.shape == (40, 17, 16) and step.shape == (40, 17, 1)
    back = (levels * step.astype(np.float32)).reshape(weight.shape)
    assert (np.abs(back - weight) <= np.repeat(step, 16, 2).reshape(weight.shape) * 0.51).all() and not back[7].any()


def test_large_weights_alone_are_stored_as_levels():
    kinds = {i.data_type for i in onnx.load(MODELS / "blazepose" / HEAVY).graph.initializer}
    assert {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT16} <= kinds
    assert onnx.TensorProto.INT8 not in {i.data_type for i in onnx.load(MODELS / "blazepose" / NAME).graph.initializer}


def test_what_is_no_original_takes_a_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        rearrange_network(tmp_path, tmp_path)
    (tmp_path / NAME).write_bytes(b"no network")
    with pytest.raises(UserError, match="cannot be read"):
        rearrange_network(tmp_path, tmp_path)
    if (MODELS / "blazepose" / NAME).exists():
        with pytest.raises(UserError, match="not the original"):
            rearrange_network(MODELS / "blazepose", tmp_path)
