"""What a camera says of a picture in its EXIF block: how it was held, and how wide it saw."""

from __future__ import annotations

import math
import struct

ORIENTATION, EXIF_PART, FOCAL_35MM = 0x0112, 0x8769, 0xA405
DIAGONAL_35MM = 43.27  # mm, of a 35 mm frame
WIDEST, NARROWEST = 150.0, 5.0  # degrees: what lies outside is a mistake in the file
BLOCK = b"Exif\0\0"  # comes before the block in JPEG and HEIF
WHERE = 1 << 18  # bytes: it begins before
_SHORT, _LONG = 3, 4


def find_exif(data: bytes) -> bytes:
    """The EXIF block in the first bytes of a JPEG or HEIF file, from its TIFF header on; empty where there is none."""
    place = data.find(BLOCK, 0, WHERE)
    return b"" if place < 0 else data[place + len(BLOCK) :]


def read_tags(exif: bytes) -> dict[int, int]:
    """The whole numbers of an EXIF block, those of its own part among them; what is damaged is left out."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return {}
    try:
        tags = _read_part(exif, order, *struct.unpack_from(f"{order}I", exif, 4))
        return {**_read_part(exif, order, tags[EXIF_PART]), **tags} if EXIF_PART in tags else tags
    except struct.error:  # cut short
        return {}


def _read_part(exif: bytes, order: str, start: int) -> dict[int, int]:
    tags = {}
    try:
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(f"{order}HHI", exif, entry)
            if kind in (_SHORT, _LONG) and values == 1:
                (tags[tag],) = struct.unpack_from(f"{order}{'H' if kind == _SHORT else 'I'}", exif, entry + 8)
    except struct.error:  # cut short: what came before counts
        pass
    return tags


def orientation_of(exif: bytes) -> int:
    """1 (upright) to 8; 1 where it is not stated."""
    value = read_tags(exif).get(ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def fov_of(exif: bytes, width: int, height: int) -> float | None:
    """The field of view across the longer side of a picture of that size, degrees; None where it is not stated.

    From the focal length of the lens that shows as much on 35 mm film; equal diagonals, as CIPA DCG-001 defines it.
    """
    focal = read_tags(exif).get(FOCAL_35MM, 0) / DIAGONAL_35MM * math.hypot(width, height)  # pixels
    if focal <= 0:
        return None
    degrees = math.degrees(2 * math.atan(max(width, height) / 2 / focal))
    return degrees if NARROWEST <= degrees <= WIDEST else None
