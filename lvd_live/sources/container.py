"""Opening video files, with a sentence where it fails, and reading which way up they are shown."""

from __future__ import annotations

import stat
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData

from lvd_live.errors import UserError
from lvd_live.storage.files import look_up

_DECODER_THREADS = 4  # each holds a few decoded pictures: a bound on memory for 8K video
_MATRIX_BYTES = 36

Turn = tuple[tuple[int, int], tuple[int, int]]
UPRIGHT: Turn = (1, 0), (0, 1)


def open_video(path: Path) -> InputContainer:
    """The container of a file whose first video stream can be decoded. Raises UserError."""
    there = look_up(path)
    if there is None:
        raise UserError(f"There is no file {path}: check the name.")
    if stat.S_ISDIR(there.st_mode):
        raise UserError(f"{path} is a folder, not a video: give a file, or use --images for a folder of pictures.")
    try:
        container = av.open(str(path)) if there.st_size else None
    except PermissionError:
        raise UserError(f"{path} may not be read: check the file's permissions.") from None
    except (av.error.FFmpegError, OSError, ValueError):
        raise UserError(f"{path} cannot be read as a video: it is damaged, cut short, or not a video at all.") from None
    if container is None:
        raise UserError(f"{path} is empty: record or copy it again.")
    if not container.streams.video or _is_text(container):
        container.close()
        raise UserError(f"{path} holds no video: give a file that has pictures in it.")
    context = container.streams.video[0].codec_context
    if context is None:
        container.close()
        raise UserError(f"{path} was made with a codec that this program cannot decode: convert it to H.264.")
    context.thread_type = "AUTO"
    context.thread_count = _DECODER_THREADS
    return container


def _is_text(container: InputContainer) -> bool:
    """FFmpeg shows a text file as a video of its letters."""
    return container.format.name == "tty"


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
