"""The moment after the welcome, in which a client may say that it is more than a guest.

Runs in the member. Who says nothing special in that moment enters as a guest; `/numbers`, `/join`
and `/resume` (docs/protocol.md) are found among the lines that have come, and carried out before
the others. Who says them later is let in by the hub, as a command.
"""

from __future__ import annotations

import time

from duplex.channel.handshake import FIRST_LINE
from duplex.protocol import requests
from duplex.protocol.commands import NUMBERS, REQUESTS
from duplex.room.commands import resume
from duplex.system.tcp import round_trip

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Protocol

    class Member(Protocol):
        """What is seen of it here (member.py)."""

        sock: socket.socket
        operator: bool
        lines: bytes
        obeyed: set[int]
        over: bool

        @property
        def is_gone(self) -> bool: ...

        def ask(self, request: bytes) -> None: ...
        def leave(self) -> None: ...


# How long an answer to the welcome is waited for: a client far away needs its round trips, one on
# a busy machine some time to be woken.
MOMENT, ROUND_TRIPS = 0.5, 4  # s, and round trips besides
OPERATORS_MOMENT = 60.0  # s: it always asks, and has its screen to load before


class Join:
    """What a member does until its client is in."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._looked = 0  # bytes of what was heard, and lines
        self._lines = 0
        self._undecided = False
        self.deadline = float("inf")  # monotonic; until the welcome is there
        self._moment = 0.0  # what it was before a line was waited for

    def _next(self) -> bytes:
        """The next of its requests among what was heard; b"" if there is none.

        All lines stay in their places: what was carried out here is not carried out again.
        """
        heard = self._member.lines
        if heard.find(b"/", self._looked) < 0:
            return b""
        while (end := heard.find(b"\n", self._looked)) >= 0:
            line = heard[self._looked : end]
            self._looked, self._lines = end + 1, self._lines + 1
            if line == NUMBERS.encode() or line.startswith(REQUESTS):
                self._member.obeyed.add(self._lines)
                return line
        return b""

    def answered(self) -> None:
        """The welcome is there, or the client has been told why it is not resumed."""
        if self.deadline == float("inf"):
            moment = MOMENT + ROUND_TRIPS * round_trip(self._member.sock)
            if self._member.operator:
                moment = OPERATORS_MOMENT
            self.deadline = time.monotonic() + moment
            if self._undecided:
                self.wait_for_line(True)

    def go_on(self, now: float) -> None:
        """Ask for what it wants, or to enter as the guest that it is, if it is time to."""
        member = self._member
        command, _, rest = self._next().decode().partition(" ")
        if command == NUMBERS:
            member.ask(requests.request(requests.NUMBERS, 1))
        elif command:
            self.deadline = float("inf")
            if command == "/join":
                member.ask(requests.request(requests.JOIN, 0, rest.strip()))
            else:
                member.ask(resume(0, rest))
        elif member.is_gone or (member.over and member.lines.count(b"\n") == len(member.obeyed)):
            member.leave()  # it has only looked whether somebody is there
        elif member.over or now >= self.deadline:
            member.ask(requests.request(requests.ENTER))

    def wait_for_line(self, undecided: bool) -> None:
        """While what was said may be what no person says, nobody enters; but not for long."""
        self._undecided = undecided
        if self.deadline == float("inf"):
            return
        if undecided and not self._moment:
            self._moment = self.deadline
            self.deadline = max(self.deadline, time.monotonic() + FIRST_LINE)
        elif self._moment and not undecided:
            self.deadline, self._moment = self._moment, 0.0
