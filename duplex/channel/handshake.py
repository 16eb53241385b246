"""Handshakes on real sockets: what makes a channel of a connection, under a deadline.

`Shaking` never waits, so that a listener can look after several callers at once and none of them
keeps out the others; `shake` waits for one. Either way whoever says nothing, or anything else, is
gone within 10 s, and is told why if that can be. Where anybody may come a Glance follows: at what
who has called says first. Runs before the fork of a talk, and in a room's member. What is said in a
handshake is known to the channels alone, what strangers say to sniff.py.
"""

from __future__ import annotations

import select
import socket
import time

from duplex.channel import base, plain
from duplex.channel.sniff import Sniffer, Stranger
from duplex.system.errors import DuplexError, reason_of
from duplex.system.process import seconds_left, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.protection import Protection

# A browser's request comes with its connection, and a person sees no delay that is so short; who
# comes with `duplex connect` takes a room that has not greeted in twice the time for a person.
GLANCE = 0.05  # s for the first bytes
FIRST_LINE = 2.0  # s for the rest of a line that may be a stranger's
PART = 1.0  # s for a peer that is refused to read why: a close with bytes unread would be a reset
CHUNK = 16 * 1024  # bytes a read


class Stopped(DuplexError):
    """Something else happened that ends the handshake. Whoever waits for that knows what."""


class Shaking:
    """One connection until it has a channel. The socket does not block, and is its caller's."""

    def __init__(self, sock: socket.socket, handshake: base.Handshake) -> None:
        self.sock = sock
        self.handshake = handshake
        self._begun = time.monotonic()
        self._part_by = 0.0
        self.over = False  # nothing is left to be done: the socket is to be closed
        self._outgoing = handshake.start()
        self.refused = False  # it is told why, and nothing else

    @property
    def deadline(self) -> float:
        return self._part_by if self.refused else self._begun + self.handshake.patience

    @property
    def wanted(self) -> int:
        """What to wait for, as poll(2) has it."""
        return select.POLLIN | (select.POLLOUT if self._outgoing else 0)

    def go_on(self) -> base.Channel | None:
        """Do what can be done, after an event or at the deadline; the channel, once it is made.

        Raises HandshakeError, once: from then on it only sees to it that the peer reads why, until
        it is `over`.
        """
        try:
            self._flush()
            if self.refused:
                self._part()
            elif channel := self._feed():
                return channel
            self._flush()
        except base.HandshakeError as error:
            self._refuse(error)
            raise
        except OSError as error:
            self.over = True
            if not self.refused:
                raise self.handshake.stopped(reason_of(error)) from None
        return self._made()

    def _feed(self) -> base.Channel | None:
        data = b""  # first of all what has come with what was before this handshake
        while True:
            self._outgoing += self.handshake.feed(data)
            if self.handshake.channel:
                break
            try:
                data = self.sock.recv(CHUNK)
            except BlockingIOError:
                break
            if not data:
                if self.handshake.waited():
                    break
                raise self.handshake.stopped("it ended the connection")
        self._flush()
        channel = self._made()
        if channel is None and time.monotonic() >= self.deadline:
            if not self.handshake.waited():
                seconds = self.handshake.patience
                raise self.handshake.stopped(f"it took longer than {seconds:g} s")
            channel = self._made()
        return channel

    def _made(self) -> base.Channel | None:
        return None if self._outgoing or self.refused else self.handshake.channel

    def _flush(self) -> None:
        try:
            while self._outgoing:
                self._outgoing = self._outgoing[self.sock.send(self._outgoing) :]
        except BlockingIOError:
            return

    def _refuse(self, error: base.HandshakeError) -> None:
        self.refused = True
        self._outgoing += error.reply
        self._part_by = time.monotonic() + PART
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


class Glance(base.Handshake):
    """At what comes first on a channel where anybody may come; in the end it is that channel.

    A person may say nothing for as long as he likes, so silence ends it soon; the channel's
    receiver goes on looking until the first line is there.
    """

    patience = GLANCE

    def __init__(self, channel: base.Channel) -> None:
        self._of = channel
        self._sniffer = channel.receiver.sniffer = Sniffer()

    def feed(self, data: bytes) -> bytes:
        """Raises Stranger; `reply` is then sealed as the channel wants it."""
        try:
            self._sniffer.look(self._of.receiver.decode(data))
        except Stranger as error:
            error.reply = self._of.sender.send(error.reply) + self._of.sender.end()
            raise
        except base.Tampered as error:
            raise base.HandshakeError(str(error)) from None
        if self._sniffer.known:
            self.channel = self._of
        elif self._sniffer.undecided:
            self.patience = FIRST_LINE
        return self._of.receiver.take_answer()

    def waited(self) -> bool:
        self.channel = self._of
        return True

    def stopped(self, why: str) -> base.HandshakeError:
        return base.HandshakeError(f"it left: {why}")


def shake(
    sock: socket.socket, handshake: base.Handshake | None, stops: dict[int, int]
) -> base.Channel:
    """Wait for the channel. Raises HandshakeError, when the peer has been told; or Stopped.

    Without a handshake it is a plain one. `stops` are descriptors, and what of poll(2) happening to
    one of them ends it.
    """
    if handshake is None:
        return plain.channel()
    shaking = Shaking(sock, handshake)
    failed: base.HandshakeError | None = None
    while not shaking.over:
        try:
            if channel := shaking.go_on():
                return channel
        except base.HandshakeError as error:
            failed = error
        if not shaking.over:
            seconds = seconds_left(shaking.deadline)
            happened = wait({sock.fileno(): shaking.wanted, **stops}, seconds)
            if happened.keys() & stops.keys():
                raise Stopped
    assert failed
    raise failed


def shake_hands(sock: socket.socket, protection: Protection) -> base.Channel:
    """The channel of who has called, for a process that is there for nothing else.

    Raises HandshakeError.
    """
    channel = shake(sock, protection.answer(), {})
    return glance(sock, channel) if protection.is_open else channel


def glance(sock: socket.socket, channel: base.Channel) -> base.Channel:
    """The same channel, once it is as well as sure that a person is there. Raises Stranger.

    Who says nothing, as nearly everybody does, costs a member's memory as little as can be.
    """
    if channel.name == plain.NAME and not wait({sock.fileno(): select.POLLIN}, GLANCE):
        channel.receiver.sniffer = Sniffer()
        return channel
    return shake(sock, Glance(channel), {})
