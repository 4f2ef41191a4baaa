"""Still pictures: one file, or all of a folder."""

from __future__ import annotations

import logging
import os
import re
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from lvd_live.errors import UserError
from lvd_live.sources.avif import bits, is_avif, shown
from lvd_live.sources.frame import Frame
from lvd_live.sources.heif import INSTALL, can_read_heif, is_heif, read_heif
from lvd_live.sources.kinds import PICTURE_SUFFIXES, UNREAD_PICTURES, is_apple_double
from lvd_live.sources.opencv_log import quiet_opencv
from lvd_live.sources.png import is_broken_png
from lvd_live.storage.files import look_up, reason

log = logging.getLogger(__name__)

SUFFIXES = PICTURE_SUFFIXES
_MAY_HAVE_ALPHA = (".png", ".webp", ".tif", ".tiff", ".gif", ".jp2")
_ORIENTATION_TAG = 0x0112
_NS = 1_000_000_000
LARGEST = int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"])  # pixels; set where this package is imported
_STRIP = 256  # rows
_NAMED = 5  # files that a warning names
_HEIC = (".heic", ".heif", ".hif")


class ImageSource:
    """The pictures of a folder, in the natural order of their names (2 before 10), or one picture; see `Source`.

    Grey pictures become RGB, 16 bits become 8, transparency is laid over white, EXIF orientation is respected.
    Frame.timestamp_ns pretends `fps` pictures per second, counted over the files, skipped ones too.

    frame_count : number of files.
    skipped : pictures so far that could not be read; each is named in a warning. Those of kinds that this program does
    not read count, too.
    Raises UserError when there is no such file or folder, or no picture in it.
    """

    live: bool = False
    dropped: int = 0
    damaged: str | None = None
    state: str = "running"

    def __init__(self, path: str | Path, fps: float = 30.0):
        self.path = Path(path)
        self.fps = fps
        self.skipped = 0
        self._files = list_pictures(self.path)
        self._unread = _list_unread(self.path)
        self.frame_count = len(self._files)
        self._closed = False

    def __enter__(self) -> ImageSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration."""
        self._closed = True

    def __iter__(self) -> Iterator[Frame]:
        """Raises UserError when not one of the pictures can be read."""
        self.skipped = len(self._unread)
        if self._unread:
            named = ", ".join(file.name for file in self._unread[:_NAMED])
            more = f" and {len(self._unread) - _NAMED} more" if len(self._unread) > _NAMED else ""
            log.warning("Pictures of kinds that this program does not read are skipped: %s%s.", named, more)
        index = 0
        for number, file in enumerate(self._files):
            if self._closed:
                return
            picture = read_picture(file)
            if picture is None:
                self.skipped += 1
                why = f" ({INSTALL})" if file.suffix.lower() in _HEIC and not can_read_heif() else ""
                log.warning("%s cannot be read as a picture and is skipped%s.", file, why)
                continue
            yield Frame(picture, index, round(number * _NS / self.fps), file.name)
            index += 1
        if index == 0:
            heic = all(file.suffix.lower() in _HEIC for file in self._files) and not can_read_heif()
            why = INSTALL if heic else "the files are damaged or not pictures"
            raise UserError(f"No picture in {self.path} can be read: {why}.")


def read_picture(path: Path) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB of an image file, upright, transparency over white; None when it cannot be read."""
    try:
        data = np.fromfile(path, np.uint8)  # not cv2.imread, which cannot open every file name on Windows
    except OSError:
        return None
    if not data.size or is_broken_png(data.data):
        return None
    if is_heif(data):
        heif = read_heif(data)
        return heif if heif is None or heif.shape[2] == 3 else _over_white(heif[:, :, [2, 1, 0, 3]])
    try:
        with quiet_opencv():
            if is_avif(data):
                return _read_avif(data)
            upright = _read_transparent(data) if path.suffix.lower() in _MAY_HAVE_ALPHA else None
            return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if upright is None else upright
    except cv2.error as error:
        if "MAX_IMAGE" in str(error):
            log.warning("%s has more pixels than are read, %d million.", path, LARGEST // 10**6)
        return None


def _read_avif(data: np.ndarray) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB of an AVIF file's bytes, upright and over white."""
    raw = cv2.imdecode(data, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if raw is None or raw.dtype not in (np.uint8, np.uint16):
        return None
    if raw.dtype == np.uint16:
        raw = np.minimum(np.right_shift(raw, max(bits(data) - 8, 0)), 255).astype(np.uint8)
    if raw.ndim == 3 and raw.shape[2] == 4:
        return shown(_over_white(raw), data)
    return shown(cv2.cvtColor(raw, cv2.COLOR_GRAY2RGB if raw.ndim == 2 else cv2.COLOR_BGR2RGB), data)


def _read_transparent(data: np.ndarray) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB of an encoded picture with an alpha channel, upright and over white; None without one."""
    raw, kinds, blocks = cv2.imdecodeWithMetadata(data, cv2.IMREAD_UNCHANGED)
    if raw is None or raw.ndim != 3 or raw.shape[2] != 4 or raw.dtype not in (np.uint8, np.uint16):
        return None
    exif = [bytes(block) for kind, block in zip(kinds, blocks, strict=False) if kind == cv2.IMAGE_METADATA_EXIF]
    return _upright(_over_white(raw), _orientation(exif[0] if exif else b""))


def _over_white(bgra: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8 or uint16 BGRA as (H, W, 3) uint8 RGB; strip by strip, because it may be large."""
    out = np.empty((*bgra.shape[:2], 3), np.uint8)
    for first in range(0, len(bgra), _STRIP):
        strip = bgra[first : first + _STRIP]
        if strip.dtype == np.uint16:
            strip = (strip >> 8).astype(np.uint8)
        alpha = strip[:, :, 3:].astype(np.uint16)
        out[first : first + _STRIP] = (strip[:, :, 2::-1] * alpha + 255 * (255 - alpha) + 127) // 255
    return out


def _orientation(exif: bytes) -> int:
    """EXIF's orientation, 1 (upright) to 8; 1 where it is not stated.

    OpenCV applies it itself, but not to pictures with transparency.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
            if tag == _ORIENTATION_TAG:
                return value if 1 <= value <= 8 else 1
    except struct.error:  # cut short
        pass
    return 1


def _upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, 3) turned and mirrored as EXIF's `orientation` (1 to 8) says; H and W change places from 5 on."""
    if orientation >= 5:
        picture = picture.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)


def list_pictures(path: Path) -> list[Path]:
    """The picture files that `path` is or holds, in their natural order. Raises UserError where there are none."""
    there = look_up(path)
    if there and stat.S_ISREG(there.st_mode):
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"{path} is not a picture of a known kind: use one of {', '.join(SUFFIXES)}.")
        return [path]
    if not there or not stat.S_ISDIR(there.st_mode):
        raise UserError(f"There is no file or folder {path}: check the name.")
    try:
        files = [file for file in path.iterdir() if _is_of_kind(file, SUFFIXES)]
    except OSError as error:
        raise UserError(f"Cannot look into the folder {path}: {reason(error)}.") from error
    if not files:
        raise UserError(f"The folder {path} holds no pictures: put {', '.join(SUFFIXES)} files in it.")
    return sorted(files, key=_natural_order)


def _list_unread(path: Path) -> list[Path]:
    """The pictures in a folder that are of kinds this program does not read."""
    if not path.is_dir():
        return []
    return sorted((file for file in path.iterdir() if _is_of_kind(file, UNREAD_PICTURES)), key=_natural_order)


def _is_of_kind(file: Path, suffixes: tuple[str, ...]) -> bool:
    return file.suffix.lower() in suffixes and not is_apple_double(file) and file.is_file()


def _natural_order(file: Path) -> list[tuple[int, int, str]]:
    """A sort key by which 2 comes before 10."""
    parts = re.findall(r"\d+|\D+", file.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
