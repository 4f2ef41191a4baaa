"""The shipped landmark networks are the originals, rearranged."""

import pytest

from lvd_live.errors import UserError
from lvd_live.paths import MODELS

pytest.importorskip("onnx", reason="onnx is not installed (extra [train])")
from lvd_live.person.rearrange import rearrange_networks  # noqa: E402

NAMES = ("pose_landmarks_full.onnx", "pose_landmarks_lite.onnx")


def test_the_shipped_networks_come_out_bit_for_bit(shared, tmp_path):
    source = shared / "assets" / "blazepose"
    if not source.is_dir():
        pytest.skip("the original networks are not beside this checkout")
    rearrange_networks(source, tmp_path)
    for name in NAMES:
        assert (tmp_path / name).read_bytes() == (MODELS / "blazepose" / name).read_bytes()


def test_what_is_no_original_takes_a_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        rearrange_networks(tmp_path, tmp_path)
    (tmp_path / NAMES[0]).write_bytes(b"no network")
    with pytest.raises(UserError, match="cannot be read"):
        rearrange_networks(tmp_path, tmp_path)
    if (MODELS / "blazepose" / NAMES[0]).exists():
        with pytest.raises(UserError, match="not the original"):
            rearrange_networks(MODELS / "blazepose", tmp_path)
