"""An even time grid over the tracked frames of a take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lvd_live.errors import UserError
from lvd_live.export.rate import DEFAULT_FPS, own_rate, resampled, tolerance
from lvd_live.export.take import Take

GAP = 0.5  # seconds: between frames that lie farther apart the person counts as not tracked
MOST_FRAMES = 1_000_000


@dataclass(frozen=True)
class TimeGrid:
    """F frames at even times, each between two of the T tracked frames of a take.

    fps : frames per second. times : (F,) float64 seconds from the first tracked frame.
    before, after : (F,) int64; the tracked frames on either side, 0 … T - 1. share : (F,) float64, 0 … 1; of `after`.
    tracked : (F,) bool; false where the take has a gap that is bridged.
    """

    take: Take
    fps: float
    times: np.ndarray
    before: np.ndarray
    after: np.ndarray
    share: np.ndarray
    tracked: np.ndarray

    @classmethod
    def over(cls, take: Take, rate: float | None) -> TimeGrid:
        """The grid of a take at `rate` frames per second, None: the take's own. Raises UserError for endless takes."""
        stamps = _clock(take, rate)
        clock = stamps - stamps[0]
        fps = float(rate or own_rate(take.sequence.fps, clock))
        near = tolerance(fps, take.sequence.fps, clock)
        count = np.floor(clock[-1] * fps + max(1e-3, near * fps)) + 1
        if not 0 < count <= MOST_FRAMES:
            hint = "too many frames to export; cut the take, or choose a lower --rate"
            raise UserError(f"The times in {take.name} span {clock[-1]:.0f} s, {hint}.")
        times = np.arange(int(count)) / fps
        after = np.clip(np.searchsorted(clock, times - near), 0, len(clock) - 1)
        exact = np.abs(clock[after] - times) < near
        before = np.where(exact, after, np.maximum(after - 1, 0))
        span = clock[after] - clock[before]
        share = np.where(span > 0, (times - clock[before]) / np.where(span > 0, span, 1), 0.0)
        usual = np.median(np.diff(stamps)) if len(stamps) > 1 else 0.0
        tracked = stamps[after] - stamps[before] <= max(GAP, 2.5 * usual)
        return cls(take, fps, times, before, after, np.clip(share, 0, 1), tracked)

    def __len__(self) -> int:
        return len(self.times)

    def mix(self, values: np.ndarray) -> np.ndarray:
        """Values (T, …) of the tracked frames, interpolated linearly on the grid: (F, …)."""
        share = self.share.reshape(-1, *[1] * (values.ndim - 1))
        return (1 - share) * values[self.before] + share * values[self.after]

    @cached_property
    def resampling(self) -> str:
        """A sentence where the take's frames were interpolated; empty where they are kept."""
        kept = (self.before == self.after) | (self.share <= 0) | (self.share >= 1)
        return resampled(self.fps, self.take.sequence.fps, _clock(self.take, self.fps), kept)

    @cached_property
    def gaps(self) -> str:
        """What was bridged or cut away, a sentence; empty if nothing."""
        parts = []
        frames, rows = len(self.take.sequence), np.flatnonzero(self.take.sequence.tracked)
        if lost := frames - len(rows):
            where = f"{rows[0]} before the first, {frames - 1 - rows[-1]} after the last"
            parts.append(f"{lost} of {frames} frames have no mesh ({where})")
        if not self.tracked.all():
            gaps = int(np.count_nonzero(np.diff(np.concatenate([[True], self.tracked]).astype(int)) == -1))
            seconds = np.count_nonzero(~self.tracked) / self.fps
            parts.append(
                f"{gaps} gap{'s' * (gaps > 1)}, {seconds:.1f} s in all, bridged in joints and marked as not tracked; "
                "meshes as tracked are left out there"
            )
        return "; ".join(parts).capitalize() + "." if parts else ""


def _clock(take: Take, rate: float | None) -> np.ndarray:
    """Seconds (T,) of the tracked frames, rising."""
    sequence = take.sequence
    rows = np.flatnonzero(sequence.tracked)
    if sequence.fps <= 0 and sequence.alone:  # pictures on their own: one frame each
        return rows / (rate or DEFAULT_FPS)
    seconds = (sequence.timestamps_ns[rows] - sequence.timestamps_ns[rows[0]]) / 1e9
    if (np.diff(seconds) > 0).all():
        return seconds
    return rows / (sequence.fps if sequence.fps > 0 else DEFAULT_FPS)
