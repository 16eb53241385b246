"""Unix sockets between processes of one user, by names that no directory has.

An abstract name (unix(7)) is the kernel's alone: nothing of it is left when its socket is closed,
and nobody can remove it. But any user may look at all names and take any that is free, so a name
says nothing about who has it, and each side asks the kernel who the other is (SO_PEERCRED): another
user, unless it is root, is hung up on before anything was sent or read. Names are random, so that
nobody can be there first.

Sequenced packets (SOCK_SEQPACKET): a message is whole, and the connection has a peer to be asked
about, which datagrams have not. Nothing here waits, unless told how long.
"""

from __future__ import annotations

import os
import socket
import struct

_UCRED = "iII"  # struct ucred: process, user, group
_ROOT = 0


def name(what: str) -> str:
    """A new abstract name; `what` tells people who look at /proc/net/unix what it is for."""
    return f"\0duplex-{what}-{os.urandom(16).hex()}"


def listen(address: str, backlog: int) -> socket.socket:
    """What `dial` calls: `backlog` may wait to be accepted, and one more."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.bind(address)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def accept(listener: socket.socket) -> socket.socket | None:
    """The next who has dialled; None if it is a stranger. BlockingIOError if there is nobody."""
    sock, _ = listener.accept()
    if is_ours(sock):
        sock.setblocking(False)
        return sock
    sock.close()
    return None


def dial(address: str, seconds: float | None = 0, *, of_anybody: bool = False) -> socket.socket:
    """Connected to one of ours there, or `of_anybody`. `seconds` is the time-out of what is done
    with it later, too; None: none.

    Raises BlockingIOError or TimeoutError if too many wait there, ConnectionRefusedError if there
    is nobody, or a stranger.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(seconds)
    try:
        sock.connect(address)
        if not of_anybody and not is_ours(sock):
            raise ConnectionRefusedError("somebody else's")
    except OSError:
        sock.close()
        raise
    return sock


def is_ours(sock: socket.socket) -> bool:
    """Whether the peer is of this user, or root."""
    return peer(sock)[1] in (os.geteuid(), _ROOT)


def peer(sock: socket.socket) -> tuple[int, int]:
    """The process and the user that dialled, or that has made what was dialled listen."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_UCRED))
    pid, uid, _ = struct.unpack(_UCRED, data)
    return pid, uid
