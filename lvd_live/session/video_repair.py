"""Reading a video that may be cut or damaged, and giving it a new index."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from lvd_live.sources.container import LIMITS, prepare
from lvd_live.storage.files import part_name, sync_folder

log = logging.getLogger(__name__)

_ERRORS_MAX = 1000  # in a video, before the rest of it is given up


def decode_times(path: Path) -> tuple[np.ndarray, bool]:
    """Times of the pictures that can be decoded, (P,) int64 ms, rising; whether the file is whole.

    A file is whole when it has an end and all its packets can be read.
    """
    times: list[int] = []
    whole = False
    try:
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("no file")
        with av.open(str(path), format="matroska", options=LIMITS) as file:
            stream = file.streams.video[0]
            prepare(stream.codec_context)
            sound = bool(file.duration)
            for packet in _packets(file, stream):
                if packet is None:
                    sound = False
                else:
                    times += _picture_times(packet)
            whole = sound
    except (av.FFmpegError, OSError, ValueError, IndexError, AttributeError) as error:
        log.info("%s: %s", path, error)
    return np.unique(np.array(times, np.int64)), whole


def write_index(path: Path, pictures: int) -> np.ndarray:
    """Write the video's packets into a new file with an index, and put it in the old one's place.

    Returns the times of its pictures as `decode_times` does. Raises av.FFmpegError, OSError, or ValueError where fewer
    than `pictures` pictures would be left: the old file then stays.
    """
    part = part_name(path)
    try:
        _copy_packets(path, part)
        times, _ = decode_times(part)
        if len(times) < pictures:
            raise ValueError("pictures would be lost")
        os.replace(part, path)
        sync_folder(path.parent)
        return times
    finally:
        part.unlink(missing_ok=True)


def _picture_times(packet: av.Packet) -> list[int]:
    """Times of the pictures in a packet, ms; a packet that cannot be decoded has none."""
    with contextlib.suppress(av.FFmpegError):
        stamps = [(frame.pts, frame.time_base) for frame in packet.decode()]
        return [round(pts * unit * 1000) for pts, unit in stamps if pts is not None and unit is not None]
    return []


def _packets(file: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet | None]:
    """The packets of a file that may be damaged; None for each place that cannot be read."""
    for _ in range(_ERRORS_MAX):
        try:
            yield from file.demux(stream)
            return
        except av.error.EOFError:
            return
        except av.FFmpegError:
            yield None


def _copy_packets(path: Path, part: Path) -> None:
    """Write the packets of a video into a new file. Raises av.FFmpegError, OSError, ValueError."""
    with av.open(str(path), format="matroska") as old, av.open(str(part), "w", format="matroska") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        last = -1
        for packet in _packets(old, stream):
            if packet is not None and packet.size and packet.dts is not None and packet.dts > last:
                last, packet.stream = packet.dts, copy
                new.mux(packet)
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
