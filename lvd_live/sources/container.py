"""Opening video files, with a sentence where it fails, and choosing the stream that is the film."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition

from lvd_live.errors import UserError
from lvd_live.sources.address import public
from lvd_live.storage.files import look_up

_DECODER_THREADS = 4
_LARGE = 4096 * 2304  # pixels: with larger pictures, threads share one, because each of its own would take memory
LARGEST = 100_000_000  # pixels of a picture, 12K; a file of some bytes can state more than any memory holds
LIMITS = {"max_pixels": str(LARGEST)}  # FFmpeg's option, for `av.open` and a decoder alike
_NO_FILM = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_STILLS = {"mjpeg", "png", "bmp", "gif", "webp", "tiff", "jpegxl"}  # codecs of thumbnails, though films may have them


def open_video(path: Path) -> tuple[InputContainer, av.VideoStream]:
    """The container of a file, and the stream in it that is the film and can be decoded. Raises UserError."""
    _check_is_file(path)
    try:
        container = av.open(
            f"file:{path}", options=LIMITS
        )  # a bare name may look like an address: 2024-01-01T12:00:00.mp4
    except PermissionError:
        raise UserError(f"{path} may not be read: check the file's permissions.") from None
    except (av.error.FFmpegError, OSError, ValueError):
        raise UserError(f"{path} cannot be read as a video: it is damaged, cut short, or not a video at all.") from None
    films = [] if _is_text(container) else find_films(container)
    if not films:
        container.close()
        raise UserError(f"{path} holds no video: give a file that has pictures in it.")
    stream = next((stream for stream in films if stream.codec_context is not None), None)
    if stream is None:
        container.close()
        raise UserError(f"{path} was made with a codec that this program cannot decode: convert it to H.264.")
    prepare(stream.codec_context)
    return container, stream


def prepare(context: av.VideoCodecContext) -> None:
    """Bound what a decoder takes, before its first packet."""
    context.options = LIMITS
    is_large = context.width * context.height > _LARGE
    context.thread_type = "SLICE" if is_large else "AUTO"
    context.thread_count = _DECODER_THREADS


def find_films(container: InputContainer) -> list[av.VideoStream]:
    """The video streams that are no cover pictures or thumbnails, the best one first: the largest that moves."""

    def merit(stream: av.VideoStream) -> tuple[bool, bool, int, bool, int]:
        context = stream.codec_context
        pixels = context.width * context.height if context is not None else 0
        is_default = bool(stream.disposition & Disposition.default)
        of_stills = context is not None and context.name in _STILLS
        return stream.frames != 1, not of_stills, pixels, is_default, -stream.index

    films = [stream for stream in container.streams.video if not stream.disposition & _NO_FILM]
    return sorted(films, key=merit, reverse=True)


def _check_is_file(path: Path) -> None:
    """Raises UserError where there is no file with something in it."""
    there = look_up(path)
    if there is None:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
            raise UserError(f"{public(str(path))} is an address, not a file: use --camera for a stream.")
        raise UserError(f"There is no file {path}: check the name.")
    if stat.S_ISDIR(there.st_mode):
        raise UserError(f"{path} is a folder, not a video: give a file, or use --images for a folder of pictures.")
    if stat.S_ISCHR(there.st_mode):
        raise UserError(f"{path} is a device, not a file: use --camera for a camera.")
    if not stat.S_ISREG(there.st_mode):
        raise UserError(f"{path} is a pipe, and a video is read more than once: save it to a file first.")
    if not there.st_size:
        raise UserError(f"{path} is empty: record or copy it again.")


def _is_text(container: InputContainer) -> bool:
    """FFmpeg shows a text file as a video of its letters."""
    return container.format.name == "tty"
