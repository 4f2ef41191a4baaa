"""A jump of the person from one frame to the next, further than bodies move: a cut between two takes of one scene."""

from __future__ import annotations

from collections import deque

import numpy as np

from lvd_live.lift.lifter import EXCHANGED

_BODY = slice(11, 33)  # landmarks below the head
_SHOULDERS, _HIPS = [11, 12], [23, 24]
_LEAST = 0.4  # of the torso's length: half of the landmarks moved further
_PER_SECOND = 10.0  # torso lengths: about 5 m/s
_TIMES_USUAL = 3.0  # and so many times as far as they did lately: a camera that pans, or a runner, does so all the time
_LOOK_BACK = 8  # frames
_LEAST_TORSO = 0.15  # of the body's extent in the picture: one seen from above looks shorter


class JumpFinder:
    """Tells, frame after frame, whether the person jumped: ask `is_jump` with each in turn; `reset` where nobody is."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last frames."""
        self._last: tuple[np.ndarray, int] | None = None
        self._recent: deque[float] = deque(maxlen=_LOOK_BACK)

    def is_jump(self, landmarks: np.ndarray, timestamp_ns: int) -> bool:
        """Whether the person cannot have moved so far since the last call. landmarks : (33, 3), picture pixels."""
        last, self._last = self._last, (landmarks[:, :2].astype(float), timestamp_ns)
        if last is None:
            return False
        moved, seconds = _moved(last[0], self._last[0]), (timestamp_ns - last[1]) / 1e9
        usual = float(np.median(self._recent)) if self._recent else 0.0
        if moved > max(_LEAST, _PER_SECOND * seconds, _TIMES_USUAL * usual):
            self._recent.clear()
            return True
        self._recent.append(moved)
        return False


def _moved(before: np.ndarray, after: np.ndarray) -> float:
    """How far half of the landmarks (33, 2) moved at least, in lengths of the torso; left and right may be mistaken."""
    size = max(_torso(before), _torso(after))
    if not size > 0:  # NaN, too
        return 0.0
    ways = (np.linalg.norm(way[_BODY] - before[_BODY], axis=1) for way in (after, after[EXCHANGED]))
    return float(min(np.median(way) for way in ways) / size)


def _torso(points: np.ndarray) -> float:
    """The distance from the shoulders' middle to the hips', (33, 2) pixels, but not less than a share of the body."""
    length = float(np.linalg.norm(points[_SHOULDERS].mean(0) - points[_HIPS].mean(0)))
    return max(length, _LEAST_TORSO * float(np.linalg.norm(np.ptp(points[_BODY], axis=0))))
