"""The life of a member's process, from the fork to its end: what is around serving its client.

It lets go of what is the host's, proves that it serves whom it may (the handshake), and is a Member
then. What it lacks for that its client is told, and the host, by a status of its own. Runs in the
forked process alone.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from duplex.channel.base import HandshakeError, WrongCode
from duplex.channel.handshake import shake_hands
from duplex.room import page
from duplex.room.member import LACKS
from duplex.room.reception import unserved, want
from duplex.system import tcp
from duplex.system.errors import EXIT_OK
from duplex.system.process import EXIT_UNSERVED, EXIT_WRONG_CODE, close_kept_open

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.channel.base import Channel
    from duplex.room.member import Member
    from duplex.room.room import Room
    from duplex.transcript.file import Transcript

NICE = 5  # so that the host accepts and reaps in time


class Life:
    """`run` is all that the process does. `number` is how many clients have come so far."""

    def __init__(
        self, room: Room, sock: socket.socket, seat: page.Seat, number: int, operator: bool
    ) -> None:
        self._room = room
        self._sock = sock
        self._seat = seat
        self._number = number
        self._operator = operator
        self._channel: Channel | None = None  # a plain client has none, as one before its handshake

    def run(self, member: type[Member], become: Callable[[int], None]) -> int:
        """`become` lets go of all but what a member has, and the transcript's descriptor."""
        try:
            transcript = self._room.transcript.reopen()
            become(transcript.fd)
            close_kept_open()
            os.nice(NICE)
            if not self._is_there():
                return EXIT_OK  # it has only looked whether somebody is there, and is gone
            if not self._operator and (status := self._shake_hands()) is not None:
                return status
            return self._serve(member, transcript)
        except LACKS as error:
            self._tell(error)
            return EXIT_UNSERVED

    def _is_there(self) -> bool:
        """Take the seat, if there is still somebody to be asked for an address."""
        state = page.COMING if self._operator else page.SHAKING
        try:
            where = "this terminal" if self._operator else tcp.where(self._sock.getpeername())
            self._seat.take(where, state, self._number)
            if not self._operator:
                tcp.prepare(self._sock)
        except OSError:
            return False
        return True

    def _shake_hands(self) -> int | None:
        """The exit status if it may not come in: it has been told why, and nobody has seen it."""
        self._room.harden()
        try:
            self._channel = shake_hands(self._sock, self._room.protection)
        except WrongCode:
            return EXIT_WRONG_CODE
        except HandshakeError:
            return EXIT_OK
        self._seat.state = page.COMING
        return None

    def _serve(self, member: type[Member], transcript: Transcript) -> int:
        of_room = self._room, transcript, self._sock, self._seat, self._number
        return member(*of_room, channel=self._channel, operator=self._operator).run()

    def _tell(self, error: Exception) -> None:
        """Nothing was sent yet: one line into an empty buffer, which does not wait."""
        self._seat.end(page.LOST, want(error))
        line = f"! {unserved(error)}\n".encode()
        with suppress(OSError):
            self._sock.setblocking(False)
            self._sock.send(self._channel.sender.send(line) if self._channel else line)
            self._sock.shutdown(socket.SHUT_WR)
