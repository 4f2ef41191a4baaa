"""Video files, frame by frame, with the timestamps that the file states."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from lvd_live.errors import UserError
from lvd_live.sources.clock import LONGEST_BROADCAST_NS, LONGEST_NS, NS, Clock
from lvd_live.sources.container import LARGEST, open_video
from lvd_live.sources.cuts import CutFinder
from lvd_live.sources.decoder import Decoder
from lvd_live.sources.extent import Extent, is_cut_avi
from lvd_live.sources.frame import Frame
from lvd_live.sources.joined import holds_another
from lvd_live.sources.picture import View, aspect_of, believed, turn_of

log = logging.getLogger(__name__)

_HALF_MS = NS // 2000
_MAY_RESTART = 0x200  # FFmpeg's AVFMT_TS_DISCONT: formats whose clock may restart


class VideoSource:
    """The frames of a video file, in the order shown, upright and with square pixels as a player shows them; `Source`.

    Can be iterated again: it then starts at the beginning. Frame.timestamp_ns counts from the first frame.

    start_ns : the first frame's own time in the file, nanoseconds; known once that frame has been read.
    fps : nominal frames per second; None when the file does not say.
    frame_count : frames expected, an estimate; None when the file does not say.
    size : (width, height) of the picture as shown, pixels.
    damaged : None, or, after iterating over a file that is cut or broken, sentences that say so.
    notes : sentences on what had to be assumed, so far; each is logged as a warning, too.
    Raises UserError when the file cannot be opened as a video.
    """

    live: bool = False
    dropped: int = 0
    skipped: int = 0
    state: str = "running"

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.start_ns = 0
        self.damaged: str | None = None
        self.notes: list[str] = []
        self._can_seek: bool | None = None  # not known yet
        self._said: set[str] = set()
        self._container: InputContainer | None = None
        stream = self._open()
        self._extent = Extent.of(self._decoder.container, stream)
        self.fps, self.frame_count = self._extent.fps, self._extent.frames
        self._view, self.size = self._look(stream)
        self._first_aspects = self._aspects = stream.codec_context.sample_aspect_ratio, self._view.aspect

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._decoder.close()
            self._container.close()
            self._container = None

    def __iter__(self) -> Iterator[Frame]:
        """Raises UserError when not one frame can be decoded."""
        self._open()
        self.damaged = None
        decoder, clock, cuts = self._decoder, self._clock(), CutFinder()
        if self._extent.assumed:
            self._note(f"{self.path} states no frame rate: {self.fps:g} frames per second are assumed.")
        if holds_another(self.path, set(decoder.container.format.name.split(","))):
            self._note(f"{self.path} holds another film behind the first, which is left out: join files with a tool.")
        index = corrupt = 0
        for decoded in decoder:
            time_ns = clock.time_ns(decoded.pts, decoded.time_base)
            if index == 0:
                self.start_ns = clock.start_ns
            self._note_breaks(clock, time_ns)
            corrupt += decoded.is_corrupt
            frame = self._frame(decoded, index, time_ns)
            del decoded  # it may be large
            frame = replace(frame, new_shot=True) if cuts.is_cut(frame.picture) else frame
            yield frame
            index += 1
        if self._container is not None:  # not closed half-way
            self._report_damage(decoder, clock, index, corrupt)

    def frames_from(self, timestamp_ns: int) -> Iterator[Frame]:
        """The frames at or after `timestamp_ns`, to half a millisecond; sought, so their index is unknown and -1.

        Raises UserError.
        """
        after_ns = timestamp_ns - _HALF_MS
        next(iter(self), None)  # sets start_ns
        sought, clock = False, self._clock()
        for decoded in self._decoder if self._seek(timestamp_ns) else ():
            if decoded.pts is None or decoded.time_base is None:
                continue
            time_ns = round(Fraction(decoded.pts) * decoded.time_base * NS) - self.start_ns
            clock.time_ns(decoded.pts, decoded.time_base)
            landed_late = not sought and time_ns > timestamp_ns + _HALF_MS
            if landed_late or clock.restarts or clock.leaps:
                sought = False  # then from the beginning
                break
            sought = True
            if time_ns >= after_ns:
                yield self._frame(decoded, -1, time_ns)
                after_ns = time_ns + 1
        if not sought:
            yield from (frame for frame in self if frame.timestamp_ns >= after_ns)

    def _open(self) -> av.VideoStream:
        """Open the file anew, at its beginning. Raises UserError."""
        self.close()
        self._container, stream = open_video(self.path)
        self._decoder = Decoder(self._container, stream)
        return stream

    def _look(self, stream: av.VideoStream) -> tuple[View, tuple[int, int]]:
        """How the frames are shown, and their (width, height): from the first one, which alone knows the rotation."""
        aspect = aspect_of(stream)
        first = next(iter(self._decoder), None)
        if first is None:
            view = View(aspect=aspect)
            return view, view.size(stream.codec_context.width, stream.codec_context.height)
        view = View(turn_of(first), aspect, first.color_trc)
        return view, view.size(first.width, first.height)

    def _seek(self, timestamp_ns: int) -> bool:
        """Go to the key frame at or before `timestamp_ns`; False, and closed, where the file cannot seek."""
        if self._can_seek is None:
            self._can_seek = not self._clock_restarts()
        stream = self._decoder.stream
        if self._can_seek and self._container is not None and stream.time_base is not None:
            try:
                offset = int((self.start_ns + max(timestamp_ns, 0)) / NS / stream.time_base)
                self._container.seek(offset, stream=stream)
                self._decoder = Decoder(self._container, stream)
                return True
            except (av.error.FFmpegError, OverflowError):
                pass
        self.close()
        return False

    def _clock_restarts(self) -> bool:
        """Whether the times in the file step back somewhere, so that a time does not say where to seek.

        Read through without decoding, where the format allows that at all. The file is at its beginning afterwards.
        """
        if self._container is None or not self._container.format.flags & _MAY_RESTART:
            return False
        self._open()
        clock = self._clock()
        for packet in self._decoder.packets():
            if packet.dts is not None:
                clock.time_ns(packet.dts, packet.time_base)
        self._open()
        return bool(clock.restarts or clock.leaps)

    def _clock(self) -> Clock:
        may_restart = self._decoder.container.format.flags & _MAY_RESTART
        end_s = self._extent.end_s if self._extent.end_s is not None else self._extent.whole_end_s
        end_ns = None if end_s is None else round(end_s * NS)
        return Clock(self.fps, LONGEST_BROADCAST_NS if may_restart else LONGEST_NS, end_ns)

    def _note_breaks(self, clock: Clock, time_ns: int) -> None:
        """Say once each that the clock restarted and that it leapt; from then on a time does not say where to seek."""
        for count, what in ((clock.restarts, "restarts"), (clock.leaps, "leaps forward")):
            if count == 1 and what not in self._said:
                self._said.add(what)
                self._can_seek = False
                self._note(f"The clock of {self.path} {what} at {time_ns / NS:.1f} s; time goes on from there.")

    def _frame(self, decoded: av.VideoFrame, index: int, time_ns: int) -> Frame:
        coded = self._decoder.stream.codec_context.sample_aspect_ratio
        if coded != self._aspects[0] and decoded.key_frame:  # a broadcast goes from 4:3 to 16:9
            self._aspects = self._first_aspects if coded == self._first_aspects[0] else (coded, believed(coded))
            self._view = replace(self._view, aspect=self._aspects[1])
        return Frame(self._view.picture(decoded), index, time_ns, self.path.name, corrupt=bool(decoded.is_corrupt))

    def _note(self, sentence: str) -> None:
        """Say something once."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            log.warning("%s", sentence)

    def _report_damage(self, decoder: Decoder, clock: Clock, decoded: int, corrupt: int) -> None:
        """Set `damaged` where frames are missing, unreadable or corrupt. Raises UserError where all are missing."""
        if decoded == 0:
            reason = f"it is damaged, made with an unknown codec, or larger than {LARGEST // 10**6} megapixels"
            raise UserError(f"Not one picture of {self.path} can be decoded: {reason}.")
        sentences = []
        reached = decoder.reached_s, decoder.any_reached_s, clock.longest_ns / NS
        is_avi = decoder.container.format.name == "avi"
        early = is_cut_avi(self.path, self.frame_count, decoded) if is_avi else self._extent.is_early(*reached)
        if early and not (clock.restarts or clock.leaps):  # after those the file's clock says nothing
            expected = f" of about {self.frame_count}" if self.frame_count else ""
            sentences.append(f"{self.path} ends early, cut short or damaged: {decoded}{expected} frames could be read.")
        if decoder.unreadable or corrupt:
            places = f"{decoder.unreadable} {'place' if decoder.unreadable == 1 else 'places'}"
            unreadable = f"{places} could not be read"
            flagged = f"{corrupt} of {decoded} frames came out damaged"
            found = " and ".join([unreadable] * bool(decoder.unreadable) + [flagged] * bool(corrupt))
            sentences.append(f"{self.path} is damaged inside: {found}.")
        if sentences:
            self.damaged = " ".join(sentences)
            log.warning("%s", self.damaged)
