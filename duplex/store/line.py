"""A line: the hub's end of its connection to the writer, or to the replicator.

The server has made the helper's socket listen before its first fork (system/local.py), and keeps
it: so whichever of the three is killed, the next one finds the others. When the helper has ended
the hub dials the next one. Part of the hub; never waits.
"""

from __future__ import annotations

import select

from duplex.system import local

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from duplex.room.ports import Hub

LIMIT = 208 * 1024  # bytes of a datagram: as much as the kernel takes unless it is told otherwise
BACKLOG = 8  # hubs that were killed before they were taken
AGAIN = 0.1  # s until a helper is dialled again that could not be
_AT_ONCE = 64  # datagrams taken in a turn


class Line:
    """`begun` is called when there is a connection, `heard` for each datagram, `go_on` when more
    may be sent."""

    def __init__(
        self,
        hub: Hub,
        address: str,
        *,
        begun: Callable[[], None],
        heard: Callable[[bytes], None],
        go_on: Callable[[], None],
    ) -> None:
        self._hub = hub
        self._address = address
        self._begun, self._heard, self._go_on = begun, heard, go_on
        self._mask = 0
        self._sock: socket.socket | None = None

    def dial(self) -> None:
        try:
            self._sock = local.dial(self._address)
        except OSError:  # many have been killed, and the helper stands still: it is killed, too
            self._hub.loop.after(AGAIN, self.dial)
            return
        self._want(select.EPOLLIN)
        self._begun()

    def send(self, message: bytes) -> bool:
        """Whether it was taken; what was not may be after `go_on` or `begun`."""
        if self._sock is None:
            return False
        try:
            self._sock.send(message)
        except BlockingIOError:
            self._want(select.EPOLLIN | select.EPOLLOUT)
            return False
        except OSError:
            return False  # the helper is gone, which is read soon
        return True

    def hear(self) -> None:
        """Take what there is, and go on with the next helper if this one has ended."""
        for _ in range(_AT_ONCE):
            if self._sock is None:
                return
            try:
                message = self._sock.recv(LIMIT)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if message:
                self._heard(message)
            else:
                self._hub.loop.unwatch(self._sock.fileno())
                self._sock.close()
                self._sock, self._mask = None, 0
                self.dial()

    def _on_ready(self) -> None:
        self.hear()
        if self._mask & select.EPOLLOUT:
            self._want(select.EPOLLIN)
            self._go_on()

    def _want(self, mask: int) -> None:
        if self._sock and mask != self._mask:
            self._mask = mask
            self._hub.loop.watch(self._sock.fileno(), self._on_ready, mask)
