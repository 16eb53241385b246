"""The screen: the client of who keeps the room, in a process of its own beside the server.

A helper of the server, on one end of a pair of sockets whose other end a member has. What follows
from its end is decided here; the server does it. What the client is, it does not know.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress

from duplex.room import keeper
from duplex.system.errors import EXIT_OK, EXIT_SIGNAL, say_status
from duplex.system.process import close_all_but, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from duplex.room.room import Room

# What it ends with when its operator leaves, by a word or a key, or is told to by a signal.
LEFT = (EXIT_OK, *(EXIT_SIGNAL + n for n in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)))
_STDOUT = 1


def be_the_screen(room: Room, sock: socket.socket, die_with_server: Callable[[], None]) -> int:
    """All that the process does; its exit status."""
    die_with_server()
    if room.front:
        room.front.take_in()
    close_all_but({0, 1, 2, sock.fileno()})
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return room.operate(sock, room.name, room.protection.name, room.keeper)


def has_failed(room: Room, code: int, how: str) -> bool:
    """It has ended, and not as its operator wished: tell it. Whether the room closes for that."""
    if code in LEFT:
        return False
    room.has_operator = False
    if room.keeper != keeper.SCREEN:
        say_status(f"the operator's client {how}: the room goes on without")
        return False
    if wait({_STDOUT: select.POLLOUT}, 0):  # its input line is still there
        with suppress(OSError):
            os.write(_STDOUT, b"\r\x1b[J")
    say_status(f"the screen {how}: the room closes")
    return True
