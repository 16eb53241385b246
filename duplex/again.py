"""Connecting again: the same address, after a while, a longer one each time it was in vain.

Runs in the child of a talk whose connection was lost; its parent may have an event loop running,
and forks no more. Knows nothing of what is said on a connection.
"""

from __future__ import annotations

import time

from duplex import handshake, tcp
from duplex.errors import UnableToConnect
from duplex.process import Interrupted, wait
from duplex.wire import HandshakeError, WrongCode, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from duplex.protection import Protection
    from duplex.receiving import Report
    from duplex.wire import Channel

BACKOFF, BACKOFF_LIMIT = 0.1, 5.0  # s before the first attempt, doubled up to the limit
GUESSES = 3  # that somebody in between may have had, before nobody is called any more
FORGOTTEN = 3600.0  # s after which one is: connections are also lost without anybody's doing


class Again:
    """One side's way back to an address. `timeout` is what each of its addresses gets, in s."""

    def __init__(self, host: str, port: int, timeout: float, protection: Protection) -> None:
        self._host = host
        self._port = port
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

        from duplex.receiving import Stopped

        while True:
            # Not all who lost the same room at the same instant come back at the same instant.
            if wait(report.stops, self._delay * random.uniform(0.5, 1)):
                raise Stopped
            self._delay = min(self._delay * 2, BACKOFF_LIMIT)
            try:
                sock = tcp.connect(self._host, self._port, self._timeout, report.signals)
            except UnableToConnect:
                continue
            except Interrupted:
                raise Stopped from None
            tcp.prepare(sock)
            try:
                return sock, self._channel(sock, report)
            except handshake.Stopped:
                sock.close()
                raise Stopped from None
            except WrongCode:
                raise
            except HandshakeError:
                sock.close()
                if len(self._exposed) >= GUESSES:
                    raise

    def succeeded(self) -> None:
        """The connection has proved to be what it should: the next loss starts anew."""
        self._delay = BACKOFF

    def _channel(self, sock: socket.socket, report: Report) -> Channel:
        shaken = self._protection.call()
        if shaken is None:
            return plain.channel()
        try:
            return handshake.shake(sock, shaken, report.stops)
        finally:
            if shaken.exposed:
                now = time.monotonic()
                self._exposed = [at for at in self._exposed if now - at < FORGOTTEN] + [now]
