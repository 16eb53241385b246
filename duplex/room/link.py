"""The link: how the server and its hub speak, a note at a time (protocol/requests.py).

Both ends. Neither waits: notes that the other does not take yet are kept, with the descriptors that
go along. The server has a new pair for each hub; what could not be said to one is said to the next.
"""

from __future__ import annotations

import os
import socket
from collections import deque

from duplex.protocol import requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Notes:
    """One end. `fileno` is readable when `hear` has something; -1 when the other end is gone."""

    def __init__(self, sock: socket.socket | None = None) -> None:
        self._sock = sock
        if sock:
            sock.setblocking(False)
        self._waiting: deque[tuple[bytes, int]] = deque()  # a note and a descriptor, or -1

    def fileno(self) -> int:
        return self._sock.fileno() if self._sock else -1

    @property
    def waits(self) -> bool:
        """Whether there is something that the other does not take yet."""
        return bool(self._waiting)

    def tell(self, kind: bytes, number: int = 0, *words: str, fd: int = -1) -> None:
        """A note about a seat, and with it a descriptor, which is closed here."""
        self._waiting.append((requests.note(kind, number, *words), fd))
        self.flush()

    def flush(self) -> None:
        """Say what waits, as far as it is taken."""
        try:
            while self._waiting and self._sock:
                data, fd = self._waiting[0]
                if fd >= 0:
                    socket.send_fds(self._sock, [data], [fd])
                    os.close(fd)
                else:
                    self._sock.send(data)
                self._waiting.popleft()
        except OSError:
            return  # it takes no more now, or has ended: that is told by `hear`

    def hear(self) -> Iterator[tuple[bytes, int, list[str], int]]:
        """What the other has said: kind, seat, words, and a descriptor or -1."""
        while self._sock:
            try:
                data, fds, _, _ = socket.recv_fds(self._sock, requests.LIMIT, 1)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                self._sock.close()
                self._sock = None
                return
            yield (*requests.read_note(data), fds[0] if fds else -1)


class Link(Notes):
    """The server's end. Call `renew` before the fork of a hub, and `part` after it."""

    hubs: socket.socket  # the end that the hub has
    _next: socket.socket  # our end, once there is that hub

    def renew(self) -> None:
        """For a hub that may come to nothing: nothing is said before `part`."""
        if self._sock:
            self._sock.close()
        self._sock = None
        self._next, self.hubs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._next.setblocking(False)

    def part(self) -> None:
        """In the server: the hub's end is the hub's alone."""
        self.hubs.close()
        self._sock = self._next

    def holds(self, number: int) -> bool:
        """Whether no hub has heard of that member yet."""
        arrived = requests.note(requests.ARRIVED, number)
        return any(data.startswith(arrived) for data, _ in self._waiting)

    def tell_first(self, kind: bytes, *words: str) -> None:
        """Before all that waits: to a new hub."""
        self._waiting.appendleft((requests.note(kind, 0, *words), -1))
