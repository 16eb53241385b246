"""The reception: takes connections from the listening sockets, and turns away whom it must.

Part of the server, which gives it what decides (the gate) and what becomes of who is let in. It
never waits: a line goes into an empty buffer, and while nothing can be accepted it does not try.
One descriptor is kept for when there is none, so that who comes then is told.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from contextlib import suppress

from duplex.protocol import refusals
from duplex.system import tcp
from duplex.system.address import canonical
from duplex.system.errors import TranscriptError, reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.room.gate import Gate
    from duplex.room.notices import Notices

ACCEPTED_AT_ONCE = 32  # before looking after the rest: a flood of joins must not delay a leave
TRY_AGAIN = 0.1  # s until connections are accepted that could not be
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


class Reception:
    """`serve(sock, ip)` is called for whoever is let in; the socket is closed when it returns."""

    def __init__(
        self,
        sockets: list[socket.socket],
        gate: Gate,
        notices: Notices,
        serve: Callable[[socket.socket, str], None],
    ) -> None:
        self._sockets = sockets
        self._gate = gate
        self._notices = notices
        self._serve = serve
        self._spare = -1
        self._wanted: select.epoll
        self._deaf_until = 0.0  # monotonic; 0: it listens

    def listen(self, wanted: select.epoll) -> None:
        """Have the sockets waited for there, from now on."""
        self._wanted = wanted
        self._deaf_until = 0.0
        self._keep_spare()
        for sock in self._sockets:
            wanted.register(sock.fileno(), select.EPOLLIN)

    def seconds_to_wait(self) -> float | None:
        """Until `go_on` has to be called; None: not at all."""
        return max(0.0, self._deaf_until - time.monotonic()) if self._deaf_until else None

    def go_on(self, ready: set[int]) -> None:
        """Take those who have come, as far as sockets are among the ready descriptors."""
        if self._deaf_until and time.monotonic() >= self._deaf_until:
            self.listen(self._wanted)
        for sock in self._sockets:
            if sock.fileno() in ready:
                self._accept(sock)

    def refuse(self, sock: socket.socket, where: str, why: str) -> None:
        """One line into an empty buffer, which does not wait; then the end."""
        try:
            sock.setblocking(False)
            sock.send(f"! {why}\n".encode())
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            why = f"{why}; it was gone already"
        self._notices.add("refused", f"refused {where}: {why}")

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # it was gone again
            except OSError as error:  # no descriptor, no memory
                self._notices.add("accept", f"cannot accept: {error.strerror}; trying again")
                if error.errno in _NO_DESCRIPTOR and self._tell_one(listener, error):
                    continue
                self._be_deaf()  # others wait in the backlog
                return
            with sock:
                if tcp.is_closed(sock):
                    continue  # reset while it waited: no member could tell who it was
                ip = canonical(address[0]) if ":" in address[0] else address[0]
                if why := self._gate.reason_to_refuse(ip):
                    self.refuse(sock, tcp.where(address), why)
                else:
                    self._serve(sock, ip)

    def _tell_one(self, listener: socket.socket, error: OSError) -> bool:
        """Accept one with the spare descriptor, to tell it; whether there was one."""
        if self._spare < 0:
            return False
        os.close(self._spare)
        self._spare = -1
        try:
            sock, address = listener.accept()
            with sock:
                self.refuse(sock, tcp.where(address), unserved(error))
            return True
        except OSError:
            return False
        finally:
            self._keep_spare()

    def _keep_spare(self) -> None:
        if self._spare < 0:
            with suppress(OSError):  # the whole system has none just now
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _be_deaf(self) -> None:
        self._deaf_until = time.monotonic() + TRY_AGAIN
        for sock in self._sockets:
            self._wanted.unregister(sock.fileno())


def unserved(error: Exception) -> str:
    """What a client is told that cannot be served for want of something."""
    return refusals.unserved(want(error))


def want(error: Exception) -> str:
    """What is wanting: the system's word for it, and no path of ours."""
    if isinstance(error, MemoryError):
        return os.strerror(errno.ENOMEM)
    if isinstance(error, TranscriptError):
        return error.reason
    return reason_of(error) if isinstance(error, OSError) else str(error)
