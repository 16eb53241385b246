"""The sending half of a connection: what is said becomes bytes, and the kernel is given them.

Runs in the parent. Never reads the socket. Knows when all is sent and acknowledged, and notices a
peer that is dead; what follows from that, and what is said, is for whoever inherits this.
"""

from __future__ import annotations

import errno
import socket
import time

from duplex.system.errors import reason_of
from duplex.system.halfclose import shut
from duplex.system.tcp import CHECK_EVERY, Pulse, unacknowledged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.base import Sender


class Sending:
    """`give` it what is to be sent, and `pump` whenever the socket takes more."""

    def __init__(self, sock: socket.socket, sender: Sender) -> None:
        self.sock = sock
        self.sending = True  # stdin, or the screen, may still bring something
        self.outgoing = b""  # bytes for the wire that the kernel has not taken yet
        self._out = sock  # what is said goes here
        self._sender = sender
        self._answer = b""  # what the peer's program waits for, to be sent between two lines
        self._between_lines = True  # what was given to the Sender ended a line
        self._pulse = Pulse(sock)
        self._next_check = 0.0
        self._said_end = False  # the Sender has been told that no more is said
        self._end_length = 0  # bytes that this takes: the last ones outgoing
        self._shut = False  # our half of the connection is
        self._broken = False  # the connection is: nothing more gets through

    def give(self, data: bytes) -> None:
        """Send these bytes of lines as soon as the kernel takes them."""
        if self._answer and (end := data.find(b"\n") + 1):
            self.outgoing += self._sender.send(data[:end]) + self._answer
            self._answer, data = b"", data[end:]
        self.outgoing += self._sender.send(data)
        if data:
            self._between_lines = data.endswith(b"\n")
        self.pump()

    def pump(self) -> None:
        """Give the kernel what it takes of what is outgoing; shut our half when all is said."""
        try:
            while not self._broken and (self.outgoing or self._take_more()):
                self.outgoing = self.outgoing[self._out.send(self.outgoing) :]
            if not self.sending and not self._shut and self._may_shut():
                if self._say_end():
                    self.pump()
                    return
                self._shut = True
                shut(self._out)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ENOTCONN):
                self._lost(reason_of(error))
                return
            self._on_broken()

    def check_pulse(self) -> None:
        """Notice a dead peer: looks every CHECK_EVERY seconds, however often it is called."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + CHECK_EVERY
        try:
            if self.under_way():
                self._pulse.check()
        except OSError as error:
            self._lost(reason_of(error))

    def under_way(self) -> int:
        """Bytes said that the peer has not acknowledged."""
        return len(self.outgoing) + unacknowledged(self.sock)

    def _may_shut(self) -> bool:
        """Whether the end of what is typed is the end of what is sent."""
        return True

    def _take_more(self) -> bool:
        """Make more outgoing, if there is any: an answer of the child's, between two lines."""
        if not self._answer or not self._between_lines or self._shut:
            return False
        self.outgoing, self._answer = self._answer, b""
        return True

    def _say_end(self) -> bool:
        """Have the channel mark the end, once; whether there is something to be sent for that."""
        if not self._said_end and not self._broken:
            self._said_end = True
            end = self._sender.end()
            self._end_length = len(end)
            self.outgoing += end
        return bool(self.outgoing)

    def _lost(self, reason: str) -> None:
        """The connection is lost."""
        raise NotImplementedError

    def _on_broken(self) -> None:
        """Nothing more can be sent: the reason has gone to the child."""
        raise NotImplementedError
