"""From a decoded frame to the picture that a player shows: RGB, upright, with square pixels."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import Interpolation

from lvd_live.sources.hdr import is_hdr, tone_map

_MATRIX_BYTES = 36
_ODDEST = 8  # a pixel's longer side, in shorter ones: more is a mistake in the file

Turn = tuple[tuple[int, int], tuple[int, int]]
UPRIGHT: Turn = (1, 0), (0, 1)


@dataclass(frozen=True)
class View:
    """How the frames of a stream are shown.

    turn : see `turn_of`. aspect : a pixel's width over its height, as coded, before it is turned.
    transfer : FFmpeg's number of the transfer characteristic; HDR's are tone-mapped.
    """

    turn: Turn = UPRIGHT
    aspect: Fraction = Fraction(1)
    transfer: int = 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) as shown, of a frame of that coded size."""
        width, height = square_size(width, height, self.aspect)
        (_, b), _ = self.turn
        return (height, width) if b else (width, height)

    def picture(self, frame: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB, contiguous, whatever the frame's pixel format.

        The frame's own display matrix is not asked for: one whose side data was read stays until Python collects
        cycles.
        """
        width, height = square_size(frame.width, frame.height, self.aspect)
        if (width, height) == (frame.width, frame.height):
            rgb = frame.to_ndarray(format="rgb24")
        else:
            rgb = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation=Interpolation.BICUBIC)
        return turned(tone_map(rgb, self.transfer) if is_hdr(self.transfer) else rgb, self.turn)


def square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """The size at which pixels of that aspect become square ones, no side made shorter."""
    return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))


def aspect_of(stream: av.VideoStream) -> Fraction:
    """A pixel's width over its height: 1 where the file does not say, or says nonsense."""
    return believed(stream.sample_aspect_ratio)


def believed(aspect: Fraction | None) -> Fraction:
    """A pixel's aspect as stated, or 1 where it is absent or nonsense."""
    if not aspect or not Fraction(1, _ODDEST) <= aspect <= _ODDEST:
        return Fraction(1)
    return Fraction(aspect)


def turn_of(frame: av.VideoFrame) -> Turn:
    """(a, b), (c, d), each 1, 0 or -1, from the frame's display matrix: (x, y) is shown at (a x + c y, b x + d y).

    Up to a shift. A matrix that is no quarter turn or mirror image is ignored, as players do.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData) or len(raw := bytes(matrix)) < _MATRIX_BYTES:
        return UPRIGHT
    a, b, _, c, d = np.frombuffer(raw, np.int32, 5) / 65536
    keeps_area = np.isclose(abs(a * d - b * c), 1, atol=0.1)
    keeps_axes = np.isclose(sorted(map(abs, (a, b, c, d))), (0, 0, 1, 1), atol=0.1).all()
    if not (keeps_area and keeps_axes):
        return UPRIGHT
    return (round(a), round(b)), (round(c), round(d))


def turned(picture: np.ndarray, turn: Turn) -> np.ndarray:
    """A picture (H, W, 3) as it is shown, contiguous; H and W change places in a quarter turn."""
    (a, b), (c, d) = turn
    if b:
        picture = picture.transpose(1, 0, 2)
    return np.ascontiguousarray(picture[:: b or d, :: a or c])
