"""The client of who keeps a room, in a process of its own: on a screen, or by lines.

By lines the room's records come on standard output, and what standard input brings is said; its end
is not the end of the room.
"""

from __future__ import annotations

import argparse

from duplex.channel import plain
from duplex.cli.options import open_screen
from duplex.client.detect import Undecided
from duplex.room.keeper import SCREEN
from duplex.system import errors
from duplex.system.process import Signals, unblock_signals
from duplex.talk.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket


def run(sock: socket.socket, room: str, protection: str, keeper: str) -> int:
    """The operator's client, a helper of the server; `sock` is a Unix socket to its member.

    `protection` is the name of what clients have on their way to the room.

    It keeps no transcript, for the room's is here, and ends when the room does, or who sits here.
    """
    by_lines = keeper != SCREEN
    options = argparse.Namespace(
        peer=room,
        nick="host",
        explicit=True,
        verbatim=False,
        both=False,
        keep=False,
        plain=by_lines,
        stays=by_lines,
    )
    errors.write_status = errors.write_patiently
    sock.setblocking(False)
    signals = Signals()
    unblock_signals()
    channel = plain.channel()
    channel.name = protection
    session = Session(sock, channel, "this terminal", options, signals, None, open_screen)
    return session.run(Undecided(session, b"", None, None)).status
