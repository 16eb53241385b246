"""The bell: one eventfd that every process of a room inherits; a ring wakes all who listen.

A ring means "the transcript may have grown". Nobody ever reads the eventfd: each listens with
EPOLLET in an epoll of its own, and every write is a new edge for every one of them. Rings coalesce:
who is busy meanwhile is woken once. The wake-up budget stands here, too, because it is the price of
a ring. Knows nothing of what a ring is about.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.room.page import Page

# Every ring wakes every member, so N joins, each announced, would cost N x N wake-ups, and the
# host would starve. So all members together spend at most this many a second:
WAKE_UPS = 12_000  # measured on 2 cores; with 25,000 4,000 joins took 2.7 times as long
SAVED = 20  # rings that a member has saved up at most: a short exchange goes out at once


class Bell:
    """Made by the host before its first fork."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def close(self) -> None:
        os.close(self.fd)

    def ring(self) -> None:
        # Cannot block: the counter would have to reach 2^64 - 1 first.
        os.eventfd_write(self.fd, 1)


class Budget:
    """What one member may still spend on being woken by rings."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.paid_until = 0.0  # monotonic; the future means debt

    def spend(self) -> None:
        """One ring has been served. Delivery.tail does the same without a call."""
        price = self._page.members / WAKE_UPS
        now = time.monotonic()
        self.paid_until = max(self.paid_until, now - SAVED * price) + price

    def debt(self) -> float:
        """Seconds not to listen to the bell for."""
        return self.paid_until - time.monotonic()
