"""Notices: what the operator is told of what others do to the room, never as fast as they do it.

Of each kind of notice the first is told at once, and then one a second at most, with the number of
those that were not: a flood of refused connections is not a flood on the operator's screen. Runs in
the server; knows nothing of what it tells, nor to whom.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = 1.0  # s between two of a kind


class Notices:
    """`tell` gets the lines. While any are `held`, call `go_on` after `seconds_to_wait`."""

    def __init__(
        self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._quiet_until: dict[str, float] = {}  # by kind, of which there are a few
        self.held: dict[str, tuple[int, str]] = {}  # how many, and the last of them

    def add(self, kind: str, text: str) -> None:
        """Tell it, now or soon, or count it."""
        now = self._clock()
        if now >= self._quiet_until.get(kind, now) and kind not in self.held:
            self._quiet_until[kind] = now + EVERY
            self._tell(text)
        else:
            self.held[kind] = (self.held.get(kind, (0, ""))[0] + 1, text)

    def seconds_to_wait(self) -> float:
        """Until the next of those that are held back, of which there are some."""
        return max(0.0, min(self._quiet_until[kind] for kind in self.held) - self._clock())

    def go_on(self) -> None:
        """Tell what has been held back for long enough."""
        now = self._clock()
        for kind in [kind for kind in self.held if self._quiet_until[kind] <= now]:
            count, text = self.held.pop(kind)
            self._quiet_until[kind] = now + EVERY
            self._tell(text if count == 1 else f"{text} (and {count - 1} more)")
