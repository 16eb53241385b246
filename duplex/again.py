"""Connecting again: the same address, after a while, a longer one each time it was in vain.

Runs in the child of a talk whose connection was lost; its parent may have an event loop running,
and forks no more. Knows nothing of what is said on a connection.
"""

from __future__ import annotations

from duplex import tcp
from duplex.errors import UnableToConnect
from duplex.process import Interrupted, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from duplex.receiving import Report

BACKOFF, BACKOFF_LIMIT = 0.1, 5.0  # s before the first attempt, doubled up to the limit


class Again:
    """One side's way back to an address. `timeout` is what each of its addresses gets, in s."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._host = host
        self._port = port
        self._timeout = timeout
        self._delay = BACKOFF

    def connect(self, report: Report) -> socket.socket:
        """A new connection, however long it takes. Raises Stopped when told to end meanwhile."""
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
            return sock

    def succeeded(self) -> None:
        """The connection has proved to be what it should: the next loss starts anew."""
        self._delay = BACKOFF
