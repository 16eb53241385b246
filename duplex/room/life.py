"""The life of a member's process, from the fork to its end: what is around serving its client.

It lets go of what is the server's, proves that it serves whom it may (the handshake), and is a
Member then. What it lacks for that its client is told, and the server, by a status of its own. Runs
in the forked process alone.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from duplex.channel.base import HandshakeError, WrongCode
from duplex.channel.handshake import shake_hands
from duplex.protocol import refusals, requests
from duplex.room.member import Member
from duplex.room.reception import want
from duplex.system import tcp
from duplex.system.errors import EXIT_OK
from duplex.system.process import EXIT_UNSERVED, EXIT_WRONG_CODE, close_kept_open

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.channel.base import Channel
    from duplex.channel.protection import Protection

NICE = 5  # so that the server and the hub go on in time
LACKS = (OSError, MemoryError)  # how it is told that something is wanting


class Life:
    """`run` is all that the process does."""

    def __init__(
        self,
        pair: socket.socket,
        sock: socket.socket,
        protection: Protection,
        harden: Callable[[], None],
        *,
        operator: bool,
    ) -> None:
        self._pair = pair
        self._sock = sock
        self._protection = protection
        self._harden = harden
        self._operator = operator
        self._channel: Channel | None = None  # a plain client has none, as one before its handshake

    def run(self, become: Callable[[], None]) -> int:
        """`become` lets go of all but what a member has."""
        try:
            become()
            close_kept_open()
            os.nice(NICE)
            self._pair.setblocking(False)
            if not self._operator and (status := self._shake_hands()) is not None:
                return status
            Member(self._pair, self._sock, self._channel, operator=self._operator).run()
        except LACKS as error:
            self._tell(error)
            return EXIT_UNSERVED
        return EXIT_OK

    def _shake_hands(self) -> int | None:
        """The exit status if it may not come in: it has been told why, and nobody has seen it."""
        try:
            tcp.prepare(self._sock)
        except OSError:
            return EXIT_OK  # it has only looked whether somebody is there, and is gone
        self._harden()
        try:
            self._channel = shake_hands(self._sock, self._protection)
        except WrongCode:
            return EXIT_WRONG_CODE
        except HandshakeError:
            return EXIT_OK
        return None

    def _tell(self, error: Exception) -> None:
        """One line, which does not wait; and the hub, which tells the operator."""
        reason = "connection lost" if isinstance(error, ConnectionError) else want(error)
        line = f"! {refusals.unserved(reason)}\n".encode()
        with suppress(OSError):
            self._pair.send(requests.request(requests.LEAVE, 0, requests.UNSERVED, reason))
        with suppress(OSError):
            self._sock.setblocking(False)
            self._sock.send(self._channel.sender.send(line) if self._channel else line)
            self._sock.shutdown(socket.SHUT_WR)
