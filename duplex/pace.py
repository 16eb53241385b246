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
        self._each = 1 / rate  # s
        self._most = burst / rate  # s
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def is_too_fast(self, source: str) -> bool:
        """Whether it has to wait before it comes again."""
        return self._full_at.get(source, 0.0) - self._clock() > self._most - self._each

    def come(self, source: str) -> None:
        """It has."""
        self._full_at[source] = max(self._full_at.get(source, 0.0), self._clock()) + self._each
        self._full_at.move_to_end(source)
        if len(self._full_at) > REMEMBERED:
            self._full_at.popitem(last=False)
