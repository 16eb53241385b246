"""The rehearsal: the host plays a member's life a few times, before it forks the first.

CPython writes to what it runs: it counts a function's first calls and then specializes its code,
and it fills caches. A forked member would do all that again, to pages of its own; what the host has
done before the fork is shared by all, and the member's first line is as quick as its last. Measured
with 1,000 members: see docs/performance.md. Nothing of it is seen by anybody: the page, the roster
and the transcript are other ones, in memory, and the client is a pair of sockets.
"""

from __future__ import annotations

import copy
import os
import socket

from duplex.bell import Bell
from duplex.member import Member
from duplex.page import Page
from duplex.roster import Roster
from duplex.transcript import Transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.room import Room

TIMES = 20  # CPython 3.11 specializes after 8 calls, and settles after as many again
_LINES = b"hello\nand so on\n"


def rehearse(room: Room) -> None:
    """Play the members of a room like this one."""
    fd = os.memfd_create("duplex-rehearsal")
    transcript = Transcript.open(f"/proc/self/fd/{fd}")
    os.close(fd)
    stage = copy.copy(room)
    stage.page = Page.make(2)
    stage.roster = Roster("rehearsal", stage.page)
    stage.bell = Bell()
    stage.on_screen = True  # so that nothing is told
    try:
        for number in range(TIMES):
            _play(stage, transcript, number)
    finally:
        stage.roster.remove()
        transcript.close()
        stage.page.close()
        stage.bell.close()


def _play(stage: Room, transcript: Transcript, number: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.sendall((b"" if number % 2 else b"/join ann\n") + _LINES)
        theirs.shutdown(socket.SHUT_WR)
        seat = stage.page.seat(0)
        seat.take("127.0.0.1:40000")
        member = Member(stage, transcript, ours, seat, number)
        member.run()
        member.close()
        for nick in seat.nicks:
            stage.roster.free(nick)
        seat.clear()
