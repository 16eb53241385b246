"""Listening sockets that a service manager hands over (sd_listen_fds(3)): LISTEN_FDS.

Runs in a host, before anything is forked. The variables are for this process alone, and are taken
out of the environment. Knows nothing of what comes in by the sockets.
"""

from __future__ import annotations

import os
import socket

from duplex.system.errors import DuplexError

FIRST = 3  # SD_LISTEN_FDS_START


def sockets() -> list[socket.socket]:
    """Those that were handed to this process; none if it was started otherwise.

    Raises DuplexError for what is no listening TCP socket.
    """
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [_socket(fd) for fd in range(FIRST, FIRST + int(count))]


def _socket(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listens = 0
    if not listens or sock.family not in (socket.AF_INET, socket.AF_INET6):
        raise DuplexError(f"cannot use LISTEN_FDS: descriptor {fd} is not a listening TCP socket")
    sock.set_inheritable(False)
    return sock
