"""Decoding one stream of an open file, with an account of what could not be read."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer


class Decoder:
    """The frames of `stream`, in the order shown, once.

    unreadable : packets that could not be decoded, and 1 for the place where the file breaks off in an error.
    reached_s, any_reached_s : the end of the last packet or frame of the stream, and of the last packet of any sound or
    video stream, seconds on the file's clock.
    """

    def __init__(self, container: InputContainer, stream: av.VideoStream):
        self.container, self.stream = container, stream
        self._closed = self._broke_off = False
        self._in_order = container.format.name == "avi"  # which stores no times of showing, only an order
        self._is_theora = stream.codec_context.name == "theora"
        self._times: list[int] = []  # a heap: of packets whose frames have not come yet
        self.unreadable = 0
        self.reached_s = self.any_reached_s = float("-inf")

    def close(self) -> None:
        """End the iteration; to be called before the file is closed."""
        self._closed = True

    def __iter__(self) -> Iterator[av.VideoFrame]:
        for packet in self.packets():
            if self._is_theora and packet.size and bytes(packet)[0] & 0x80:  # a header, again where files were joined
                continue
            if self._in_order and packet.dts is not None and self.stream.codec_context.has_b_frames:
                heapq.heappush(self._times, packet.dts)
            try:
                frames = packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.unreadable += 1
                if packet.dts in self._times:
                    self._times.remove(packet.dts)
                    heapq.heapify(self._times)
                continue
            yield from self._shown(frames)
            if self._closed:
                return
        if self._broke_off:  # what the decoder still holds
            with contextlib.suppress(av.error.FFmpegError):
                yield from self._shown(self.stream.codec_context.decode(None))

    def _shown(self, frames: list) -> Iterator[av.VideoFrame]:
        """Frames as they come out, with their times; none is held here once it is handed on."""
        while frames and not self._closed:
            yield self._timed(frames.pop(0))

    def _timed(self, frame: av.VideoFrame) -> av.VideoFrame:
        if self._times:
            frame.pts = heapq.heappop(self._times)
        if frame.time_base is None:  # of what comes out last, PyAV does not know
            frame.time_base = self.stream.time_base
        self.reached_s = max(self.reached_s, _end_s(frame.pts, frame.duration, frame.time_base))
        return frame

    def packets(self) -> Iterator[av.Packet]:
        """The stream's packets; the times of the others are noted."""
        packets = self.container.demux()
        while not self._closed:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError:
                self.unreadable += 1
                self._broke_off = True
                return
            at = packet.pts if packet.pts is not None else packet.dts
            end_s = _end_s(at, packet.duration, packet.time_base)
            if packet.stream.type in ("video", "audio"):
                self.any_reached_s = max(self.any_reached_s, end_s)
            if packet.stream.index != self.stream.index:
                continue
            self.reached_s = max(self.reached_s, end_s)
            if packet.size or packet.dts is None:  # an empty packet with a time stands for a dropped frame
                yield packet


def _end_s(at: int | None, duration: int | None, time_base: Fraction | None) -> float:
    return float("-inf") if at is None or time_base is None else float((at + (duration or 0)) * time_base)
