"""HDR video: what stands in it at the light of standard video comes out as in standard video."""

from __future__ import annotations

import av
import numpy as np
import pytest

from lvd_live.sources import VideoSource
from lvd_live.sources.hdr import HLG, PQ, hlg_to_light, pq_to_light, tone_map

R_2020_FROM_709 = np.array(
    [[0.627404, 0.329283, 0.043313], [0.069097, 0.919540, 0.011362], [0.016391, 0.088013, 0.895595]]
)


def scene() -> np.ndarray:
    """(H, W, 3) uint8 RGB: greys, skin and clothes below the knee of the tone map."""
    rows = [(20, 20, 20), (90, 90, 90), (150, 150, 150), (200, 150, 125), (120, 70, 50), (40, 60, 160), (150, 30, 40)]
    return np.repeat(np.repeat(np.array(rows, np.uint8)[None], 48, 0), 16, 1)


def encoded(picture: np.ndarray, transfer: int) -> np.ndarray:
    """A standard picture as an HDR camera stores it: (H, W, 3) uint16."""
    light = (picture / 255) ** 2.2 @ R_2020_FROM_709.T * 203
    signal = np.linspace(0, 1, 20_001)
    if transfer == PQ:
        found = np.interp(light, pq_to_light(signal), signal)
    else:  # the display's light goes with the scene's luminance to the power of 1.2
        luminance = (light @ np.array([0.2627, 0.6780, 0.0593]))[..., None] / 1000
        scene_light = light / 1000 / np.maximum(luminance, 1e-9) ** (0.2 / 1.2)
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        high = a * np.log(np.maximum(12 * scene_light - b, 1e-9)) + c
        found = np.where(scene_light <= 1 / 12, np.sqrt(3 * scene_light), high)
    return np.round(found.clip(0, 1) * 65535).astype(np.uint16)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_standard_light_comes_out_as_it_went_in(transfer):
    mapped = tone_map((encoded(scene(), transfer) / 257).round().astype(np.uint8), transfer)
    assert mapped.dtype == np.uint8 and np.abs(mapped.astype(int) - scene()).max() <= 9


def test_what_is_brighter_than_white_keeps_its_hue_and_its_order():
    signal = np.repeat(np.arange(120, 256, 8, np.uint8)[:, None, None], 3, 2)
    grey = tone_map(signal, PQ)[:, 0].astype(int)
    assert (np.diff(grey[:, 0]) >= 0).all() and grey[-1, 0] >= 250 and np.ptp(grey, axis=1).max() <= 3


def test_the_equations_at_known_points():
    assert pq_to_light(np.array([0.0, 0.58069, 1.0])) == pytest.approx([0, 203, 10_000], rel=1e-3)
    assert hlg_to_light(np.array([[1.0, 1, 1], [0.75, 0.75, 0.75]]))[:, 0] == pytest.approx([1000, 203], rel=1e-2)


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("pix_fmt", ["gbrp10le", "yuv444p10le"])
def test_an_hdr_film_looks_like_a_standard_one(tmp_path, transfer, pix_fmt):
    path = tmp_path / "hdr.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        picture = encoded(scene(), transfer)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.color_trc, context.color_primaries = transfer, 9
        context.colorspace = 0 if pix_fmt.startswith("gbr") else 9
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb48le")
            if not pix_fmt.startswith("gbr"):
                frame = frame.reformat(format=pix_fmt, dst_colorspace=9)
                frame.colorspace = 9
            frame.pts = number
            frame.color_trc, frame.color_primaries = transfer, 9
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with VideoSource(path) as source:
        frames = list(source)
    assert len(frames) == 3 and source.damaged is None
    assert np.abs(frames[0].picture.astype(int) - scene()).mean() < 5
