"""HDR video as standard pictures: PQ and HLG light in BT.2020 colours, tone-mapped to what the networks know.

White of standard video lies at 203 cd/m² (ITU-R BT.2408). What is brighter is compressed towards white, by the largest
of a pixel's channels, so that colours keep their hue. Equations of PQ: SMPTE ST 2084; of HLG: ITU-R BT.2100.
"""

from __future__ import annotations

from functools import cache

import numpy as np

PQ, HLG = 16, 18  # FFmpeg's numbers of transfer characteristics
_BITS = 7  # of each channel that are looked up
_WHITE = 203.0  # cd/m²
_KNEE = 0.75  # share of white from which on light is compressed
_GAMMA = 2.2
_R_709_FROM_2020 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]]
)


def is_hdr(transfer: int) -> bool:
    """Whether a frame of that transfer characteristic needs a tone map."""
    return transfer in (PQ, HLG)


def tone_map(picture: np.ndarray, transfer: int) -> np.ndarray:
    """A picture (H, W, 3) uint8, RGB of that transfer characteristic in BT.2020, as standard RGB, likewise."""
    shift = 8 - _BITS
    red, green, blue = np.moveaxis((picture >> shift).astype(np.int32), -1, 0)
    return _table(transfer)[(red << 2 * _BITS) | (green << _BITS) | blue]


@cache
def _table(transfer: int) -> np.ndarray:
    """(2^(3 _BITS), 3) uint8: the standard colour of each HDR colour."""
    levels = ((np.arange(1 << _BITS) + 0.5) * (256 >> _BITS) - 0.5) / 255
    signal = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    light = (pq_to_light(signal) if transfer == PQ else hlg_to_light(signal)) / _WHITE
    linear = (light @ _R_709_FROM_2020.T).clip(0)
    largest = linear.max(1, keepdims=True)
    room = 1 - _KNEE
    bright = _KNEE + room * (1 - np.exp(-(largest - _KNEE).clip(0) / room))
    linear *= np.where(largest > _KNEE, bright / np.maximum(largest, 1e-9), 1.0)
    return np.round(255 * linear.clip(0, 1) ** (1 / _GAMMA)).astype(np.uint8)


def pq_to_light(signal: np.ndarray) -> np.ndarray:
    """cd/m² of a PQ signal 0..1, same shape."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = signal.clip(0, 1) ** (1 / m2)
    return 10_000 * ((power - c1).clip(0) / (c2 - c3 * power)) ** (1 / m1)


def hlg_to_light(signal: np.ndarray) -> np.ndarray:
    """cd/m² of an HLG signal (..., 3) 0..1 on a display of 1000 cd/m²."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = signal.clip(0, 1)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593])
    return 1000 * scene * np.maximum(luminance, 1e-9)[..., None] ** 0.2
