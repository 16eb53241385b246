"""The filter: what the hub sends to one client goes through the channel's sender here.

Part of a member whose channel encodes. The hub has one end of a stream, to which it sends as to any
client; from the other the records are read, sealed, and sent: at most CHUNK of them ahead of what
the socket has taken. So the hub knows no channel, and a slow client is an offset to it, as ever.
Knows no cipher; the Sender does.
"""

from __future__ import annotations

import select
import socket
import time

from duplex.system.tcp import CHECK_EVERY, Pulse, unacknowledged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.base import Sender

CHUNK = 64 * 1024  # bytes of records sealed at once


class Filter:
    """`theirs` is for the hub."""

    def __init__(self, sock: socket.socket, sender: Sender) -> None:
        """`sock` does not block."""
        self._ours, self.theirs = socket.socketpair()
        self._ours.setblocking(False)
        self.theirs.setblocking(False)
        self._sock = sock
        self._sender = sender
        self._sealed = b""
        self._ended = False
        self._pulse: Pulse | None = None
        self.blocked = False  # the client takes no more
        self.look_at = 0.0  # monotonic, when to look whether it is alive; 0: nothing was sent

    def fileno(self) -> int:
        return self._ours.fileno()

    @property
    def wanted(self) -> int:
        """What to wait for of `fileno`, as poll(2) has it; -1: nothing at all."""
        return -1 if self._ended or self.blocked else select.POLLIN

    @property
    def due(self) -> bool:
        """Whether `go_on` is to be called, whatever `fileno` does."""
        return bool(self._sealed and not self.blocked) or 0 < self.look_at <= time.monotonic()

    def write(self, data: bytes) -> None:
        """Bytes for the wire as they are."""
        self._sealed += data

    def go_on(self) -> bool:
        """Forward what there is; whether the hub may still send more. Raises OSError."""
        self._look_after()
        while not self._ended:
            if not self._flush():
                return True
            try:
                records = self._ours.recv(CHUNK)
            except BlockingIOError:
                return True
            if records:
                self._sealed = self._sender.send(records)
            else:
                self._ended = True
        self._flush()
        return False

    def finish(self, seconds: float) -> None:
        """Send the rest, and mark the end. Waits that long at most; raises OSError."""
        self._sock.settimeout(seconds)
        self._ours.settimeout(0)
        try:
            while not self._ended and (records := self._ours.recv(CHUNK)):
                self._sealed += self._sender.send(records)
        except BlockingIOError:
            self._ended = True
        self._sock.sendall(self._sealed + self._sender.end())

    def _flush(self) -> bool:
        """Whether all was taken."""
        try:
            while self._sealed:
                self._sealed = self._sealed[self._sock.send(self._sealed) :]
                self.look_at = self.look_at or time.monotonic() + CHECK_EVERY
        except BlockingIOError:
            self.blocked = True
        return not self._sealed

    def _look_after(self) -> None:
        """Every CHECK_EVERY seconds while bytes are under way. Raises OSError for a dead peer."""
        now = time.monotonic()
        if not 0 < self.look_at <= now:
            return
        self.look_at = 0.0
        if unacknowledged(self._sock):
            self._pulse = self._pulse or Pulse(self._sock)
            self._pulse.check()
            self.look_at = now + CHECK_EVERY
