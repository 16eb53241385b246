"""The child of a session, as its parent knows it: forked, heard through a channel, and ended.

The channel is a pair of sockets: the child reports (report.py lists what), hands descriptors
over, and may be told something. Knows nothing of what the reports mean.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress

from duplex.system.process import Signals, close_all_but, fork, unblock_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 64 * 1024  # bytes a read
HANDED = 2  # descriptors at most that are handed over at once
STOP = 1.0  # s for it to end when it is told to, before it is killed


class Child:
    """Forks: in the child `run` is called, with its end of the channel, and never returns here."""

    def __init__(self, run: Callable[[int], int]) -> None:
        self.reports = True  # it lives, and there may be more to read of it
        self.handed: list[socket.socket] = []
        self._channel, theirs = socket.socketpair()
        self._unread = b""
        with theirs:
            self._process = fork(lambda: run(theirs.fileno()))

    def fileno(self) -> int:
        return self._channel.fileno()

    def read(self) -> list[bytes]:
        """The lines that it has reported. Once it has ended, `reports` is not so any more."""
        try:
            data, fds, _, _ = socket.recv_fds(self._channel, CHUNK, HANDED)
        except ConnectionResetError:  # it died before it read what it was told
            data, fds = b"", []
        if not data:
            self.is_gone()
        self.handed += [socket.socket(fileno=fd) for fd in fds]
        *lines, self._unread = (self._unread + data).split(b"\n")
        return lines

    def reports_first(self, line: bytes) -> bool:
        """Whether its reports begin so; nothing of them is read."""
        return self._channel.recv(len(line), socket.MSG_PEEK) == line

    def tell(self, what: str) -> None:
        with suppress(OSError):  # if it has ended, the end of its channel will tell
            self._channel.send(f"{what}\n".encode())

    def ask_to_end(self) -> None:
        if self.reports:
            self._process.ask_to_end()

    def is_gone(self) -> None:
        """It is, or had better be."""
        self._channel.close()
        self.reports = False
        if not self._process.ended(STOP):
            self._process.kill()

    def how_it_ended(self) -> str:
        return self._process.how_it_ended()


def settle(kept: set[int]) -> Signals:
    """Only the child runs this: let go of all else that is the parent's. Its own signals."""
    close_all_but(kept)
    os.open(os.devnull, os.O_RDONLY)  # the lowest free number: standard input
    signals = Signals(ignored=(signal.SIGINT, signal.SIGHUP))
    unblock_signals()
    return signals
