"""The times of a video's frames, rising whatever the file's own clock does."""

from __future__ import annotations

from fractions import Fraction

NS = 1_000_000_000
_BACK_FRAMES = 3  # a clock that steps back by more than so many frames has restarted; by less, times are jumbled
_BACK_NS = NS // 10  # and by more than this
_DEFAULT_FPS = 30.0
LONGEST_NS = 3600 * NS  # a picture may stay for so long
LONGEST_BROADCAST_NS = 10 * NS  # and for so long in formats whose clock may leap: as players take it


class Clock:
    """Turns a file's timestamps into nanoseconds since its first frame, each later than the one before.

    Where the file's clock restarts (joined files, an encoder that was started again), or leaps forward by more than any
    pause, time goes on a usual frame after the last one, and later timestamps are shifted as much. A pause is kept.
    Frames without timestamps are a usual frame apart.

    fps : frames per second; None where it is unknown.
    longest_ns_allowed : a longer step forward is a leap.
    end_ns : when the stream ends by its own account, on the file's clock, or None: a step far beyond is a leap, too.
    start_ns : the first frame's own time in the file, nanoseconds.
    restarts, leaps : how often the file's clock stepped back, and leapt forward, so far.
    longest_ns : the longest step so far.
    """

    def __init__(self, fps: float | None, longest_ns_allowed: int = LONGEST_NS, end_ns: int | None = None):
        self._fps = fps or _DEFAULT_FPS
        self._usual_ns = round(NS / self._fps)
        self._leap_ns = max(longest_ns_allowed, _BACK_FRAMES * self._usual_ns)
        self._end_ns = None if end_ns is None else end_ns + max(LONGEST_BROADCAST_NS, _BACK_FRAMES * self._usual_ns)
        self.start_ns = self.longest_ns = self.restarts = self.leaps = self._count = self._offset_ns = 0
        self.last_ns = -1
        self._raw_ns: int | None = None  # of the last frame that had a timestamp

    def time_ns(self, pts: int | None, time_base: Fraction | None) -> int:
        """Nanoseconds since the first frame, of the next frame, whose timestamp is `pts` ticks of `time_base` s."""
        if pts is None or time_base is None:
            time_ns = self._without_timestamp()
        else:
            time_ns = self._with_timestamp(round(Fraction(pts) * time_base * NS))
        if self._count:
            time_ns = max(time_ns, self.last_ns + 1)
            self.longest_ns = max(self.longest_ns, time_ns - self.last_ns)
        self.last_ns = time_ns
        self._count += 1
        return time_ns

    def _without_timestamp(self) -> int:
        if self._raw_ns is None:
            return round(self._count * NS / self._fps)
        return self.last_ns + self._usual_ns

    def _with_timestamp(self, raw_ns: int) -> int:
        before, self._raw_ns = self._raw_ns, raw_ns
        if before is None:
            if not self._count:
                self.start_ns = raw_ns
                self._offset_ns = -raw_ns
            else:  # the first frames had no timestamps
                self._offset_ns = self.last_ns + self._usual_ns - raw_ns
            return raw_ns + self._offset_ns
        if before - raw_ns > max(_BACK_FRAMES * self._usual_ns, _BACK_NS):
            self.restarts += 1
            self._offset_ns = self.last_ns + self._usual_ns - raw_ns
        elif self._is_leap(before, raw_ns):
            self.leaps += 1
            self._offset_ns = self.last_ns + self._usual_ns - raw_ns
        time_ns = raw_ns + self._offset_ns
        if time_ns > self.last_ns:
            return time_ns
        return self.last_ns + (self._usual_ns if raw_ns == before else self._usual_ns // 2)

    def _is_leap(self, before_ns: int, raw_ns: int) -> bool:
        """Whether the file's clock goes further forward than a picture can have been shown."""
        if raw_ns - before_ns > self._leap_ns:
            return True
        return self._end_ns is not None and before_ns <= self._end_ns < raw_ns
