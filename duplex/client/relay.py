"""The relay: sends for a parent that cannot, on a protected connection that its child has made.

A connection that was lost is made again by the child of `duplex connect`, for its parent may have
threads and forks no more. But what a protected channel's Sender holds cannot always be handed to
another process (OpenSSL's cannot). So the child forks once more: this process seals what the parent
writes to a pair of sockets, and sends it.

    parent ──lines (socket pair)──► relay ──sealed──► socket ──► room
    child  ◄──────────────────────────────────────── socket ◄── room

Holds the Sender, the socket, for writing only, and its end of the pair. The end of what the parent
says is the end of what is sent. It dies with the child, and goes when the connection does.
"""

from __future__ import annotations

import os
import select
import signal
import socket

from duplex.system.errors import EXIT_FAILURE, EXIT_OK, UnableToFork
from duplex.system.process import (
    Child,
    Signals,
    close_all_but,
    fork,
    prepare_to_die_with_parent,
    wait,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.base import Sender

CHUNK = 64 * 1024  # bytes a read


def start(sock: socket.socket, sender: Sender) -> tuple[Child, socket.socket]:
    """Fork the relay; it, and the end of the pair into which lines are to be written.

    Raises UnableToFork.
    """
    ours, theirs = socket.socketpair()
    die_with_parent = prepare_to_die_with_parent()

    def run() -> int:
        die_with_parent()
        close_all_but({0, 1, 2, sock.fileno(), theirs.fileno()})
        signals = Signals(ignored=(signal.SIGINT, signal.SIGHUP, signal.SIGTERM))
        signals.let_go()  # it ends with what it relays, or with its parent: nobody asks it to
        return _relay(theirs, sock, sender)

    with theirs:
        try:
            child = fork(run)
        except UnableToFork:
            ours.close()
            raise
    return child, ours


def _relay(said: socket.socket, sock: socket.socket, sender: Sender) -> int:
    """Until there is no more to be said, or nobody who takes it; the exit status tells which."""
    try:
        while data := _read(said, sock):
            _send(sock, sender.send(data))
        _send(sock, sender.end())
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        return EXIT_FAILURE  # the child sees it, too, and reports why
    return EXIT_OK


def _read(said: socket.socket, sock: socket.socket) -> bytes:
    happened = wait({said.fileno(): select.POLLIN, sock.fileno(): 0})  # 0: its end, or a fault
    if sock.fileno() in happened:
        raise ConnectionResetError
    return os.read(said.fileno(), CHUNK)


def _send(sock: socket.socket, data: bytes) -> None:
    view = memoryview(data)
    while view:
        wait({sock.fileno(): select.POLLOUT})
        view = view[sock.send(view) :]
