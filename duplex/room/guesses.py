"""Guesses: wrong codes, and how long the source of one has to wait for its next.

A source waits 1 s after its first wrong code, then 2, 4, 8, and so on up to an hour, and is
forgotten when it has been free to try for an hour and has not erred. So in the long run it has
fewer than 8 guesses an hour, whatever it does: the most are had by 9 guesses in 511 s, and being
forgotten. Who has many sources has as many times that. What is remembered is bounded: the oldest
goes first. Knows nothing of what a source or a code is.
"""

from __future__ import annotations

import time
from collections import OrderedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FIRST, LONGEST = 1.0, 3600.0  # s to wait
FORGOTTEN = 3600.0  # s after the wait is over
REMEMBERED = 10_000  # sources: 3 MB of the server's memory


class Guesses:
    """`wrong` for each wrong code, and `seconds_to_wait` before the source may try again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # (how many, until when it waits), the source whose last is the oldest first
        self.of: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wrong(self, source: str) -> tuple[int, float]:
        """How many that makes from there, and the seconds that it waits from now on."""
        now, count = self._clock(), self.count(source) + 1
        # Of guesses made at once each adds its own. Beyond 2.0 ** 1023 there is no float.
        begin = now + self.seconds_to_wait(source)
        until = min(begin + FIRST * 2.0 ** min(count - 1, 32), now + LONGEST)
        self.of[source] = (count, until)
        self.of.move_to_end(source)
        if len(self.of) > REMEMBERED:
            self.of.popitem(last=False)
        return count, until - now

    def count(self, source: str) -> int:
        """Its wrong codes, as far as they are remembered."""
        count, until = self.of.get(source, (0, 0.0))
        if count and self._clock() >= until + FORGOTTEN:
            del self.of[source]
            return 0
        return count

    def seconds_to_wait(self, source: str) -> float:
        """Until it may try again; 0 for now."""
        return max(0.0, self.of.get(source, (0, 0.0))[1] - self._clock())
