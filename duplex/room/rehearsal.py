"""The rehearsal: the server plays a member's life a few times, before it forks the first.

CPython writes to what it runs: it counts a function's first calls and then specializes its code,
and it fills caches. A forked member would do all that again, to pages of its own; what the server
has done before the fork is shared by all, and the member's first line is as quick as its last.
Measured: docs/performance.md. Nothing of it is seen by anybody: the hub is played here, and the
client is on a connection to ourselves.
"""

from __future__ import annotations

import os
import socket

from duplex.channel import plain
from duplex.channel.handshake import glance
from duplex.protocol import requests
from duplex.room.member import Member
from duplex.system import tcp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.base import Channel
    from duplex.channel.protection import Protection

TIMES = 20  # CPython 3.11 specializes after 8 calls, and settles after as many again
TIMES_PROTECTED = 8  # each takes both sides of a handshake, and a room is to open soon
_HERE = "127.0.0.1"
_LINES = b"hello\nand so on\n"


def rehearse(protection: Protection) -> None:
    """Play the members of a room that is so protected."""
    with socket.create_server((_HERE, 0)) as server:
        for number in range(TIMES_PROTECTED if protection.is_on else TIMES):
            _play(protection, server, number)


def _play(protection: Protection, server: socket.socket, number: int) -> None:
    client = socket.create_connection(server.getsockname())
    sock, _ = server.accept()
    hub, pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel, callers = _shake(protection)
    with client, sock, hub, pair:
        sock.getpeername()
        tcp.prepare(sock)
        pair.setblocking(False)
        client.settimeout(1)
        os.nice(0)
        if protection.is_open:
            channel = glance(sock, channel or plain.channel())
        member = Member(pair, sock, channel, operator=False)
        member.begin()
        _answer(hub, requests.reply(requests.OK, "guest-1"), member)
        lines = (b"" if number % 2 else b"/join ann\n") + _LINES
        client.sendall(callers.sender.send(lines) if callers else lines)
        member.turn()
        _answer(hub, requests.reply(requests.IN, "ann"), member)
        _answer(hub, requests.reply(requests.OK), member)
        client.sendall(callers.sender.send(_LINES) if callers else _LINES)
        member.turn()
        _answer(hub, requests.reply(requests.OK), member)
        client.shutdown(socket.SHUT_WR)
        member.turn()
        client.close()
        member.end()


def _answer(hub: socket.socket, reply: bytes, member: Member) -> None:
    """What a member has asked, if it has by now."""
    hub.setblocking(False)
    try:
        _, fds, _, _ = socket.recv_fds(hub, requests.LIMIT, 1)
    except BlockingIOError:
        return
    for fd in fds:
        os.close(fd)
    hub.send(reply)
    member.turn()


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
