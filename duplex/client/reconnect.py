"""Connecting again: the next host of a room, or the same if it has one, after a while, a longer
one each time that all were tried in vain.

Runs in the child of a talk whose connection was lost; its parent may have an event loop running,
and forks no more. Knows nothing of what is said on a connection.
"""

from __future__ import annotations

import time

from duplex.channel import handshake
from duplex.channel.base import HandshakeError, WrongCode
from duplex.system import tcp
from duplex.system.errors import UnableToConnect
from duplex.system.process import Interrupted, wait
from duplex.talk.report import Report, Stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from duplex.channel.base import Channel
    from duplex.channel.protection import Protection
    from duplex.system.target import Target

BACKOFF, BACKOFF_LIMIT = 0.1, 5.0  # s before the first attempt, doubled up to the limit
GUESSES = 3  # that somebody in between may have had, before nobody is called any more
FORGOTTEN = 3600.0  # s after which one is: connections are also lost without anybody's doing


class Reconnect:
    """One side's way back. `timeout` is what each address of a host gets, in s."""

    def __init__(self, hosts: list[Target], timeout: float, protection: Protection) -> None:
        """The first of the hosts is the one whose connection is there."""
        self._hosts = hosts
        self._at = 0  # which of them was tried last
        self._tried = 0  # in vain, since the wait was last doubled
        self._timeout = timeout
        self._protection = protection
        self._delay = BACKOFF
        self._exposed: list[float] = []  # when somebody may have used a handshake for a guess

    def connect(self, report: Report) -> tuple[socket.socket, Channel]:
        """A new connection and its channel, however long it takes.

        Raises Stopped when told to end meanwhile, and HandshakeError if who answers does not know
        the code, or breaks off GUESSES times where a guess at it could be made.
        """
        import random  # heavy, and nothing that a start has to wait for

        while True:
            # Not all who lost the same room at the same instant come back at the same instant.
            if wait(report.stops, self._delay * random.uniform(0.5, 1)):
                raise Stopped
            self._at = (self._at + 1) % len(self._hosts)
            self._tried += 1
            if self._tried % len(self._hosts) == 0:
                self._delay = min(self._delay * 2, BACKOFF_LIMIT)
            host = self._hosts[self._at]
            self._protection.calls(host.host)
            try:
                sock, _ = tcp.connect(host.host, host.port, self._timeout, report.signals)
            except (UnableToConnect, OSError):  # or no descriptor is free: it is tried again
                continue
            except Interrupted:
                raise Stopped from None
            try:
                return sock, self._channel(sock, report)
            except handshake.Stopped:
                sock.close()
                raise Stopped from None
            except HandshakeError as error:
                sock.close()
                if isinstance(error, WrongCode) or len(self._exposed) >= GUESSES:
                    raise

    def succeeded(self) -> None:
        """The connection has proved to be what it should: the next loss starts anew."""
        self._delay = BACKOFF
        self._tried = 0

    def _channel(self, sock: socket.socket, report: Report) -> Channel:
        shaken = self._protection.call()
        try:
            return handshake.shake(sock, shaken, report.stops)
        finally:
            if shaken and shaken.exposed:
                now = time.monotonic()
                self._exposed = [at for at in self._exposed if now - at < FORGOTTEN] + [now]
