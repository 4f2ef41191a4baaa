"""What is left out, step by step, where a machine cannot keep up with its camera, and taken back where it can."""

from __future__ import annotations

BUDGET_MS = 100.0  # from a picture's capture to its fit
ORDER = ("uncertainty", "outline", "3D view", "person finder")
"""In the order in which they are left out: of the 3D view most drawings, of the person finder every other frame."""

JUDGED = 5  # results whose median counts
OVER_S, UNDER_S = 0.5, 3.0  # for so long over the budget, or well under it, before anything changes
WELL_UNDER = 0.7  # of the budget
REGRET_S = 10.0  # what is left out again so soon should not have been taken back: the next attempt waits twice as long
LONGEST_S = 60.0
GAP_S = 5.0  # without a result, as where it was paused or nobody was there: judged anew


class Budget:
    """Decides by the latency of results what is left out. Deterministic: it has no clock of its own.

    budget_ms : infinite for none. level : how many of ORDER are left out.
    """

    def __init__(self, budget_ms: float = BUDGET_MS):
        self.budget_ms, self.level = budget_ms, 0
        self._recent: list[float] = []  # latencies since the last change
        self._waits = UNDER_S
        self._restored_at = self._noted_at = float("-inf")
        self._begin(0.0)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of ORDER."""
        return ORDER[: self.level]

    def note(self, latency_ms: float, now_s: float) -> None:
        """A result that took `latency_ms` was done at `now_s`, seconds of a clock that does not go back."""
        if now_s - self._noted_at > GAP_S:
            self._begin(now_s)
        self._noted_at = now_s
        self._recent = [*self._recent[1 - JUDGED :], latency_ms]
        if len(self._recent) < JUDGED:
            self._over_since = self._under_since = now_s
            return
        typical = sorted(self._recent)[JUDGED // 2]
        if typical <= self.budget_ms:
            self._over_since = now_s
        if typical > WELL_UNDER * self.budget_ms:
            self._under_since = now_s
        if now_s - self._over_since >= OVER_S and self.level < len(ORDER):
            regretted = now_s - self._restored_at < REGRET_S
            self._waits = min(2 * self._waits, LONGEST_S) if regretted else UNDER_S
            self.level += 1
            self._begin(now_s)
        elif now_s - self._under_since >= self._waits and self.level:
            self.level -= 1
            self._restored_at = now_s
            self._begin(now_s)

    def _begin(self, now_s: float) -> None:
        """Judge what comes from now on alone."""
        self._recent = []
        self._over_since = self._under_since = now_s
