"""What one client is sent in a room in a store: the same, but not beyond what is still unknown.

A client that is spared its own records is sent nothing that could stand behind one of them before
the store has answered where that stands; and where its own stand may be known before they are here.
"""

from __future__ import annotations

from duplex.delivery import Delivery
from duplex.sealed import Sealed


class Held(Delivery):
    """`hold` is the offset before which none of what is said and not answered can stand."""

    hold: int | None = None

    @property
    def only_follows(self) -> bool:
        return self.hold is None and super().only_follows

    @property
    def _end(self) -> int:
        watermark = self._page.watermark
        if self.hold is None or self.echo:
            return watermark
        return min(watermark, max(self.hold, self.offset))  # own records before may be left out

    def _skip_own(self) -> None:
        watermark = self._page.watermark
        while self._own and self._own[0][0] <= self.offset:
            start, end = self._own.popleft()
            self.offset = max(self.offset, min(end, watermark))
            if end > watermark:
                self._own.appendleft((max(start, self.offset), end))
                return


class HeldSealed(Held, Sealed):
    """On a protected channel."""
