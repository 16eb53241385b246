"""The pace: how fast one source may come and go, over and over.

How many are here from a source has a limit of its own; this one is for connections that end at
once, each of which costs the room a process, and its refusal much less than one. A source may come
a number of times at once and then at a rate (a token bucket, kept as the moment at which it is full
again). What is remembered is bounded: the oldest goes first. Knows nothing of what a source is.
"""

from __future__ import annotations

import time
from collections import OrderedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

REMEMBERED = 10_000  # sources


class Pace:
    """`burst` at once, and `rate` a second."""

    def __init__(
        self, burst: float, rate: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._each = 1 / rate if rate else 0.0  # s
        self._most = burst * self._each  # s
        self._clock = clock
        self.full_at: OrderedDict[str, float] = OrderedDict()  # who is not in it is not too fast

    def is_too_fast(self, source: str) -> bool:
        """Whether it has to wait before it comes again."""
        full_at = self.full_at.get(source)
        return full_at is not None and full_at - self._clock() > self._most - self._each

    def gone(self, source: str) -> None:
        """It has come, and gone."""
        self.full_at[source] = max(self.full_at.get(source, 0.0), self._clock()) + self._each
        self.full_at.move_to_end(source)
        if len(self.full_at) > REMEMBERED:
            self.full_at.popitem(last=False)
