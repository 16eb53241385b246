"""The members of a server: who was forked for whom, who has to end by now, and who has ended.

Part of the server, which reaps. Knows processes by their ids, which stay theirs until they are
reaped, and clients by their addresses.
"""

from __future__ import annotations

import os
import signal
import time

from duplex.protocol import requests
from duplex.system.process import EXIT_WRONG_CODE, how_it_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.room.gate import Gate
    from duplex.room.link import Link
    from duplex.room.notices import Notices

END_AT_ONCE = 0.2  # s for one whose hub is gone
END = 1.5  # s for a member that is not heeded any more to end by itself


class Members:
    """By process id: those that there are."""

    def __init__(self, gate: Gate, link: Link, notices: Notices) -> None:
        self._gate = gate
        self._link = link
        self._notices = notices
        self._all: dict[int, tuple[int, str]] = {}  # pid: its number, where its client is
        self._pids: dict[int, int] = {}  # by number
        self._over: dict[int, float] = {}  # numbers of those that have to end, and when

    def __contains__(self, pid: int) -> bool:
        return pid in self._all

    def __len__(self) -> int:
        return len(self._all)

    def come(self, pid: int, number: int, ip: str) -> None:
        """One was forked."""
        self._all[pid] = (number, ip)
        self._pids[number] = pid
        self._gate.come(ip, number)

    def ended(self, pid: int, status: int) -> None:
        """One was reaped, with that wait status: the hub has to know."""
        number, ip = self._all.pop(pid)
        del self._pids[number]
        self._over.pop(number, None)
        self._gate.gone(ip, number)
        if os.waitstatus_to_exitcode(status) == EXIT_WRONG_CODE:
            self._notices.add("wrong code", self._gate.wrong_code(ip))
        self._link.tell(requests.ENDED, number, how_it_ended(status))

    def is_over(self, number: int) -> None:
        """The hub heeds it no longer: it has to end soon."""
        self._over[number] = time.monotonic() + END

    def seconds_to_wait(self) -> float | None:
        """Until `go_on` has to be called; None: not at all."""
        return max(0.0, min(self._over.values()) - time.monotonic()) if self._over else None

    def go_on(self) -> None:
        """Kill those that should have ended by now: they stand still."""
        now = time.monotonic()
        for number, at in list(self._over.items()):
            if now >= at:
                del self._over[number]
                if pid := self._pids.get(number):
                    os.kill(pid, signal.SIGKILL)

    def end_those_of_the_hub(self) -> None:
        """It has ended, and with it every connection of which it had heard: by themselves, or who
        stands still soon by us."""
        for number in self._pids:
            if not self._link.holds(number):
                self._over[number] = time.monotonic() + END_AT_ONCE

    def kill_all(self) -> None:
        for pid in self._all:
            os.kill(pid, signal.SIGKILL)
