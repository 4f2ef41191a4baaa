"""When to look for the next person, so that the fit need not wait and the picture is no older than it must be.

While a frame is fitted, the person is found in the next one. Begun at once, and found long before the fit is free, that
picture would lie there and grow old: the latency would be two fits', however quick the finder is. So the finder waits,
and takes the newest picture when there is just time enough.
"""

from __future__ import annotations

SHARE = 0.85  # of the time that a fit is expected to take: a fit that is done sooner must not wait
FOLLOWS = 0.2  # of the difference to the last one, in which an expectation moves


class Lead:
    """Expects what finding and fitting take from the last ones. Deterministic: it has no clock of its own."""

    def __init__(self) -> None:
        self._find_s: float | None = None
        self._fit_s: float | None = None

    def found(self, seconds: float) -> None:
        """Finding a person took so long."""
        self._find_s = _moved(self._find_s, seconds)

    def fitted(self, seconds: float) -> None:
        """A fit, and what is done with it, took so long."""
        self._fit_s = _moved(self._fit_s, seconds)

    @property
    def wait_s(self) -> float:
        """Seconds to wait before looking, from when a fit begins; 0 until both are known."""
        if self._find_s is None or self._fit_s is None:
            return 0.0
        return max(0.0, SHARE * self._fit_s - self._find_s)


def _moved(expected: float | None, seconds: float) -> float:
    return seconds if expected is None else expected + FOLLOWS * (seconds - expected)
