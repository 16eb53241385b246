"""What one client is sent in a room in a store: the same, but not beyond what is still unknown.

A client that is spared its own records, or is told of each, is sent nothing that could stand behind
one of them before the store has answered where that stands; and where its own stand may be known
before they are here.
"""

from __future__ import annotations

from duplex.room.delivery import Delivery
from duplex.room.sealed import Sealed


class Held(Delivery):
    """`hold` is the offset before which none of what is said and not answered can stand."""

    hold: int | None = None

    @property
    def only_follows(self) -> bool:
        return self.hold is None and super().only_follows

    @property
    def _end(self) -> int:
        watermark = self._page.watermark
        if self.hold is None or (self.echo and not self.numbered):
            return watermark
        return min(watermark, max(self.hold, self.offset))  # own records before may be left out

    def _go_past(self, start: int, end: int) -> bool:
        watermark = self._page.watermark
        self.offset = max(self.offset, min(end, watermark))
        if end > watermark:
            self._own.appendleft((max(start, self.offset), end, 0, 0))
        return end <= watermark


class HeldSealed(Held, Sealed):
    """On a protected channel."""
