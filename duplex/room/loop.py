"""The hub's loop: one epoll, and what is to be called when something happens, or later.

Part of the hub; knows nothing of what waits. Descriptors are level-triggered (epoll(7)).
"""

from __future__ import annotations

import heapq
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = 256  # that epoll tells at once


class Loop:
    """`poll` once a turn, `call` for each event, then `run_timers`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[], None]] = {}  # by descriptor
        self._timers: list[tuple[float, int, Callable[[], None]]] = []  # monotonic
        self._made = 0  # timers so far

    def watch(self, fd: int, call: Callable[[], None], mask: int = select.EPOLLIN) -> None:
        """Call it in each turn in which one of that has happened to the descriptor."""
        if fd in self._calls:
            self._epoll.modify(fd, mask)
        else:
            self._epoll.register(fd, mask)
        self._calls[fd] = call

    def unwatch(self, fd: int) -> None:
        """Before it is closed: others may have the same open file."""
        if self._calls.pop(fd, None):
            self._epoll.unregister(fd)

    @property
    def watched(self) -> list[int]:
        """The descriptors that are."""
        return list(self._calls)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call it in a turn, once so many seconds are over."""
        self._made += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._made, call))

    def poll(self, seconds: float | None) -> list[tuple[int, int]]:
        """Wait for that long at most, or until a timer is due; what has happened."""
        if self._timers:
            due = max(0.0, self._timers[0][0] - time.monotonic())
            seconds = due if seconds is None else min(seconds, due)
        return self._epoll.poll(seconds, EVENTS)

    def call(self, fd: int) -> None:
        """What is to be, unless it is not watched any more."""
        if call := self._calls.get(fd):
            call()

    def run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
