"""The client of who keeps a room: on a screen, or by lines.

Runs in a process of its own, a helper of the host (`run`). By lines the room's records come on
standard output, and what standard input brings is said; its end is not the end of the room.
"""

from __future__ import annotations

import argparse

from duplex.channel import plain
from duplex.client.participant import Joined
from duplex.room.keeper import SCREEN
from duplex.system import errors
from duplex.system.process import Signals, in_foreground, unblock_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

_STDIN = 0
_LOOK_EVERY = 1.0  # s, whether a job in the background is in the foreground again


class ByLines(Joined):
    """The operator's client without a screen. It stays when nothing more is typed."""

    _says_no_more = False
    _asked = False  # whether the room is to be closed

    def stop_saying(self) -> None:
        if not self.in_room:
            super().stop_saying()
            return
        self._say_lines(self._boundary.end())
        self._says_no_more = True
        if self.by_hand:
            self.tell("you say no more; the room goes on (Ctrl-C closes it)")

    def _say_lines(self, lines: bytes, *, as_text: bool = False) -> None:
        if self.by_hand and not as_text and lines:
            *before, last = lines.decode("utf-8", "replace").removesuffix("\n").split("\n")
            if not before and self.leaves_by(last) and not self._asked:
                self._asked = True
                self.tell(f"{last} once more closes the room for all")
                return
            self._asked = False
        super()._say_lines(lines, as_text=as_text)

    def _takes_input(self) -> bool:
        return not self._says_no_more and self._may_read() and super()._takes_input()

    def _turn(self, seconds: float | None) -> None:
        if not self._may_read():
            seconds = _LOOK_EVERY if seconds is None else min(seconds, _LOOK_EVERY)
        super()._turn(seconds)

    def _may_read(self) -> bool:
        """In the background the terminal would stop who reads it."""
        return not self.by_hand or in_foreground(_STDIN)


def run(sock: socket.socket, room: str, protection: str, keeper: str) -> int:
    """The operator's client, in a process of its own; `sock` is a Unix socket to its member.

    `protection` is the name of what clients have on their way to the room.

    It keeps no transcript, for the room's is here, and ends when the room does, or who sits here.
    """
    options = argparse.Namespace(
        peer=room, nick="host", explicit=True, verbatim=False, both=False, plain=keeper != SCREEN
    )
    errors.write_status = errors.write_patiently
    sock.setblocking(False)
    signals = Signals()
    unblock_signals()
    channel = plain.channel()
    channel.name = protection
    client = Joined if keeper == SCREEN else ByLines
    return client(sock, channel, "this terminal", options, signals, None, b"").run().status
