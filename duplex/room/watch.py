"""The watch: which of the host's processes stands still with what others wait for.

A member that is stopped (SIGSTOP, a frozen cgroup) while it holds the transcript's lock stops
everybody who says something; a helper that is stopped stops what it helps with. Such a process is
killed: its end is its own, and what it has appended whole stands there. A member that stands still
with nothing in its hands is its own client's business, and one that the disk keeps waiting is not
waited for any less by killing it. Runs in the host; reaps nothing.
"""

from __future__ import annotations

import os
import signal
import time

from duplex.room import page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from duplex.room.page import Page

EVERY = 0.5  # s between two looks
HELD_TOO_LONG = 2.0  # s; less than a member waits for the lock (transcript.LOCK_WAIT)
STOPPED_TOO_LONG = 2.0  # s
REASON = "its process stood still"


class Watch:
    """`members` (their seats) and `helpers` (what they are) are those of the host, by process id.

    All of them are its children and not reaped, so a number that is there is nobody else's.
    """

    def __init__(
        self, page: Page, members: Mapping[int, tuple[int, str]], helpers: Mapping[int, str]
    ) -> None:
        self._page = page
        self._members = members
        self._helpers = helpers
        self._stopped: dict[int, float] = {}  # helpers, since when
        self._killed: set[int] = set()

    def stopped(self, pid: int) -> None:
        """A child was: the host has been told so. The screen may be, by whoever sits there."""
        if self._helpers.get(pid, "screen") != "screen":
            self._stopped[pid] = time.monotonic()

    def has_killed(self, pid: int) -> bool:
        """Asked once, when it is reaped."""
        self._stopped.pop(pid, None)
        killed = pid in self._killed
        self._killed.discard(pid)
        return killed

    def look(self, held_too_long: float = HELD_TOO_LONG) -> None:
        """Every so often."""
        pid = self._page.holder
        if pid and self._page.held_for > held_too_long and _state(pid) in "TtS":
            self._kill(pid)
        now = time.monotonic()
        for pid, since in list(self._stopped.items()):
            if _state(pid) not in "Tt":
                del self._stopped[pid]
            elif now - since > STOPPED_TOO_LONG:
                self._kill(pid)

    def end_screen(self) -> None:
        """The room closes, and a screen that its operator has suspended would not hear of it."""
        for pid, kind in self._helpers.items():
            if kind == "screen" and _state(pid) in "Tt":
                os.kill(pid, signal.SIGKILL)

    def _kill(self, pid: int) -> None:
        if pid in self._members:
            self._page.seat(self._members[pid][0]).end(page.LOST, REASON)
        elif pid not in self._helpers:
            return  # the holder of long ago, who was killed with it
        self._killed.add(pid)
        os.kill(pid, signal.SIGKILL)


def _state(pid: int) -> str:
    """T or t: stopped; S: sleeps, or is frozen; D: waits for a disk; R: will go on (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1].decode()
    except OSError:
        return "X"
