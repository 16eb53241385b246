"""A peer that has shut its half of the connection: has it left, or does it only say no more?

The parent asks, where a person sits and might still have something to say; pipes do not ask.

TCP tells neither: the FIN is the same. So one byte is sent as urgent data. A host where nobody has
the connection open any more answers data with a reset (RFC 1122, 4.2.2.13). A program that has it
open does not see the byte, because urgent data are not part of the stream unless it wants them
there (SO_OOBINLINE: telnet, which ends with its peer's half, and duplex, which lets go of that
before it shuts its own). When such a program ends with the byte unread, its kernel sends the reset
then; duplex, whose receiver sees that it is asked, has it sent in any case. A proxy in between
swallows the byte: then the peer seems to be there until something is said to it.

Knows the sockets' options for that, and nothing of what is said.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress

from duplex.system.tcp import is_closed, is_tcp, round_trip

GRACE, ROUND_TRIPS = 0.3, 4  # s, and round trips besides, for the reset to come
_BYTE = b"\0"  # shows as nothing where something on the way makes it a part of the stream
_ABORT = struct.pack("ii", 1, 0)  # struct linger: a close sends a reset, socket(7)


class HalfClosed:
    """The connection of such a peer."""

    def __init__(self, sock: socket.socket) -> None:
        self.told = False  # the user knows that it says no more
        self._sock = sock
        self._until = time.monotonic() + GRACE + ROUND_TRIPS * round_trip(sock)
        self._asked = False
        with suppress(OSError):  # it has gone, or takes nothing: then what is said will tell
            self._asked = is_tcp(sock) and sock.send(_BYTE, socket.MSG_OOB) == 1

    @property
    def left(self) -> bool:
        return is_closed(self._sock)

    @property
    def seconds(self) -> float | None:
        """Until it is taken to be there; None once the user knows."""
        return None if self.told else max(0.0, self._until - time.monotonic())

    def lost(self, under_way: int) -> int:
        """How many of the bytes under way were something said."""
        asking = self._asked and not self.told  # by then the byte has been acknowledged
        return max(0, under_way - asking)


def shut(sock: socket.socket) -> None:
    """Say that nothing more is sent. A peer that asks whether somebody is still here is not seen.

    Raises OSError.
    """
    if is_tcp(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 0)
    sock.shutdown(socket.SHUT_WR)


def abort(sock: socket.socket) -> None:
    """Have the close that follows tell the peer that nobody is here any more."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
