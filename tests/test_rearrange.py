"""The shipped landmark network is the original, rearranged."""

import pytest

from lvd_live.errors import UserError
from lvd_live.paths import MODELS

pytest.importorskip("onnx", reason="onnx is not installed (extra [train])")
from lvd_live.person.rearrange import NAME, rearrange_network  # noqa: E402


def test_the_shipped_network_comes_out_bit_for_bit(shared, tmp_path):
    source = shared / "assets" / "blazepose"
    if not source.is_dir():
        pytest.skip("the original network is not beside this checkout")
    rearrange_network(source, tmp_path)
    assert (tmp_path / NAME).read_bytes() == (MODELS / "blazepose" / NAME).read_bytes()


def test_what_is_no_original_takes_a_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        rearrange_network(tmp_path, tmp_path)
    (tmp_path / NAME).write_bytes(b"no network")
    with pytest.raises(UserError, match="cannot be read"):
        rearrange_network(tmp_path, tmp_path)
    if (MODELS / "blazepose" / NAME).exists():
        with pytest.raises(UserError, match="not the original"):
            rearrange_network(MODELS / "blazepose", tmp_path)
