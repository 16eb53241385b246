"""How many lines a member may say just now: a token bucket, so that a paste goes through at once.

Who says more is slowed by not being read, never cut: TCP pushes back. Pure computation and a clock.
"""

from __future__ import annotations

import time


class Rate:
    """`lines` a second in the long run, `burst` at once; 0 lines: no limit."""

    def __init__(self, lines: float, burst: int) -> None:
        self.lines = lines
        self._burst = burst
        self._tokens = float(burst)
        self._at = time.monotonic()

    def allowed(self, wanted: int) -> int:
        """How many of the `wanted` lines may be said now."""
        if not self.lines:
            return wanted
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self.lines)
        self._at = now
        return min(wanted, int(self._tokens))

    def spend(self, count: int) -> None:
        self._tokens -= count

    def seconds_to_wait(self) -> float:
        """Until one more may be said; 0 with no limit."""
        return max(0.0, (1 - self._tokens) / self.lines) if self.lines else 0.0
