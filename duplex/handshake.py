"""Handshakes on real sockets: what makes a channel of a connection, under a deadline.

`Shaking` never waits, so that a listener can look after several callers at once and none of them
keeps out the others; `shake` waits for one. Either way whoever says nothing, or anything else, is
gone within HANDSHAKE seconds, and is told why if that can be. Runs before the fork of a talk, and
in a room's member. What is said in a handshake is known to wire/ alone.
"""

from __future__ import annotations

import select
import socket
import time

from duplex import wire
from duplex.errors import DuplexError, reason_of
from duplex.process import seconds_left, wait
from duplex.wire import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.protection import Protection

HANDSHAKE = 10.0  # s for all of it
PART = 1.0  # s for a peer that is refused to read why: a close with bytes unread would be a reset
CHUNK = 16 * 1024  # bytes a read


class Stopped(DuplexError):
    """Something else happened that ends the handshake. Whoever waits for that knows what."""


class Shaking:
    """One connection until it has a channel. The socket does not block, and is its caller's."""

    def __init__(self, sock: socket.socket, handshake: wire.Handshake) -> None:
        self.sock = sock
        self.handshake = handshake
        self.deadline = time.monotonic() + HANDSHAKE
        self.over = False  # nothing is left to be done: the socket is to be closed
        self._outgoing = handshake.start()
        self._refused = False

    @property
    def wanted(self) -> int:
        """What to wait for, as poll(2) has it."""
        return select.POLLIN | (select.POLLOUT if self._outgoing else 0)

    def go_on(self) -> wire.Channel | None:
        """Do what can be done, after an event or at the deadline; the channel, once it is made.

        Raises HandshakeError, once: from then on it only sees to it that the peer reads why, until
        it is `over`.
        """
        try:
            self._flush()
            if self._refused:
                self._part()
            elif channel := self._feed():
                return channel
            self._flush()
        except wire.HandshakeError as error:
            self._refuse(error)
            raise
        except OSError as error:
            self.over = True
            if not self._refused:
                raise self.handshake.stopped(reason_of(error)) from None
        return self._made()

    def _feed(self) -> wire.Channel | None:
        while self.handshake.channel is None:
            try:
                data = self.sock.recv(CHUNK)
            except BlockingIOError:
                break
            if not data:
                raise self.handshake.stopped("it has ended the connection")
            self._outgoing += self.handshake.feed(data)
        self._flush()
        channel = self._made()
        if channel is None and time.monotonic() >= self.deadline:
            raise self.handshake.stopped(f"it was not done within {HANDSHAKE:g} s")
        return channel

    def _made(self) -> wire.Channel | None:
        return None if self._outgoing or self._refused else self.handshake.channel

    def _flush(self) -> None:
        try:
            while self._outgoing:
                self._outgoing = self._outgoing[self.sock.send(self._outgoing) :]
        except BlockingIOError:
            return

    def _refuse(self, error: wire.HandshakeError) -> None:
        self._refused = True
        self._outgoing += error.reply
        self.deadline = time.monotonic() + PART
        try:
            self._flush()
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.over = True  # it is gone

    def _part(self) -> None:
        """Read what it still says, so that it can read what it was told."""
        if time.monotonic() >= self.deadline:
            self.over = True
        try:
            while not self.over:
                self.over = not self.sock.recv(CHUNK)
        except BlockingIOError:
            return


def shake(
    sock: socket.socket, handshake: wire.Handshake | None, stops: dict[int, int]
) -> wire.Channel:
    """Wait for the channel. Raises HandshakeError, when the peer has been told; or Stopped.

    Without a handshake it is a plain one. `stops` are descriptors, and what of poll(2) happening to
    one of them ends it.
    """
    if handshake is None:
        return plain.channel()
    shaking = Shaking(sock, handshake)
    failed: wire.HandshakeError | None = None
    while not shaking.over:
        try:
            if channel := shaking.go_on():
                return channel
        except wire.HandshakeError as error:
            failed = error
        if not shaking.over:
            seconds = seconds_left(shaking.deadline)
            happened = wait({sock.fileno(): shaking.wanted, **stops}, seconds)
            if happened.keys() & stops.keys():
                raise Stopped
    assert failed
    raise failed


def shake_hands(sock: socket.socket, protection: Protection) -> wire.Channel | None:
    """The channel of who has called, for a process that is there for nothing else; None: plain.

    Raises HandshakeError.
    """
    handshake = protection.answer()
    return shake(sock, handshake, {}) if handshake else None
