"""Standard error, as a room writes to it: it is never waited for.

A pipe or a terminal that nobody reads (a pager, Ctrl-S) would stop the server, and with it the
room. What does not fit is lost, and that is told when there is room again. Made by the server
before its first fork; its other processes inherit it, each with a count of its own. Owns a
description of standard error that does not block, because the one that was inherited is others',
too.
"""

from __future__ import annotations

import os
import select
import socket
import stat

from duplex.system import errors
from duplex.system.process import wait

_STDERR = 2


class Status:
    """`fd` has to stay open for it."""

    def __init__(self) -> None:
        self._lost = 0  # lines
        self._socket: socket.socket | None = None
        mode = os.fstat(_STDERR).st_mode
        if stat.S_ISREG(mode):
            self.fd = _STDERR  # takes all, at the place where whoever shares it has got to
            return
        if stat.S_ISSOCK(mode):  # the journal's
            self._socket = socket.socket(fileno=os.dup(_STDERR))
            self.fd = self._socket.fileno()
            return
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            self.fd = os.open(f"/proc/self/fd/{_STDERR}", flags)
        except OSError:  # another user's terminal, after su: it is written to after polling
            self.fd = _STDERR

    def write(self, line: bytes) -> None:
        """Raises OSError if nobody reads it any more."""
        lost = f"({self._lost} lines were not told here: nobody read them)\n" if self._lost else ""
        try:
            self._write(lost.encode() + line)
        except BlockingIOError:
            self._lost += 1
        else:
            self._lost = 0

    def _write(self, data: bytes) -> None:
        if self._socket:
            self._socket.send(data, socket.MSG_DONTWAIT)
            return
        if self.fd == _STDERR and not wait({self.fd: select.POLLOUT}, 0):
            raise BlockingIOError
        os.write(self.fd, data)


def never_wait() -> Status:
    """From now on `errors.say_status` does not, in this process and those that it forks."""
    status = Status()
    errors.write_status = status.write
    return status
