"""The sending half of ONE connection: what is said becomes bytes, and the kernel is given them.

Runs in the parent; each connection has its own, so that nothing of an earlier one is left. Never
reads the socket. Knows when all is sent and acknowledged, and notices a peer that is dead; what
follows from that, and what is said, is for the policy of the session (pair.py, or a room's).
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from duplex.system.halfclose import shut
from duplex.system.tcp import CHECK_EVERY, Pulse, unacknowledged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.base import Sender


class Connection:
    """`give` it what is to be sent, and `flush` whenever `out` takes more."""

    def __init__(
        self, sock: socket.socket, sender: Sender, relay: socket.socket | None = None
    ) -> None:
        self.sock = sock
        self.out = relay or sock  # what is said goes here
        self.outgoing = b""  # bytes for the wire that the kernel has not taken yet
        self.shut = False  # our half of the connection is
        self.broken = False  # the connection is: nothing more gets through
        self.end_length = -1  # bytes that the end takes, the last ones outgoing; -1: not said yet
        self._sender = sender
        self._answer = b""  # what the peer's program waits for, to be sent between two lines
        self._between_lines = True  # what was given to the Sender ended a line
        self._pulse = Pulse(sock)
        self._next_check = 0.0

    def give(self, data: bytes) -> None:
        """These bytes of lines are to be sent as soon as the kernel takes them."""
        if self._answer and (end := data.find(b"\n") + 1):
            self.outgoing += self._sender.send(data[:end]) + self._answer
            self._answer, data = b"", data[end:]
        self.outgoing += self._sender.send(data)
        if data:
            self._between_lines = data.endswith(b"\n")

    def answer(self, data: bytes) -> None:
        """One at a time: whoever asks and does not read fills nothing."""
        self._answer = data

    def flush(self) -> bool:
        """Give the kernel what it takes of what is outgoing; whether that is all.

        Raises OSError.
        """
        while not self.broken and (self.outgoing or self._take_answer()):
            try:
                self.outgoing = self.outgoing[self.out.send(self.outgoing) :]
            except BlockingIOError:
                return False
        return not self.broken

    def end(self) -> None:
        """Say that this is the end, and shut our half once that is sent. Raises OSError."""
        if self.shut or self.broken:
            return
        if self.end_length < 0:
            end = self._sender.end()
            self.end_length = len(end)
            self.outgoing += end
        if self.flush():
            self.shut = True
            shut(self.out)

    def check(self) -> None:
        """Notice a dead peer: looks every CHECK_EVERY seconds, however often it is called.

        Raises OSError.
        """
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + CHECK_EVERY
            if self.under_way():
                self._pulse.check()

    def under_way(self) -> int:
        """Bytes said that the peer has not acknowledged."""
        return len(self.outgoing) + unacknowledged(self.sock)

    def give_up(self) -> None:
        """Nothing more is sent."""
        self.broken = True
        self.outgoing = b""

    def cut(self) -> None:
        """It is over, whatever still holds it open: its reader sees that."""
        self.broken = True
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for sock in {self.sock, self.out}:
            sock.close()

    def _take_answer(self) -> bool:
        """Make an answer outgoing, if there is one, between two lines."""
        if not self._answer or not self._between_lines or self.shut:
            return False
        self.outgoing, self._answer = self._answer, b""
        return True
