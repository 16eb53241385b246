"""The rehearsal: the host plays a member's life a few times, before it forks the first.

CPython writes to what it runs: it counts a function's first calls and then specializes its code,
and it fills caches. A forked member would do all that again, to pages of its own; what the host has
done before the fork is shared by all, and the member's first line is as quick as its last. Measured
with 1,000 members: see docs/performance.md. Nothing of it is seen by anybody: the page, the roster
and the transcript are other ones, in memory; the client is on a connection to ourselves.
"""

from __future__ import annotations

import copy
import os
import socket

from duplex.channel import plain
from duplex.channel.handshake import glance
from duplex.room.bell import Bell
from duplex.room.member import Member
from duplex.room.page import Page
from duplex.room.rates import Rates
from duplex.room.roster import Roster
from duplex.system import tcp
from duplex.transcript.file import Transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.base import Channel
    from duplex.channel.protection import Protection
    from duplex.room.room import Room

TIMES = 20  # CPython 3.11 specializes after 8 calls, and settles after as many again
TIMES_PROTECTED = 8  # each takes both sides of a handshake, and a room is to open soon
_HERE = "127.0.0.1"
_LINES = b"hello\nand so on\n"


def rehearse(room: Room) -> None:
    """Play the members of a room like this one."""
    fd = os.memfd_create("duplex-rehearsal")
    transcript = Transcript.open(f"/proc/self/fd/{fd}")
    os.close(fd)
    stage = copy.copy(room)
    stage.transcript = transcript
    stage.page = Page.make(2)
    stage.roster = Roster(stage.page)
    stage.bell = Bell()
    stage.rates = Rates(1)
    stage.has_operator = True  # so that nothing is told
    try:
        with socket.create_server((_HERE, 0)) as server:
            for number in range(TIMES_PROTECTED if room.protected else TIMES):
                _play(stage, server, number)
    finally:
        transcript.close()
        stage.bell.close()


def _play(stage: Room, server: socket.socket, number: int) -> None:
    client = socket.create_connection(server.getsockname())
    sock, _ = server.accept()
    transcript = stage.transcript.reopen()
    channel, callers = _shake(stage.protection)
    channel = channel or plain.channel()
    with client, sock:
        lines = (b"" if number % 2 else b"/join ann\n") + _LINES
        client.sendall(callers.sender.send(lines) + callers.sender.end() if callers else lines)
        client.shutdown(socket.SHUT_WR)
        seat = stage.page.seat(0)
        seat.take(tcp.where(sock.getpeername()))
        tcp.prepare(sock)
        if stage.protection.is_open:
            glance(sock, channel)
        os.nice(0)
        member = Member(stage, transcript, sock, seat, number, channel=channel)
        member.run()
        member.close()
        seat.clear()
    transcript.close()


def _shake(protection: Protection) -> tuple[Channel | None, Channel | None]:
    """The channels of a member and of its client; None where they are plain."""
    ours, theirs = protection.answer(), protection.rehearse()
    if ours is None or theirs is None:
        return None, None
    to_us, to_them = theirs.start(), ours.start()
    while to_us or to_them:
        reply = theirs.feed(to_them) if to_them else b""
        to_us, to_them = b"", ours.feed(to_us + reply)
    return ours.channel, theirs.channel
