"""The finder's mask head: what it learns, and what ships."""

import numpy as np
import pytest
import torch

from lvd_live.paths import MODELS
from lvd_live.person.onnx import make_session
from lvd_live.person.rearrange import LAYERS, NAME, NARROW, WIDE, rearranged, shipped_head
from lvd_live.synth.bake_mask_head import MaskHead, distil


def test_a_head_learns_a_mask():
    rng = torch.Generator().manual_seed(1)
    values = torch.rand(8, NARROW, 32, 32, generator=rng)
    masks = torch.sigmoid(20 * (values[:, :1] - 0.5))

    def error(head):
        with torch.inference_mode():
            return float((torch.sigmoid(head(values)) - masks).abs().mean())

    assert error(distil(values, masks, 60)) < 0.5 * error(distil(values, masks, 3))


def test_the_shipped_head_has_the_network_s_shapes():
    head = shipped_head()
    assert {name: value.shape for name, value in head.items()} == {
        name: value.shape for name, value in MaskHead().arrays().items()
    }
    assert len(head) == 2 * len(LAYERS) and all(np.isfinite(value).all() for value in head.values())
    assert head["first_weight"].shape[:2] == (WIDE, NARROW)


def test_its_masks_are_the_original_s(shared):
    """On real pictures, none of which it was trained on."""
    import cv2

    original = shared / "assets" / "blazepose" / NAME
    if not original.is_file():
        pytest.skip("the original network is not beside this checkout")
    pytest.importorskip("onnx", reason="onnx is not installed")
    before, now = (
        make_session(network)
        for network in (rearranged(original).model.SerializeToString(), (MODELS / "blazepose" / NAME).read_bytes())
    )
    agreement = []
    for path in sorted((shared / "eval" / "images").glob("LVD__images_img*_img.png")):
        picture = cv2.resize(cv2.imread(str(path))[..., ::-1], (256, 256), interpolation=cv2.INTER_AREA)
        feed = {"input_1": cv2.dnn.blobFromImage(picture)}
        (a,), (b,) = (network.run(["Identity_2"], feed) for network in (before, now))
        agreement.append(np.count_nonzero((a > 0.5) & (b > 0.5)) / np.count_nonzero((a > 0.5) | (b > 0.5)))
        for name in ("Identity", "Identity_1", "Identity_3", "Identity_4"):  # nothing else changes
            x, y = (network.run([name], feed)[0] for network in (before, now))
            assert np.abs(x - y).max() <= 1e-3 * max(1.0, np.abs(x).max())
    assert len(agreement) >= 4 and np.mean(agreement) > 0.96 and min(agreement) > 0.9
