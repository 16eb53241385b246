"""A mailbox: where one process of a room takes letters from the others, in their order of arrival.

Made by its reader, and found by its number, which stands in the reader's seat (page.py); `post` is
all that a writer does. A letter is one connection (system/local.py), so both know whose the other
is: what another user writes is thrown away, and a letter is given to no other user's process,
whoever has the name by now. Nobody waits: a mailbox whose reader does not read fills, and says so.
"""

from __future__ import annotations

import os
import select

from duplex.system import local

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

LIMIT = 128 * 1024  # bytes of one letter: a line and its sender
WAITING = 10  # letters that wait to be read, as many as the kernel lets datagrams wait
_BEGUN = 4  # writers that have come and not written yet: they are about to, or were stopped then


def post(number: int, letter: bytes) -> None:
    """Put a letter into a mailbox.

    Raises BlockingIOError if it is full, ConnectionRefusedError if there is none, or an OSError.
    """
    with local.dial(_address(number)) as sock:
        sock.send(letter)


class Mailbox:
    """`fileno` is readable when `take` may have a letter."""

    def __init__(self) -> None:
        self.number = int.from_bytes(os.urandom(8), "big") | 1  # 0 is no mailbox
        self._listener = local.listen(_address(self.number), WAITING)
        self._begun: dict[int, socket.socket] = {}
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def take(self) -> bytes:
        """The next letter, b"" if there is none now."""
        while ready := self._epoll.poll(0, 1):
            fd = ready[0][0]
            if fd == self._listener.fileno():
                self._accept()
            elif letter := self._read(fd):
                return letter
        return b""

    def close(self) -> None:
        for sock in self._begun.values():
            sock.close()
        self._listener.close()
        self._epoll.close()

    def _accept(self) -> None:
        try:
            sock = local.accept(self._listener)
        except BlockingIOError:
            return
        if sock is None:
            return
        if len(self._begun) == _BEGUN:
            self._begun.pop(next(iter(self._begun))).close()
        self._begun[sock.fileno()] = sock
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _read(self, fd: int) -> bytes:
        """Its letter; or b"", of whoever has written none or is gone."""
        with self._begun.pop(fd) as sock:
            try:
                return sock.recv(LIMIT)
            except OSError:
                return b""


def _address(number: int) -> str:
    return f"\0duplex-mail-{number:016x}"
